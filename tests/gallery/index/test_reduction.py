"""The axes of an index, and how wide it searches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.index import faiss_index
from sanreid.gallery.index.exact import exact_search, nearly_best, rank_candidates
from sanreid.gallery.index.faiss_module import load_faiss
from sanreid.gallery.index.reduction import principal_axes, project
from sanreid.gallery.index.rows import Candidates, Rows
from sanreid.gallery.index.tuning import RecallProbe, tune
from sanreid.gallery.storage.vectors import MemoryVectors

DIM, COUNT = 96, 900

pytestmark = pytest.mark.usefixtures("small_indexes")


def flat_crops(seed=0, count=COUNT):
    """Unit rows around 60 people that hardly leave 12 of their 96 dimensions."""
    fixed = np.random.default_rng(99)
    turn, _ = np.linalg.qr(fixed.standard_normal((DIM, DIM)))
    people = fixed.standard_normal((60, 12))
    rng = np.random.default_rng(seed)
    rows = np.zeros((count, DIM))
    rows[:, :12] = people[rng.integers(0, 60, count)] + 0.5 * rng.standard_normal((count, 12))
    rows += 0.02 * rng.standard_normal((count, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows @ turn.T).astype(np.float32)


def test_axes_are_those_of_the_singular_value_decomposition():
    rows = flat_crops()
    axes = principal_axes(rows, 0.9)
    assert axes.shape == (DIM, 16)
    assert axes.dtype == np.float32
    np.testing.assert_allclose(axes.T @ axes, np.eye(16), atol=1e-5)
    _, lengths, right = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    assert (lengths[:16] ** 2).sum() >= 0.9 * (lengths**2).sum()
    np.testing.assert_allclose(abs((axes[:, :12] * right[:12].T).sum(axis=0)), 1, atol=1e-3)
    seen = project(rows, axes)
    assert abs(seen @ seen.T - rows @ rows.T).max() < 0.05


def test_no_axes_where_all_dimensions_matter():
    rows = np.random.default_rng(0).standard_normal((4000, 32), dtype=np.float32)
    assert principal_axes(rows, 0.9) is None
    assert principal_axes(rows[:, :8], 0.1) is None  # 16 axes would be more than there are
    assert project(rows, None) is rows


@pytest.mark.parametrize("kind", ["flat-sq8", "ivf", "ivf-sq8", "hnsw"])
def test_an_index_keeps_few_axes_and_similarities_stay_exact(kind, tmp_path):
    rows, queries = flat_crops(), flat_crops(seed=1, count=40)
    exact = Gallery(DIM)
    exact.add(rows)
    true = exact.search(queries, k=8)
    with Gallery.open(tmp_path / "g", dim=DIM, index=kind) as gallery:
        gallery.add(rows)
        found = gallery.search(queries, k=8)
        assert gallery.stats()["index_axes"] == 16
    shared = found.ids == true.ids
    assert shared.mean() > 0.8
    np.testing.assert_array_equal(found.similarities[shared], true.similarities[shared])
    with pytest.MonkeyPatch.context() as patch:  # the kept index, axes and all, answers the same
        patch.delattr(faiss_index.FaissIndex, "build")
        with Gallery.open(tmp_path / "g", mode="r", index=kind) as gallery:
            np.testing.assert_array_equal(gallery.search(queries, k=8).ids, found.ids)


def test_a_flipped_byte_in_the_axes_is_seen(tmp_path, caplog):
    rows = flat_crops()
    with Gallery.open(tmp_path / "g", dim=DIM, index="flat-sq8") as gallery:
        gallery.add(rows)
        gallery.build_index()
        (cache,) = (tmp_path / "g").glob("index-*")
        raw = bytearray(cache.read_bytes())
        raw[-1000] ^= 8  # the axes are 6 KiB, what follows them is shorter than this
        cache.write_bytes(raw)
        with pytest.raises(GalleryError, match="rebuilt when it is next needed"):
            gallery.verify()
    with Gallery.open(tmp_path / "g", mode="r", index="flat-sq8") as gallery:
        assert (gallery.search(rows[:50], k=1).ids[:, 0] == np.arange(50)).all()
    assert "is not used and is built again" in caplog.text


def test_a_cache_replaced_while_it_is_read_is_read_whole(tmp_path, monkeypatch):
    """What it says of itself and the index in it are of one file, whoever has its name."""
    rows = flat_crops()
    with Gallery.open(tmp_path / "g", dim=DIM, index="flat-sq8") as gallery:
        gallery.add(rows)
        gallery.build_index()
    (path,) = (tmp_path / "g").glob("index-*")
    faiss = load_faiss()
    read = faiss.read_index

    def read_another(reader):
        (tmp_path / "other").write_bytes(b"another file")
        (tmp_path / "other").replace(path)
        return read(reader)

    monkeypatch.setattr(faiss, "read_index", read_another)
    monkeypatch.delattr(faiss_index.FaissIndex, "build")
    with Gallery.open(tmp_path / "g", mode="r", index="flat-sq8") as gallery:
        assert (gallery.search(rows[:50], k=1).ids[:, 0] == np.arange(50)).all()
    assert path.read_bytes() == b"another file"


def test_tuning_takes_the_least_that_reaches_the_target():
    index = SimpleNamespace(width=1, overfetch=1)

    def recall():  # what is missed for want of candidates, and for want of width
        return 1 - 0.04 / index.overfetch - (0.12 / index.width if index.width < 24 else 0)

    tune(index, recall, target=0.97, max_width=24)
    assert index.overfetch == 4  # 0.04 / 4 <= 0.03 / 2, 0.04 / 2 is not
    assert index.width == 6  # 0.12 / 6 <= 0.02
    tune(index, lambda: 0.5, target=0.97, max_width=100)
    assert (index.width, index.overfetch) == (100, 256)


def test_a_recall_probe_counts_neighbours_but_not_the_row_itself():
    rows = np.array([[np.cos(a), np.sin(a)] for a in (0.0, 0.1, 0.3, 0.7, 1.5)], np.float32)
    gallery = Gallery(2)
    gallery.add(rows)
    rows = gallery._store.snapshot().rows()
    probe = RecallProbe(rows, 2, 5, np.random.default_rng(0))
    queries, found, similarities = exact_search(probe.search)
    assert probe.recall(Candidates(queries, found, similarities)) == 1.0
    assert probe.recall(None) == 1.0
    kept = ~((queries == 0) & (found == 2)) & ~((queries == 4) & (found != 4))
    # Of two neighbours each, row 0 has lost one and row 4 both: 7 of 10 are left.
    assert probe.recall(
        Candidates(queries[kept], found[kept], similarities[kept])
    ) == pytest.approx(0.7)


def test_nearly_best_keeps_all_that_may_be_among_the_best():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 24)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[200:210] = rows[
        3
    ]  # equal to the last bit: all are kept, or the smaller ids would be lost
    vectors = MemoryVectors(24)
    vectors.append(rows)
    queries = np.concatenate([rows[3:4], rows[50:54]])
    numbers = np.repeat(np.arange(5), 400)
    pairs = np.tile(np.arange(400), 5)
    stored = Rows(vectors, np.arange(400), None, object())
    kept = nearly_best(queries, numbers, pairs, stored, 4)
    assert len(kept[0]) < 40
    few = rank_candidates(queries, *kept, stored, 4, None)
    everything = rank_candidates(queries, numbers, pairs, stored, 4, None)
    for one, other in zip(few, everything, strict=True):
        np.testing.assert_array_equal(one, other)
    nothing = np.empty(0, np.int64)
    assert [len(part) for part in nearly_best(queries, nothing, nothing, stored, 4)] == [0, 0]


def test_tuning_measures_what_the_index_finds_without_help(monkeypatch):
    """Not the exact answers: of a search for nearly all rows, or where too few were proposed."""
    seen = []

    def probe(index, recall, target, max_width):
        for index.width, index.overfetch in ((1, 64), (1, 1), (max_width, 1)):
            seen.append(recall())

    monkeypatch.setattr(faiss_index, "tune", probe)
    gallery = Gallery(16, index="ivf")
    gallery.add(np.random.default_rng(0).standard_normal((400, 16)))
    gallery.build_index()
    assert max(seen[:2]) < 0.5  # one list of 80, whatever is asked of it
    assert seen[2] == 1.0
    assert gallery.recall(k=10) == 1.0  # what is missing is answered exactly


def test_similarities_never_leave_the_cosine_range():
    """Rows of norm 1 in float32 may have products a little beyond 1."""
    rows = np.array([[1.0000001, 0], [-1.0000001, 0], [0.6, 0.8]], np.float32)
    vectors = MemoryVectors(2)
    vectors.append(rows)
    assert float(rows[0] @ rows[0]) > 1
    queries = rows[:1]
    found = rank_candidates(
        queries,
        np.zeros(3, np.int64),
        np.arange(3),
        Rows(vectors, np.arange(3), None, object()),
        3,
        None,
    )
    assert found.rows.tolist() == [0, 2, 1]
    assert found.similarities.tolist() == [1.0, pytest.approx(0.6), -1.0]
