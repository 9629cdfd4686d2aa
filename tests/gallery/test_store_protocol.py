"""The face of a gallery uses nothing of its store that the protocol does not name."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.gallery import Gallery
from sanreid.gallery.storage.memory_store import MemoryStore
from sanreid.gallery.storage.opening import open_store
from sanreid.gallery.store import Store

NAMED = {name for name in vars(Store) if not name.startswith("_")} | {"__len__", "__contains__"}
DIM = 8


class OnlyWhatIsNamed:
    """A store that has the members of the protocol and no others."""

    def __init__(self, store):
        self._real = store
        self.used = set()

    def __getattr__(self, name):
        if name not in NAMED:
            raise AssertionError(f"{name} is not in the protocol")
        self.used.add(name)
        return getattr(self._real, name)

    def __len__(self):
        self.used.add("__len__")
        return len(self._real)

    def __contains__(self, number):
        self.used.add("__contains__")
        return number in self._real


def people():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(30), 6)
    return np.eye(30, DIM)[pids] + 0.3 * rng.standard_normal((180, DIM)) + pids[:, None] % 3, pids


@pytest.mark.parametrize("stored", [False, True])
def test_a_gallery_lives_its_life_by_the_protocol_alone(tmp_path, stored):
    store = OnlyWhatIsNamed(
        open_store(tmp_path / "g", dim=DIM, mode="rw", index="auto", fingerprint=None)
        if stored
        else MemoryStore(DIM)
    )
    gallery = Gallery._of_store(store)
    rows, pids = people()
    camids = np.arange(180) % 3
    gallery.add(rows, pids=pids, camids=camids, timestamps=np.arange(180.0),
                metadata=[{"n": n} for n in range(180)])  # fmt: skip
    gallery.add_tracklets(rows[:4], ["a", "a", "b", "b"], pids=["x", "x", "y", "y"])
    gallery.update([0], pids=["z"])
    gallery.remove([1])
    gallery.remove(where={"pid": "y"})
    assert len(gallery) == len(gallery.ids) == 180
    assert 0 in gallery
    assert 1 not in gallery
    assert gallery.get([0])[0].pid == "z"
    assert gallery.find({"n": 5}).tolist() == [5]
    assert gallery.search(rows[:3], k=2, where={"camid": 1}).counts.tolist() == [2, 2, 2]
    gallery.calibrate(rows, pids, camids, false_match_rate=0.1)
    assert gallery.calibration is not None
    assert len(gallery.identify(rows[:3])) == 3
    gallery.evaluate_open_set(rows[:40], [f"new {n}" if n % 2 else pids[n] for n in range(40)])
    gallery.build_index()
    assert gallery.recall(k=3, sample=5) == 1.0
    assert gallery.counts("pid")["z"] == 1
    assert gallery.stats()["entries"] == 180
    assert f"180 entries, dim={DIM}" in repr(gallery)
    gallery.export(tmp_path / "entries.npz")
    gallery.save(tmp_path / "copy")
    gallery.compact()
    gallery.verify()
    gallery.refresh()
    other = Gallery(DIM)
    other.import_from(tmp_path / "entries.npz")
    assert (
        other.ids.tolist() == gallery.ids.tolist() == Gallery.load(tmp_path / "copy").ids.tolist()
    )
    assert gallery.encoder_fingerprint is None
    gallery.close()
    assert store.used == NAMED, "named by the protocol and used by nobody"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_scan_is_of_one_state_in_pieces(size):
    store = MemoryStore(DIM)
    gallery = Gallery._of_store(store)
    rows, pids = people()
    gallery.add(rows, pids=pids)
    gallery.remove([3])
    batches = store.scan(size)
    first = next(batches)
    gallery.remove(gallery.ids[:100])
    rest = [first, *batches]
    assert [len(batch.embeddings) for batch in rest[:-1]] == [size] * (len(rest) - 1)
    assert np.concatenate([batch.ids for batch in rest]).tolist() == [0, 1, 2, *range(4, 180)]
    assert sum([list(batch.pids) for batch in rest], []) == np.delete(pids, 3).tolist()  # noqa: RUF017 - few
