"""A stored index is bound to its gallery and its entries, and is not believed on its word."""

from __future__ import annotations

import io
import json
import os
import shutil
import zlib

import numpy as np
import pytest

from sanreid.gallery import Gallery
from sanreid.gallery.index import cache
from sanreid.gallery.index.faiss_index import FaissIndex
from sanreid.gallery.index.rows import Rows
from sanreid.gallery.storage.vectors import MemoryVectors

DIM, COUNT = 16, 600

pytestmark = pytest.mark.usefixtures("small_indexes")


def rows_of(seed=0, ids=None):
    rng = np.random.default_rng(seed)
    people = np.random.default_rng(99).standard_normal((40, DIM))
    embeddings = people[rng.integers(0, 40, COUNT)] + 0.5 * rng.standard_normal((COUNT, DIM))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    vectors = MemoryVectors(DIM)
    vectors.append(embeddings.astype(np.float32))
    return Rows(vectors, np.arange(COUNT) if ids is None else ids, None, object())


def written(rows, kind="flat-sq8", uuid="a"):
    file = io.BytesIO()
    cache.write_index(FaissIndex.build(kind, rows, progress=False), rows, uuid, file)
    return file


@pytest.mark.parametrize("kind", ["flat-sq8", "flat-pq", "ivf", "ivf-sq8", "hnsw"])
def test_what_is_written_is_read(kind):
    rows = rows_of()
    file = written(rows, kind)
    found = cache.read_index(kind, rows, "a", file)
    assert (found.kind, found.covered) == (kind, COUNT)
    cache.check_bytes(file)


def test_an_index_of_another_gallery_is_refused_by_its_uuid_alone():
    rows = rows_of()
    with pytest.raises(ValueError, match="belongs to other entries"):
        cache.read_index("flat-sq8", rows, "b", written(rows))


def test_an_index_of_another_kind_or_of_more_rows_is_refused():
    rows = rows_of()
    with pytest.raises(ValueError, match="belongs to other entries"):
        cache.read_index("ivf", rows, "a", written(rows))
    fewer = Rows(rows.vectors, rows.ids[:-1], None, rows.numbering)
    with pytest.raises(ValueError, match="belongs to other entries"):
        cache.read_index("flat-sq8", fewer, "a", written(rows))


@pytest.mark.parametrize("what", ["ids", "embeddings"])
def test_an_index_of_other_entries_is_refused_by_its_digest_alone(what):
    rows = rows_of()
    other = rows_of(ids=rows.ids[::-1].copy()) if what == "ids" else rows_of(seed=1)
    with pytest.raises(ValueError, match="made from other entries"):
        cache.read_index("flat-sq8", other, "a", written(rows))


def forged(file, **changes):
    """The same file with other facts, well signed."""
    raw = file.getvalue()
    length, _, magic = cache._END.unpack(raw[-cache._END.size :])
    body, text = (
        raw[: -cache._END.size - length],
        raw[-cache._END.size - length : -cache._END.size],
    )
    text = json.dumps({**json.loads(text), **changes}).encode()
    return io.BytesIO(body + text + cache._END.pack(len(text), zlib.crc32(body + text), magic))


@pytest.mark.parametrize("kind", ["flat-sq8", "ivf", "hnsw"])
def test_an_index_with_a_right_checksum_and_wrong_contents_is_refused(kind):
    rows, others = rows_of(), rows_of(seed=1)
    true = forged(written(others, kind), digest=cache._digest(rows, COUNT))
    with pytest.raises(ValueError, match="does not find the entries it holds"):
        cache.read_index(kind, rows, "a", true)


@pytest.mark.parametrize(
    "changes",
    [
        {"covered": COUNT - 1}, {"width": 0}, {"overfetch": 0}, {"axes": [DIM, 8]},
        {"covered": -1}, {"covered": "many"}, {"axes": "none"}, {"width": None},
    ],
)  # fmt: skip
def test_facts_that_do_not_fit_are_refused(changes):
    rows = rows_of()
    if isinstance(changes.get("covered"), int) and changes["covered"] > 0:
        changes = {**changes, "digest": cache._digest(rows, changes["covered"])}
    with pytest.raises(cache.UNREADABLE):
        cache.read_index("flat-sq8", rows, "a", forged(written(rows), **changes))


@pytest.mark.parametrize("how", ["other entries", "other gallery"])
def test_a_cache_from_elsewhere_is_built_again(tmp_path, how, caplog):
    """A copy of the directory, then entries, or the file, of another."""
    rng = np.random.default_rng(0)
    rows, others = rng.standard_normal((2, COUNT, DIM))
    for name, embeddings in (("a", rows), ("b", others)):
        with Gallery.open(tmp_path / name, dim=DIM, index="flat-sq8") as gallery:
            gallery.add(embeddings)
            gallery.build_index()
    if how == "other gallery":
        shutil.copy(tmp_path / "b" / "index-000001-flat-sq8.faiss", tmp_path / "a")
    else:
        shutil.copytree(tmp_path / "a", tmp_path / "c")
        with Gallery.open(tmp_path / "c") as gallery:
            gallery.update(gallery.ids, others)
            gallery.compact()
        with Gallery.open(tmp_path / "a") as gallery:
            gallery.compact()
        shutil.copytree(tmp_path / "b", tmp_path / "d")
        os.replace(tmp_path / "b" / "index-000001-flat-sq8.faiss",  # noqa: PTH105
                   tmp_path / "a" / "index-000002-flat-sq8.faiss")  # fmt: skip
    with Gallery.open(tmp_path / "a", mode="r", index="flat-sq8") as gallery:
        assert (gallery.search(rows[:50], k=1).ids[:, 0] == np.arange(50)).all()
    assert "is not used and is built again" in caplog.text
