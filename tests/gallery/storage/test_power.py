"""A power cut leaves synced bytes and, of the rest, anything; a full disk leaves all there was."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.storage.opening import open_store
from tests.gallery.storage.histories import DIM, contents, step
from tests.gallery.storage.recording import FailingDisk, Medium, RecordingDisk


@pytest.fixture(autouse=True)
def few_commits_are_many(monkeypatch):
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 3)


def open_on(path, disk, dim=None):
    return Gallery._of_store(
        open_store(path, dim=dim, mode="rw", index="auto", fingerprint=None, disk=disk)
    )


def check_power_cuts(tmp_path, steps, draws):
    disk, path = RecordingDisk(), tmp_path / "live" / "g"
    path.parent.mkdir()
    rng = np.random.default_rng(1)
    states = []
    gallery = open_on(path, disk, DIM)
    states.append(contents(gallery))
    disk.events.append(("ack", 0))
    for number in range(1, steps):
        if number % 4 == 0:  # opening makes one commit of many
            gallery.close()
            gallery = open_on(path, disk)
        step(gallery, rng)
        states.append(contents(gallery))
        disk.events.append(("ack", number))
    gallery.close()
    assert any(event[0] == "link" for event in disk.events)
    medium, acknowledged, chance = Medium(), -1, np.random.default_rng(2)
    for number, event in enumerate(disk.events):
        if event[0] == "ack":
            acknowledged = event[1]
        else:
            medium.take(event)
        for draw in range(draws):
            check_one(tmp_path / f"{number}-{draw}", medium, path, states, acknowledged, chance)


def test_nothing_is_named_or_acknowledged_before_it_is_on_the_medium(tmp_path):
    disk, path = RecordingDisk(), tmp_path / "g"
    rng = np.random.default_rng(6)
    gallery = open_on(path, disk, DIM)
    disk.events.append(("ack", 0))
    for number in range(24):
        if number % 5 == 4:
            gallery.close()
            gallery = open_on(path, disk)
        step(gallery, rng)
        disk.events.append(("ack", number))
    gallery.close()
    medium, acks = Medium(), 0
    for event in disk.events:
        if event[0] == "write" and event[3] in (512, 1024) and len(event[2]) < 64:  # a head
            assert not any(medium.pending.values()), event
        if event[0] in ("ack", "replace"):
            acks += 1
            assert not any(medium.pending.values()), event
            late = [one for _, one in medium.pending_names if one[0] != "remove"]
            if event[0] == "replace":  # the new description itself is named by this very event
                late = [one for one in late if not one[1].endswith("gallery.json.new")]
            assert not late, event
        medium.take(event)
    assert acks > 30


def test_a_kill_and_then_a_power_cut(tmp_path, monkeypatch):
    """The next writer must not delete what a rename, not yet on the medium, replaces."""
    disk, path = RecordingDisk(), tmp_path / "live" / "g"
    path.parent.mkdir()
    gallery = open_on(path, disk, DIM)
    gallery.add(np.ones((3, DIM)), pids=["a", "b", "c"])
    gallery.remove([1])
    expected, sync_folder = contents(gallery), RecordingDisk.sync_folder

    def killed(self, folder):
        if (path / "gallery.json").read_text().count('"generation": 1') == 0:
            raise KeyboardInterrupt
        sync_folder(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(RecordingDisk, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            gallery.compact()
    gallery.close()
    open_on(path, disk).close()
    medium, chance = Medium(), np.random.default_rng(0)
    for event in disk.events:
        medium.take(event)
    for draw in range(15):
        check_one(tmp_path / str(draw), medium, path, [expected], 0, chance)


def check_one(root, medium, path, states, acknowledged, chance):
    """Rebuild the folder as a cut may leave it, and open it."""
    for name, data in medium.after_a_cut(chance).items():
        file = root / path.parent.joinpath(name).relative_to(path.parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    if acknowledged < 0 and not (root / "g").exists():
        return
    with Gallery.open(root / "g") as gallery:
        found = contents(gallery)
        assert found in states[max(acknowledged, 0) : acknowledged + 2]
        gallery.verify()
        gallery.add(np.ones((1, DIM)))
    with Gallery.open(root / "g", mode="r") as gallery:
        assert len(gallery) == len(found)  # one entry more, one fingerprint less
        gallery.verify()


def test_power_cuts(tmp_path):
    check_power_cuts(tmp_path, steps=9, draws=1)


@pytest.mark.slow
def test_many_power_cuts(tmp_path):
    check_power_cuts(tmp_path, steps=50, draws=4)


@pytest.mark.parametrize("failing_for", [1, 2, 100])
def test_a_full_disk_loses_nothing_acknowledged(tmp_path, failing_for):
    disk, path = FailingDisk(), tmp_path / "g"
    rng = np.random.default_rng(3)
    gallery = open_on(path, disk, DIM)
    gallery.add(rng.standard_normal((8, DIM)), pids=[1, "a"] * 4)
    failures = 0
    for number in range(1, 50):
        before, twin = contents(gallery), Gallery.load(path)
        state = rng.bit_generator.state
        disk.fail_at(number % 12 + 1, failing_for=failing_for)
        message = None
        try:
            step(gallery, rng)
        except GalleryError as error:
            message = str(error)
        disk.fail_at(10**9)
        if message is not None:
            failures += 1
            assert "cannot be written" in message
            assert contents(gallery) == before
            gallery.close()
            disk.fail_at(number % 5 + 1)  # while commits are merged, too
            with contextlib.suppress(GalleryError):
                open_on(path, disk).close()
            disk.fail_at(10**9)
            gallery = open_on(path, disk)
            if contents(gallery) != before:  # whole, though it was not acknowledged
                assert "Nothing was changed" not in message
                replay = np.random.default_rng()
                replay.bit_generator.state = state
                step(twin, replay)
                assert contents(gallery) == contents(twin)
        gallery.verify()
    gallery.close()
    assert failures > 15


def test_a_failed_write_can_be_tried_again(tmp_path):
    disk = FailingDisk()
    with open_on(tmp_path / "g", disk, 2) as gallery:
        disk.fail_at(1)
        with pytest.raises(GalleryError, match="No space left on device.*Nothing was changed"):
            gallery.add([[1, 0]])
        assert len(gallery) == 0
        assert gallery.add([[1, 0]]).tolist() == [0]
        gallery.verify()


def test_a_write_that_cannot_be_taken_back_asks_for_opening_again(tmp_path):
    disk = FailingDisk()
    gallery = open_on(tmp_path / "g", disk, 2)
    gallery.add([[1, 0]])
    disk.fail_at(3, failing_for=100)
    with pytest.raises(GalleryError, match="cannot be written"):
        gallery.add([[0, 1]])
    disk.fail_at(10**9)
    with pytest.raises(GalleryError, match="Open the gallery again"):
        gallery.add([[0, 1]])
    assert len(gallery) == 1
    gallery.close()
    with Gallery.open(tmp_path / "g") as again:
        assert len(again) == 1
        again.verify()


@pytest.mark.parametrize("number", range(1, 12))
def test_a_full_disk_while_making_or_saving(tmp_path, number, monkeypatch):
    disk = FailingDisk()
    disk.fail_at(number)
    with contextlib.suppress(GalleryError):
        open_on(tmp_path / "g", disk, 2).close()
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "g"])
    monkeypatch.setattr("sanreid.gallery.storage.memory_store.Disk", lambda: disk)
    old, new = Gallery(2), Gallery(2)
    old.add([[1, 0]], pids=["old"])
    new.add([[1, 0]], pids=["new"])
    disk.fail_at(10**9)
    old.save(tmp_path / "s")
    disk.fail_at(number)
    saved = False
    with contextlib.suppress(GalleryError):
        new.save(tmp_path / "s")
        saved = True
    disk.fail_at(10**9)
    assert Gallery.load(tmp_path / "s").get(0)[0].pid in (["new"] if saved else ["old", "new"])
    with Gallery.open(tmp_path / "s") as gallery:
        gallery.verify()


def test_a_full_disk_says_so_when_making(tmp_path):
    disk = FailingDisk()
    disk.fail_at(1)
    with pytest.raises(GalleryError, match="g cannot be written: .*No space left on device"):
        open_on(tmp_path / "g", disk, 2)
