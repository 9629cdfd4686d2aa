"""Links, pipes and left-overs in a gallery's directory: never followed, nor waited for."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.opening import open_store
from tests.gallery.storage.recording import FailingDisk
from tests.gallery.storage.test_save_load import contents

EYE = np.eye(4)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
FILES = ("gallery.json", "entries-000001.log", "vectors-000001.f32", "lock")


@pytest.fixture
def path(tmp_path):
    with Gallery.open(tmp_path / "g", dim=4) as gallery:
        gallery.add(EYE, pids=["a", "b", "c", "d"])
    return tmp_path / "g"


def open_on(path, disk):
    return Gallery._of_store(
        open_store(path, dim=None, mode="rw", index="auto", fingerprint=None, disk=disk)
    )


def saved(path):
    gallery = Gallery(4)
    gallery.add(EYE[:2], pids=["new", "new"])
    gallery.save(path)
    return gallery


@pytest.mark.parametrize(
    "name",
    [
        "gallery.json.new",
        "vectors-000002.f32",
        "entries-000002.log",
        "index-000001-ivf.faiss.new",
        "vectors-000009.f32",
    ],
)
@pytest.mark.parametrize("link", ["symbolic", "hard"])
@pytest.mark.parametrize("step", ["save", "compact", "merge"])
def test_a_planted_link_is_not_written_through(path, tmp_path, monkeypatch, name, link, step):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious" * 1000)
    writer = Gallery.open(path) if step != "save" else None
    if link == "symbolic":
        (path / name).symlink_to(victim)
    else:
        os.link(victim, path / name)
    if writer is None:
        saved(path)
    elif step == "compact":
        writer.compact()
    else:
        monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 2)
        writer.add(EYE[:1])
        assert writer._store._log.num_commits == 1
    if writer is not None:
        writer.verify()
        writer.close()
    assert victim.read_bytes() == b"precious" * 1000
    assert not (path / name).is_symlink()
    Gallery.load(path).verify()


@pytest.mark.parametrize("name", FILES)
def test_a_link_in_the_place_of_a_file_is_refused(path, tmp_path, name):
    outside = tmp_path / "outside"
    (path / name).rename(outside)
    (path / name).symlink_to(outside)
    before = outside.read_bytes()
    with pytest.raises(GalleryError):
        Gallery.open(path)
    if name != "lock":
        with pytest.raises(GalleryError):
            Gallery.open(path, mode="r")
    assert outside.read_bytes() == before


def test_a_lock_that_is_a_dangling_link_creates_nothing(path, tmp_path):
    (path / "lock").unlink()
    (path / "lock").symlink_to(tmp_path / "outside")
    for call in (lambda: Gallery.open(path), lambda: saved(path)):
        with pytest.raises(GalleryError, match="cannot be opened for writing"):
            call()
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(path, name):
    (path / name).unlink()
    os.mkfifo(path / name)
    with pytest.raises(GalleryError, match="not a regular file|There is no gallery"):
        Gallery.open(path)
    if name != "lock":
        with pytest.raises(GalleryError, match="not a regular file|There is no gallery"):
            Gallery.open(path, mode="r")


def test_a_pipe_in_the_place_of_an_index_is_not_waited_for(tmp_path, small_indexes, caplog):
    rows = np.random.default_rng(0).standard_normal((400, 8))
    with Gallery.open(tmp_path / "g", dim=8, index="flat-sq8") as gallery:
        gallery.add(rows)
        gallery.build_index()
    (cache,) = (tmp_path / "g").glob("index-*")
    cache.unlink()
    os.mkfifo(cache)
    with Gallery.open(tmp_path / "g", mode="r", index="flat-sq8") as gallery:
        assert gallery.search(rows[:3], k=1).ids[:, 0].tolist() == [0, 1, 2]
        with pytest.raises(GalleryError, match="not a regular file"):
            gallery.verify()
    assert "is not a regular file" in caplog.text


@pytest.mark.parametrize("number", range(1, 12))
def test_a_merge_that_fails_leaves_no_second_name(path, tmp_path, monkeypatch, number):
    """When there is room again, the mapped vectors must not be made anew under a reader."""
    disk = FailingDisk()
    gallery = open_on(path, disk)
    expected = contents(gallery)
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 1)
    disk.fail_at(number)
    gallery._store._tidy()
    assert disk.calls > 0
    disk.fail_at(10**9)
    log = gallery._store._log
    if log.description.generation == 1 and not log.broken:
        assert [one.name for one in path.glob("vectors*")] == ["vectors-000001.f32"]
    gallery.compact()
    assert len(list(path.glob("vectors*"))) == 1
    assert contents(gallery) == expected
    gallery.verify()
    gallery.close()
    assert contents(Gallery.load(path)) == expected


def test_a_second_name_left_by_a_killed_merge_harms_no_reader(path):
    os.link(path / "vectors-000001.f32", path / "vectors-000002.f32")
    with Gallery.open(path, mode="r") as reader:
        before = reader.search(EYE, k=4)
        saved(path)
        after = reader.search(EYE, k=4)
        assert after.ids.tolist() == before.ids.tolist()
        assert after.similarities.tolist() == before.similarities.tolist()
        reader.verify()
    assert Gallery.load(path).counts("pid") == {"new": 2}


def test_a_merge_takes_a_name_that_a_left_over_has(path, monkeypatch):
    gallery = Gallery.open(path)
    (path / "vectors-000002.f32").write_bytes(b"left over")
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 3)
    gallery.add(EYE[:1])
    assert gallery._store._log.num_commits == 1
    assert (path / "vectors-000002.f32").stat().st_size == 5 * 16
    gallery.verify()
    gallery.close()


@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "EINTR", "EIO", "EPERM"])
def test_a_file_system_without_locks_leaves_nothing_behind(tmp_path, monkeypatch, error):
    import errno
    import fcntl

    def refuse(*_):
        raise OSError(getattr(errno, error), "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(GalleryError, match='no locks available.*mode="r"'):
        Gallery.open(tmp_path / "deep" / "er" / "g", dim=4)
    with pytest.raises(GalleryError, match="no locks available"):
        saved(tmp_path / "other")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    saved(tmp_path / "g")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(GalleryError, match="no locks available"):
        Gallery.open(tmp_path / "g")
    assert len(Gallery.load(tmp_path / "g")) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_left_as_it_is(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(GalleryError, match="cannot be written"):
            Gallery.open(tmp_path / "a" / "g", dim=4)
    finally:
        tmp_path.chmod(0o755)
    assert list(tmp_path.iterdir()) == []


def test_parents_made_on_the_way_go_when_it_fails(tmp_path):
    disk = FailingDisk()
    for number in range(1, 10):
        disk.fail_at(number)
        with pytest.raises(GalleryError, match="cannot be written"):
            open_store(
                tmp_path / "a" / "b" / "g", dim=2, mode="rw", index="auto", fingerprint=None,
                disk=disk,
            )  # fmt: skip
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def few_objects():
    """Let a collection of garbage look at what the test makes alone: that is much quicker."""
    gc.freeze()
    yield
    gc.unfreeze()


def open_descriptors():
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.usefixtures("few_objects")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize(
    "how", ["locked", "no vectors", "damaged", "no log", "linked lock", "dim"]
)
def test_a_refused_opening_leaves_no_descriptor_open(path, how):
    holder = Gallery.open(path) if how == "locked" else None
    if how == "no vectors":
        (path / "vectors-000001.f32").unlink()
    elif how == "no log":
        (path / "entries-000001.log").unlink()
    elif how == "damaged":
        (path / "entries-000001.log").write_bytes(b"x" * 5000)
    elif how == "linked lock":
        (path / "lock").unlink()
        (path / "lock").symlink_to("/dev/null")
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(GalleryError):
            Gallery.open(path, dim=5 if how == "dim" else None)
    assert open_descriptors() == before
    if holder is not None:
        holder.close()


def test_an_opening_that_meets_a_compaction_tries_again(path, monkeypatch):
    """The description names files that are gone when they are opened, because others took over."""
    opened = []

    class LateDisk(Disk):
        def open(self, folder, name, *, write):
            opened.append(name)
            if opened.count("gallery.json") == 1 and name.endswith(".f32"):
                with Gallery.open(path) as writer:
                    writer.remove([0])
                    writer.compact()
            return super().open(folder, name, write=write)

    store = open_store(path, dim=None, mode="r", index="auto", fingerprint=None, disk=LateDisk())
    assert store.ids().tolist() == [1, 2, 3]
    assert opened.count("gallery.json") == 3  # before, to see that it changed, and again
    store.close()


def test_files_that_are_simply_missing_are_told_at_once(path):
    (path / "vectors-000001.f32").unlink()
    with pytest.raises(GalleryError, match="lacks a file"):
        Gallery.open(path)


@pytest.mark.usefixtures("few_objects")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_reader_that_refreshes_for_ever_holds_no_more_descriptors(path):
    with Gallery.open(path) as writer, Gallery.open(path, mode="r") as reader:
        before = open_descriptors()
        for number in range(30):
            writer.add(EYE[:1], pids=[number], metadata=[{"n": number}])
            reader.refresh()
            assert reader.find({"n": number}).tolist() == [4 + number]
        assert open_descriptors() <= before + 2
