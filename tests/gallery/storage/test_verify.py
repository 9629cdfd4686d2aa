"""verify reads one consistent state, locks nothing, and takes no left-over for damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.files.filenames import fresh_prefix
from sanreid.gallery.storage.opening import open_store
from sanreid.gallery.storage.snapshots import Snapshot

EYE = np.eye(4)


@pytest.fixture
def path(tmp_path):
    with Gallery.open(tmp_path / "g", dim=4) as gallery:
        gallery.add(EYE, pids=["a", "b", "c", "d"])
    return tmp_path / "g"


@pytest.mark.skipif(os.name == "nt", reason="needs flock")
def test_verify_takes_no_lock(path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise AssertionError("locked")

    with Gallery.open(path, mode="r") as reader:
        monkeypatch.setattr(fcntl, "flock", refuse)
        reader.verify()
        monkeypatch.undo()


class Steps(Disk):
    """Calls a probe before each touch of the disk, as one that comes between would."""

    def __init__(self):
        self.probe = lambda: None
        self.probed = 0

    def _step(self):
        self.probed += 1
        self.probe()

    def write(self, fd, data, offset):
        self._step()
        half = memoryview(data).cast("B")[: max(1, memoryview(data).nbytes // 2)]
        super().write(fd, half, offset)
        self._step()
        super().write(fd, data, offset)

    def sync(self, fd):
        self._step()
        super().sync(fd)

    def link(self, folder, source, target):
        self._step()
        super().link(folder, source, target)

    def replace(self, folder, source, target):
        self._step()
        super().replace(folder, source, target)

    def remove(self, folder, name):
        self._step()
        super().remove(folder, name)


@pytest.mark.parametrize("change", ["add", "remove", "compact", "merge"])
def test_a_reader_beside_a_working_writer_finds_no_damage(path, monkeypatch, change):
    disk = Steps()
    writer = open_store(path, dim=None, mode="rw", index="auto", fingerprint=None, disk=disk)
    gallery = Gallery._of_store(writer)
    with Gallery.open(path, mode="r") as old:

        def probe():
            old.verify()
            with Gallery.open(path, mode="r") as fresh:
                fresh.verify()

        disk.probe = probe
        if change == "add":
            gallery.add(EYE, pids=[1, 2, 3, 4], metadata=[{"a": 1}] * 4)
        elif change == "remove":
            gallery.remove([0])
        elif change == "compact":
            gallery.compact()
        else:
            monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 2)
            gallery.add(EYE)
    assert disk.probed > 5
    disk.probe = lambda: None
    gallery.close()


def test_what_a_killed_writer_left_is_told_but_its_other_files_are_no_damage(path):
    code = (
        "import os, sys\nfrom sanreid.gallery import Gallery\n"
        "gallery = Gallery.open(sys.argv[1])\nos._exit(0)"  # the lock file keeps its number
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert (path / "lock").read_text().isdigit()
    for name in ("gallery.json.new", "entries-000002.log", "vectors-000002.f32",
                 "index-000002-ivf.faiss", "index-000001-ivf.faiss.new"):  # fmt: skip
        (path / name).write_bytes(b"half")
    with Gallery.open(path, mode="r") as reader:
        reader.verify()
        with (path / "entries-000001.log").open("ab") as file:
            file.write(b"half a record")
        with pytest.raises(GalleryError, match="13 bytes behind the last commit"):
            reader.verify()
    with Gallery.open(path) as writer:
        writer.verify()
        assert sorted(one.name for one in path.iterdir()) == [
            "entries-000001.log", "gallery.json", "lock", "vectors-000001.f32",
        ]  # fmt: skip


def test_a_writer_that_cannot_be_seen_is_known_by_what_it_changes(path, monkeypatch):
    """Its process may run on another machine, or in a container of its own."""
    log = path / "entries-000001.log"

    def work_on(_seconds):
        with log.open("ab") as file:
            file.write(b"more")

    with Gallery.open(path, mode="r") as reader:
        work_on(0)
        with pytest.raises(GalleryError, match="4 bytes behind the last commit"):
            reader.verify()
        monkeypatch.setattr("time.sleep", work_on)
        reader.verify()


def test_a_shortened_file_is_told_and_not_read(path):
    with Gallery.open(path, mode="r") as reader:
        reader.search(EYE)
        os.truncate(path / "vectors-000001.f32", 0)
        os.truncate(path / "entries-000001.log", 4100)
        with pytest.raises(
            GalleryError, match="f32 is cut short: 0 bytes, 64 wanted(?s:.*)log is cut"
        ):
            reader.verify()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be deleted there")
def test_deleting_the_lock_file_lets_no_second_writer_in(path):
    first = Gallery.open(path)
    (path / "lock").unlink()
    with pytest.raises(GalleryError, match="open for writing by another process"):
        Gallery.open(path)
    with pytest.raises(GalleryError, match="open for writing by another process"):
        Gallery(4).save(path)
    first.add(EYE)
    first.close()
    with Gallery.open(path) as gallery:
        assert len(gallery) == 8


def test_a_lock_file_deleted_between_opening_and_locking_is_made_again(path, monkeypatch):
    import fcntl

    lock, flock = path / "lock", fcntl.flock
    deleted = []

    def delete_first(fd, how):
        if not deleted:
            deleted.append(lock.unlink())
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with Gallery.open(path):
        assert lock.read_text() == str(os.getpid())
    assert deleted


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("change", ["add", "update", "remove", "forget"])
def test_ctrl_c_between_applying_and_publishing_leaves_ids_and_get_agreed(
    tmp_path, monkeypatch, stored, change
):
    gallery = Gallery.open(tmp_path / "g", dim=4) if stored else Gallery(4)
    gallery.add(EYE, pids=["a", "b", "c", "d"])

    def interrupt(table):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Snapshot, "of", interrupt)
    calls = {
        "add": lambda: gallery.add(EYE[:1], pids=["e"]),
        "update": lambda: gallery.update([0], pids=["x"]),
        "remove": lambda: gallery.remove([0]),
        "forget": lambda: gallery.remove(where={"pid": "b"}),
    }
    if stored:
        gallery._store._check_writable = lambda: None  # which publishes, too
    with pytest.raises(KeyboardInterrupt):
        calls[change]()
    ids = gallery.ids.tolist()
    assert [entry.id for entry in gallery.get(ids)] == ids
    assert all(number in gallery for number in ids)
    assert gallery.find({"pid": {"$in": ["a", "b", "c", "d", "e", "x"]}}).tolist() == ids
    gallery._store.__dict__.pop("_check_writable", None)
    gallery.add(EYE[:1], pids=["f"])
    assert [entry.id for entry in gallery.get(gallery.ids)] == gallery.ids.tolist()
    gallery.close()


def test_ctrl_c_in_the_middle_of_a_removal_leaves_ids_and_get_agreed(tmp_path):
    class Interrupted(dict):
        def __delitem__(self, key):
            if key == 1:
                raise KeyboardInterrupt
            super().__delitem__(key)

    with Gallery.open(tmp_path / "g", dim=4) as gallery:
        gallery.add(EYE, pids=["a", "b", "c", "d"])
        table = gallery._store._table
        table._row_of = Interrupted(table.row_of())
        with pytest.raises(KeyboardInterrupt):
            gallery.remove([0, 1, 2])
        assert gallery.ids.tolist() == [0, 1, 2, 3]
        assert [entry.pid for entry in gallery.get(gallery.ids)] == ["a", "b", "c", "d"]
        with pytest.raises(GalleryError, match="Open the gallery again"):
            gallery.remove([3])
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.ids.tolist() == [3]  # it was on disk already


@pytest.mark.skipif(os.name == "nt", reason="one cannot ask there whether a process runs")
@pytest.mark.parametrize("how", ["save new", "save over", "open", "create"])
def test_unfinished_galleries_of_dead_processes_are_swept(tmp_path, how):
    path = tmp_path / "g"
    run = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                         capture_output=True, text=True, check=True)  # fmt: skip
    left = tmp_path / f"{fresh_prefix(path)}{run.stdout.strip()}-abcd"
    alive = tmp_path / f"{fresh_prefix(path)}{os.getpid()}-abcd"
    gallery = Gallery(4)
    gallery.add(EYE, pids=["secret"] * 4)
    if how in ("save over", "open"):
        gallery.save(path)
    gallery.save(tmp_path / "copy")
    shutil.move(tmp_path / "copy", left)
    alive.mkdir()
    if how.startswith("save"):
        gallery.save(path)
    else:
        Gallery.open(path, dim=4).close()
    assert not left.exists()
    assert alive.exists()


def test_searches_see_only_whole_states_while_others_verify(path):
    problems, done = [], threading.Event()

    def verify():
        with Gallery.open(path, mode="r") as reader:
            while not done.is_set():
                try:
                    reader.verify()
                    reader.refresh()
                except GalleryError as error:
                    problems.append(str(error))

    threads = [threading.Thread(target=verify) for _ in range(2)]
    for thread in threads:
        thread.start()
    with Gallery.open(path) as writer:
        for number in range(60):
            writer.add(EYE[:1], pids=[number])
            if number % 20 == 19:
                writer.compact()
        done.set()
        for thread in threads:
            thread.join()
    assert problems == []
