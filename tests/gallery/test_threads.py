from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.filters import parse
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.opening import open_store
from sanreid.gallery.storage.table import Table


@pytest.mark.parametrize("stored", [False, True])
def test_searches_beside_a_writer_see_only_states_that_existed(tmp_path, stored):
    # Batch b replaces all of batch b - 1 in two steps, so a state holds one batch or two that
    # follow each other, always whole.
    gallery = Gallery.open(tmp_path / "g", dim=4) if stored else Gallery(4)
    size, batches = 50, 21
    rng = np.random.default_rng(0)
    gallery.add(rng.standard_normal((size, 4)), pids=[0] * size, metadata=[{"b": 0}] * size)
    done, problems = threading.Event(), []

    def search(seed):
        queries = np.random.default_rng(seed).standard_normal((2, 4))
        while not done.is_set():
            result = gallery.search(queries, k=3 * size, where={"b": {"$gte": 0}})
            for hits in result:
                seen = {hit.pid for hit in hits}
                whole = len(hits) == size * len(seen)
                follow = max(seen) - min(seen) == len(seen) - 1
                same = all(hit.metadata == {"b": hit.pid} for hit in hits)
                if not (whole and follow and same and 1 <= len(seen) <= 2):
                    problems.append((len(hits), seen))

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for batch in range(1, batches):
        rows = rng.standard_normal((size, 4))
        gallery.add(rows, pids=[batch] * size, metadata=[{"b": batch}] * size)
        gallery.remove(where={"pid": batch - 1})
        if batch % 10 == 0:
            gallery.compact()
    done.set()
    for thread in threads:
        thread.join()
    gallery.close()
    assert problems == []


@pytest.mark.parametrize("stored", [False, True])
def test_a_state_stays_while_others_follow(tmp_path, stored):
    gallery = Gallery.open(tmp_path / "g", dim=2) if stored else Gallery(2)
    gallery.add([[1, 0], [0, 1]], pids=["a", "b"], metadata=[{"n": 1}, {"n": 2}])
    gallery.add([[1, 0]], metadata=[{"n": 9}])
    gallery.remove([2])
    state = gallery._store.snapshot()
    rows = lambda: np.flatnonzero(state.matching(parse({"n": {"$gte": 1}}))).tolist()  # noqa: E731
    gallery.remove([0])
    assert (state.num_entries, rows()) == (2, [0, 1])
    gallery.update([1], pids=["c"], metadata=[{"n": 3}])
    gallery.add([[1, 1]], metadata=[{"n": 4}])
    assert rows() == [0, 1]
    gallery.compact()
    assert [entry.pid for entry in state.entries(np.arange(2))] == ["a", "b"]
    assert gallery.find({"n": {"$gte": 1}}).tolist() == [1, 3]
    gallery.close()


def test_two_threads_adding_lose_nothing():
    gallery = Gallery(2)

    def add(pid):
        for _ in range(100):
            gallery.add(np.ones((3, 2)), pids=[pid] * 3)

    threads = [threading.Thread(target=add, args=(pid,)) for pid in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gallery.ids.tolist() == list(range(1200))
    assert [len(gallery.find({"pid": pid})) for pid in range(4)] == [300] * 4


def test_importing_the_gallery_loads_neither_torch_nor_faiss():
    code = (
        "import sys, sanreid.gallery; "
        "sys.exit(bool({'torch', 'faiss', 'PIL', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_searches_do_not_wait_for_a_slow_disk(tmp_path):
    writing, go_on = threading.Event(), threading.Event()

    class SlowDisk(Disk):
        slow = False

        def sync(self, fd):
            if self.slow:
                writing.set()
                assert go_on.wait(20)
            super().sync(fd)

    disk = SlowDisk()
    gallery = Gallery._of_store(
        open_store(tmp_path / "g", dim=2, mode="rw", index="auto", fingerprint=None, disk=disk)
    )
    gallery.add([[1, 0]], pids=["old"])
    disk.slow = True
    thread = threading.Thread(target=lambda: gallery.add([[1, 0]], pids=["new"]))
    thread.start()
    assert writing.wait(20)
    assert gallery.search([1, 0], k=5).pids[0].tolist() == ["old", None, None, None, None]
    assert (len(gallery), gallery.find({"pid": "new"}).tolist()) == (1, [])
    go_on.set()
    thread.join()
    assert gallery.search([1, 0], k=2).pids[0].tolist() == ["old", "new"]
    gallery.close()


def test_ctrl_c_in_the_middle_of_adding_changes_nothing(monkeypatch):
    gallery = Gallery(2)
    gallery.add([[1, 0]] * 3, pids=[1, 2, 3], metadata=[{"a": 1}] * 3)
    for step in ("extend", "finish"):

        def interrupt(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Table, step, interrupt)
            with pytest.raises(KeyboardInterrupt):
                gallery.update([0], [[0, 1]], pids=["x"])
        assert gallery.search([1, 0], k=9).ids[0, :4].tolist() == [0, 1, 2, -1]
        gallery.add([[0, 1]], pids=["y"], metadata=[{"a": 2}])
        assert gallery.search([0, 1], k=1)[0][0].metadata == {"a": 2}
        gallery.remove(where={"pid": "y"})
    assert [entry.pid for entry in gallery.get([0, 1, 2])] == [1, 2, 3]


def test_ctrl_c_in_the_middle_of_a_stored_change_asks_for_opening_again(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with Gallery.open(tmp_path / "g", dim=2) as gallery:
        gallery.add([[1, 0]])
        with monkeypatch.context() as patch:
            patch.setattr(Table, "finish", interrupt)
            with pytest.raises(KeyboardInterrupt):
                gallery.add([[0, 1]])
        assert len(gallery) == 1
        with pytest.raises(GalleryError, match="Open the gallery again"):
            gallery.add([[0, 1]])
    with Gallery.open(tmp_path / "g") as gallery:
        assert len(gallery) == 2  # it was on disk already
        gallery.verify()
