"""A gallery merges small commits and compacts by itself, at sensible moments."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.index import faiss_index
from sanreid.gallery.storage.opening import open_store
from tests.gallery.storage.recording import FailingDisk
from tests.gallery.storage.test_save_load import contents

EYE = np.eye(4)


@pytest.fixture(autouse=True)
def little_is_much(monkeypatch):
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 8)
    monkeypatch.setattr("sanreid.gallery.storage.memory_store.MAX_WASTE_ROWS", 20)


def test_a_working_writer_merges_its_commits(tmp_path):
    rows = np.random.default_rng(0).standard_normal((100, 4))
    twin = Gallery(4)
    with Gallery.open(tmp_path / "g", dim=4) as gallery:
        for number, row in enumerate(rows):
            for one in (gallery, twin):
                one.add([row], pids=[number % 7], metadata=[{"n": number}])
            assert gallery._store._log.num_commits <= 8
        for one in (gallery, twin):
            one.remove([3, 50])
        state = gallery._store.snapshot()
        assert len(gallery._store._table.metadata._batches[0]) <= 8
        assert len(gallery._store._log._vectors._table) <= 8 + 1  # blocks, nearly all merged
        for one in (gallery, twin):
            one.add(rows[:9])
        assert state.num_entries == 98
        assert [entry.metadata for entry in state.entries(np.arange(4))] == [
            {"n": 0}, {"n": 1}, {"n": 2}, {"n": 3},
        ]  # fmt: skip
        gallery.verify()
        assert contents(gallery) == contents(twin)
    with Gallery.open(tmp_path / "g", mode="r") as reader:
        assert reader._store._log.num_commits <= 8
        reader.verify()
        assert contents(reader) == contents(twin)
        found, true = reader.search(rows[:9], k=4), twin.search(rows[:9], k=4)
        np.testing.assert_array_equal(found.ids, true.ids)
        np.testing.assert_array_equal(found.similarities, true.similarities)


def test_a_reader_follows_a_writer_that_merges(tmp_path):
    with Gallery.open(tmp_path / "g", dim=4) as gallery:
        gallery.add(EYE)
        with Gallery.open(tmp_path / "g", mode="r") as reader:
            for number in range(30):
                gallery.add(EYE[:1], pids=[number])
                reader.refresh()
                assert contents(reader) == contents(gallery)
                reader.verify()


@pytest.mark.parametrize("stored", [False, True])
def test_churn_grows_neither_files_nor_memory(tmp_path, stored):
    gallery = Gallery.open(tmp_path / "g", dim=4) if stored else Gallery(4)
    gallery.add(np.tile(EYE, (10, 1)), pids=list(range(40)))
    for turn in range(100):
        gallery.update(gallery.ids[:5], np.tile(EYE, (2, 1))[:5], pids=[turn] * 5)
        assert gallery.stats()["removed_rows"] <= 45
    assert len(gallery) == 40
    assert len(gallery._store._table.pid_values) < 80
    gallery.verify()
    gallery.close()
    if stored:
        (vectors,) = (tmp_path / "g").glob("vectors-*")
        assert vectors.stat().st_size <= 85 * 16
        with Gallery.open(tmp_path / "g", mode="r") as reader:
            reader.verify()
            assert len(reader) == 40


def test_an_index_survives_a_merge(tmp_path, monkeypatch, small_indexes):
    rows = np.random.default_rng(0).standard_normal((500, 8))
    with Gallery.open(tmp_path / "g", dim=8, index="flat-sq8") as gallery:
        gallery.add(rows)
        gallery.build_index()
        monkeypatch.delattr(faiss_index.FaissIndex, "build")
        for number in range(20):
            gallery.add(rows[:1], pids=[number])
            assert gallery.search(rows[9:10], k=1).ids.tolist() == [[9]]
        assert gallery._store._log.description.generation > 1
        gallery.verify()
    (cache,) = (tmp_path / "g").glob("index-*")
    with Gallery.open(tmp_path / "g", mode="r", index="flat-sq8") as reader:
        assert reader.search(rows[9:10], k=1).ids.tolist() == [[9]]
        assert reader.stats()["indexed_rows"] == 500
    assert cache.name.startswith(f"index-{int(cache.name[6:12]):06d}-flat-sq8")


@pytest.mark.parametrize("number", range(1, 8))
def test_what_cannot_be_tidied_harms_no_change(tmp_path, number, caplog):
    disk = FailingDisk()
    gallery = Gallery._of_store(
        open_store(tmp_path / "g", dim=4, mode="rw", index="auto", fingerprint=None, disk=disk)
    )
    for _ in range(6):
        gallery.add(EYE)
    disk.fail_at(6 + number)  # a change makes six calls, what follows is the merge
    gallery.add(EYE)
    expected = contents(gallery)
    disk.fail_at(10**9)
    assert len(expected) == 28
    assert "stay as they are" in caplog.text
    if gallery._store._log.broken:
        with pytest.raises(GalleryError, match="Open the gallery again"):
            gallery.add(EYE)
    else:
        gallery.add(EYE)
        gallery.remove(gallery.ids[28:])
        gallery.verify()
    gallery.close()
    with Gallery.open(tmp_path / "g") as again:
        assert contents(again) == expected
        again.verify()


def test_small_blocks_become_large_ones_and_damage_is_not_blessed(tmp_path):
    rows = np.random.default_rng(0).standard_normal((6, 4))
    with Gallery.open(tmp_path / "g", dim=4) as gallery:
        for row in rows:
            gallery.add([row])
        (vectors,) = (tmp_path / "g").glob("*.f32")
        raw = bytearray(vectors.read_bytes())
        raw[40] ^= 1
        vectors.write_bytes(raw)
    with Gallery.open(tmp_path / "g") as gallery:
        gallery.add(rows[:1])
        gallery.add(rows[:1])  # time to merge, but for the damage
        assert gallery._store._log.num_commits > 1
        with pytest.raises(GalleryError, match="checksum of rows 2 to 2"):
            gallery.search(rows)
