from __future__ import annotations

import contextlib
import errno
import gc
import multiprocessing
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from sanreid.errors import GalleryError, GalleryLockedError, InputError, UnknownIdError
from sanreid.gallery import Gallery
from sanreid.gallery.storage import opening
from sanreid.gallery.storage.files import locks
from sanreid.gallery.storage.files.disk import Disk
from tests.gallery.storage.test_save_load import contents

EYE = np.eye(4)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "g"
    with Gallery.open(path, dim=4) as gallery:
        gallery.add(EYE[:3], pids=[7, "anna", None], camids=[1, 2, None], metadata=[{"a": 1}] * 3)
    return path


def test_changes_are_there_after_opening_again(path):
    with Gallery.open(path) as gallery:
        gallery.add(EYE, pids=[1, 2, 3, 4], timestamps=[0.5, None, 1, 2])
        gallery.update([0], pids=["bert"], metadata=[{"b": 2}])
        gallery.remove([1])
        expected = contents(gallery)
    with Gallery.open(path, dim=4) as gallery:
        assert contents(gallery) == expected
        assert gallery.add(EYE[:1]).tolist() == [7]
        assert gallery.find({"b": 2}).tolist() == [0]
        gallery.verify()


def test_many_small_commits_and_chunks(path, monkeypatch):
    monkeypatch.setattr("sanreid.gallery.storage.files.mapped_vectors._CHUNK_BYTES", 1)
    monkeypatch.setattr("sanreid.gallery.storage.files.mapped_vectors._CHUNK_ROWS", 4096 // 16)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((900, 4))
    in_memory = Gallery(4)
    with Gallery.open(path, mode="rw") as gallery:
        gallery.remove([0, 1, 2])
        for start, stop in ((0, 1), (1, 2), (2, 300), (300, 301), (301, 900)):
            gallery.add(rows[start:stop], ids=range(1000 + start, 1000 + stop))
            in_memory.add(rows[start:stop], ids=range(1000 + start, 1000 + stop))
            result = gallery.search(rows[:5], k=9)
            assert result.ids.tolist() == in_memory.search(rows[:5], k=9).ids.tolist()
    with Gallery.open(path, mode="r") as gallery:
        result = gallery.search(rows[:5], k=9, where={"id": {"$gt": 1200}})
        other = in_memory.search(rows[:5], k=9, where={"id": {"$gt": 1200}})
        assert result.ids.tolist() == other.ids.tolist()
        assert contents(gallery) == contents(in_memory)
        gallery.verify()


@pytest.mark.parametrize("mode", ["rw", "r"])
def test_a_search_under_way_ends_on_the_rows_it_began_with(path, mode):
    with Gallery.open(path) as writer, contextlib.ExitStack() as stack:
        gallery = writer if mode == "rw" else stack.enter_context(Gallery.open(path, mode="r"))
        rows = gallery._store.snapshot().rows()  # as a search begins: nothing is read yet
        writer.remove([0])
        writer.compact()
        gallery.refresh()
        np.testing.assert_array_equal(rows.vectors.take(np.arange(3)), EYE[:3])
        assert gallery.ids.tolist() == [1, 2]


def test_a_search_under_way_reads_no_other_file_once_its_gallery_is_closed(path):
    gallery = Gallery.open(path, mode="r")
    rows = gallery._store.snapshot().rows()
    gallery.close()
    with Gallery.open(path.parent / "other", dim=4) as other:  # its files get the numbers
        other.add(2 * EYE)
        with pytest.raises(GalleryError, match=r"vectors-000001.f32 was closed; open the gallery"):
            rows.vectors.take(np.arange(3))


def test_a_missing_path_needs_a_dim(tmp_path):
    with pytest.raises(
        GalleryError, match="There is no gallery at .* To create one, pass its dim"
    ):
        Gallery.open(tmp_path / "g")
    with pytest.raises(GalleryError, match="There is no gallery at"):
        Gallery.open(tmp_path / "g", dim=4, mode="r")
    with pytest.raises(InputError, match="dim must be at least 1"):
        Gallery.open(tmp_path / "g", dim=0)
    assert not (tmp_path / "g").exists()


def test_what_is_asked_for_must_agree(path):
    with pytest.raises(GalleryError, match="has dim 4; dim=5 was asked for"):
        Gallery.open(path, dim=5)
    with pytest.raises(InputError, match="mode must be 'rw' or 'r'; got 'w'"):
        Gallery.open(path, mode="w")
    with pytest.raises(InputError, match="index must be one of"):
        Gallery.open(path, index="fast")
    with Gallery.open(path, encoder_fingerprint="aa"):
        pass
    with pytest.raises(GalleryError, match="the encoder aa; these come from bb"):
        Gallery.open(path, encoder_fingerprint="bb")
    with Gallery.open(path) as gallery:  # the lock was let go each time
        assert gallery.encoder_fingerprint == "aa"


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(GalleryError, match="not an empty folder or a gallery"):
        Gallery.open(tmp_path, dim=3)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_the_system_refuses(tmp_path):
    for call in (Gallery.load, Gallery.open, Gallery(2).save):
        with pytest.raises(GalleryError, match="No gallery can be at"):
            call(tmp_path / ("a" * 300))


def test_one_writer_named_to_the_second(path):
    with Gallery.open(path):
        with pytest.raises(GalleryError, match=f"open for writing by process {os.getpid()}"):
            Gallery.open(path)
        code = "import sys; from sanreid.gallery import Gallery; Gallery.open(sys.argv[1])"
        run = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert f"open for writing by process {os.getpid()}" in run.stderr
    Gallery.open(path).close()


def test_a_locked_gallery_names_its_holder(path):
    with Gallery.open(path):
        with pytest.raises(GalleryLockedError, match="wait=seconds") as locked:
            Gallery.open(path, wait=0.01)
        assert locked.value.holder == os.getpid()
        Gallery.open(path, mode="r", wait=5).close()  # a reader does not wait


@pytest.mark.parametrize("wait", [20, np.float32(20), float("inf"), 10**400])
def test_waiting_for_the_other_writer(path, monkeypatch, wait):
    holder, pauses = Gallery.open(path), []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            holder.close()

    monkeypatch.setattr(opening.time, "sleep", pause)
    with Gallery.open(path, wait=wait) as gallery:
        gallery.add(EYE[:1])
    assert len(pauses) == 3


@pytest.mark.parametrize("late", ["is_gallery", "move_folder"])
def test_a_gallery_that_another_process_creates_meanwhile_is_opened(tmp_path, monkeypatch, late):
    path, home = tmp_path / "g", opening if late == "is_gallery" else Disk
    asked = getattr(home, late)

    def after_the_other(*args):
        answer = None if late == "move_folder" else asked(*args)
        monkeypatch.undo()
        with Gallery.open(path, dim=4) as other:
            other.add(EYE[:1])
        return asked(*args) if late == "move_folder" else answer

    monkeypatch.setattr(home, late, after_the_other)
    with Gallery.open(path, dim=4) as gallery:
        assert len(gallery) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("wait", [-1, float("nan"), "5", True, None])
def test_a_wrong_wait(path, wait):
    with pytest.raises(InputError, match="wait must be seconds, at least 0; got"):
        Gallery.open(path, wait=wait)


def test_the_lock_dies_with_its_object(path):
    gc.disable()  # at once, not when the collector comes round
    try:
        gallery = Gallery.open(path)
        del gallery
        Gallery.open(path).close()
    finally:
        gc.enable()


def test_an_opening_that_fails_leaves_no_lock(path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(locks.os, "ftruncate", full)
    with pytest.raises(GalleryError, match="No space left"):
        Gallery.open(path)
    monkeypatch.undo()
    Gallery.open(path).close()


def test_a_damaged_source_leaves_nothing_at_the_target(path, tmp_path):
    Gallery.open(tmp_path / "target", dim=4).close()
    before = sorted(tmp_path.joinpath("target").iterdir())
    with Gallery.open(path, mode="r") as gallery:
        vectors = next(path.glob("vectors-*"))
        damaged = bytearray(vectors.read_bytes())
        damaged[3] ^= 64
        vectors.write_bytes(damaged)
        with pytest.raises(GalleryError):
            gallery.save(tmp_path / "target")
    assert sorted(tmp_path.joinpath("target").iterdir()) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_neither_writes_nor_holds_the_lock(path):
    gallery = Gallery.open(path)
    context = multiprocessing.get_context("fork")
    ready, answers, stop = context.Event(), context.Queue(), context.Event()

    def child():
        try:
            gallery.add(EYE[:1])
        except GalleryError as error:
            answers.put(str(error))
        answers.put(len(gallery))
        ready.set()
        stop.wait(20)

    process = context.Process(target=child)
    process.start()
    assert ready.wait(20)
    gallery.close()
    Gallery.open(path).close()
    stop.set()
    process.join()
    assert "opened by another process" in answers.get()
    assert answers.get() == 3


def test_many_small_commits_become_one(path, monkeypatch):
    with Gallery.open(path) as gallery:
        for number in range(30):
            gallery.add(EYE[number % 4], pids=[number], metadata=[{"n": number}])
        gallery.remove([1, 5])
        gallery.update([6], [EYE[0] + EYE[1]])
        expected, hits = contents(gallery), gallery.search(EYE, k=40).ids.tolist()
        log = path / "entries-000001.log"
        size = log.stat().st_size
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 20)
    with Gallery.open(path, mode="r") as reader:
        for _ in range(2):
            with Gallery.open(path) as gallery:
                assert contents(gallery) == expected
                assert gallery.search(EYE, k=40).ids.tolist() == hits
                assert gallery.stats()["removed_rows"] == 3
                gallery.verify()
        assert not log.exists()
        assert (path / "entries-000002.log").stat().st_size < size / 2
        assert contents(reader) == expected
        with Gallery.open(path) as gallery:
            assert gallery.add(EYE[:1]).tolist() == [33]
            gallery.verify()
        reader.refresh()
        assert len(reader) == len(expected) + 1


def test_commits_stay_many_where_files_have_one_name(path, monkeypatch):
    def refuse(*_):
        raise OSError("no second names here")

    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 1)
    monkeypatch.setattr("sanreid.gallery.storage.files.disk.Disk.link", refuse)
    with Gallery.open(path) as gallery:
        assert len(gallery) == 3
        assert (path / "entries-000001.log").exists()


def test_readers_see_a_fixed_state_until_they_refresh(path):
    with Gallery.open(path) as writer, Gallery.open(path, mode="r") as reader:
        writer.add(EYE[3:], pids=["new"])
        writer.remove([0])
        assert reader.ids.tolist() == [0, 1, 2]
        assert reader.search(EYE[3:], k=1, min_similarity=0.5).counts.tolist() == [0]
        reader.refresh()
        assert reader.ids.tolist() == [1, 2, 3]
        assert reader.search(EYE[3:], k=1).pids.tolist() == [["new"]]
        writer.compact()
        assert reader.ids.tolist() == [1, 2, 3]
        writer.add(EYE[:1])
        reader.refresh()
        assert reader.ids.tolist() == [1, 2, 3, 4]
        reader.refresh()
        writer.refresh()
        reader.verify()
        assert contents(reader) == contents(writer)


def test_readers_do_not_write(path):
    with Gallery.open(path, mode="r") as reader:
        for call in (
            lambda: reader.add(EYE[:1]),
            lambda: reader.remove([0]),
            lambda: reader.update([0], pids=[1]),
            reader.compact,
        ):
            with pytest.raises(GalleryError, match='open with mode="r"'):
                call()
    assert not any(one.name.startswith(".") for one in path.parent.iterdir())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs file permissions")
def test_readers_need_no_permission_to_write(path):
    path.chmod(0o555)
    try:
        with Gallery.open(path, mode="r") as reader:
            assert len(reader) == 3
    finally:
        path.chmod(0o755)


def test_what_the_system_refuses_is_our_error(path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("no")

    with monkeypatch.context() as patch:
        patch.setattr("os.open", refuse)
        with pytest.raises(GalleryError, match="cannot be opened for writing: no"):
            Gallery.open(path)
        with pytest.raises(GalleryError, match="cannot be opened: no"):
            Gallery.open(path, mode="r")
    (log,) = path.glob("*.log")
    log.unlink()
    log.mkdir()
    with pytest.raises(GalleryError, match="cannot be opened"):
        Gallery.open(path)


def test_a_closed_gallery_says_so(path):
    gallery = Gallery.open(path)
    gallery.close()
    gallery.close()
    for call in (lambda: len(gallery), lambda: gallery.search(EYE), lambda: gallery.add(EYE)):
        with pytest.raises(GalleryError, match="The gallery is closed"):
            call()
    assert repr(gallery) == f"Gallery(closed, at {path})"
    with pytest.raises(UnknownIdError, match="no entry 0"):
        Gallery(2).get([0])


def test_compact_leaves_no_trace(tmp_path):
    path, secret = tmp_path / "g", "SECRET-anna"
    rng = np.random.default_rng(5)
    with Gallery.open(path, dim=16, encoder_fingerprint="ab") as gallery:
        rows = rng.standard_normal((30, 16))
        pids = [secret if row % 3 == 0 else f"person-{row}" for row in range(30)]
        metadata = [{"path": f"{secret}/{row}.jpg"} if row % 3 == 0 else None for row in range(30)]
        gallery.add(rows, pids=pids, metadata=metadata, camids=[77_777_777] * 30)
        embeddings = [e.embedding.tobytes() for e in gallery.get(gallery.find({"pid": secret}))]
        gallery.update([1], rows[:1], pids=[secret], metadata=[{"was": secret}])
        gallery.search(rows[:2], k=3, where={"path": f"{secret}/0.jpg"})
        assert gallery.remove(where={"pid": secret}) == 11
        raw = b"".join(file.read_bytes() for file in path.iterdir())
        assert secret.encode() in raw  # removed, not yet compacted
        assert all(embedding in raw for embedding in embeddings)
        gallery.compact()
        for file in tmp_path.rglob("*"):
            raw = file.read_bytes() if file.is_file() else b""
            assert secret.encode() not in raw
            assert not any(embedding[:32] in raw for embedding in embeddings)
        assert len(gallery) == 19
        gallery.verify()
        assert gallery.encoder_fingerprint == "ab"
        assert gallery.add(rows[:1]).tolist() == [30]
    with Gallery.open(path) as gallery:
        assert len(gallery) == 20
        assert gallery.stats()["removed_rows"] == 0


def test_verify_finds_foreign_bytes_and_files(path):
    with Gallery.open(path, mode="r") as gallery:
        gallery.verify()
        (path / "notes.txt").write_text("mine")
        with pytest.raises(GalleryError, match="notes.txt does not belong"):
            gallery.verify()
        (path / "notes.txt").unlink()
        (log,) = path.glob("*.log")
        with log.open("ab") as file:
            file.write(b"x")
        with pytest.raises(GalleryError, match="has 1 bytes behind the last commit"):
            gallery.verify()
    with Gallery.open(path) as gallery:  # a writer drops the tail of an interrupted write
        gallery.verify()
        (vectors,) = path.glob("*.f32")
        raw = bytearray(vectors.read_bytes())
        raw[5] ^= 1
        vectors.write_bytes(raw)
        with pytest.raises(GalleryError, match="checksum of rows 0 to 2 does not agree"):
            gallery.verify()


def test_a_flipped_vector_is_found_on_the_first_read(path):
    (vectors,) = path.glob("*.f32")
    raw = bytearray(vectors.read_bytes())
    raw[-1] ^= 64
    vectors.write_bytes(raw)
    with Gallery.open(path) as gallery:
        assert gallery.find({"pid": 7}).tolist() == [0]
        for _ in range(2):
            with pytest.raises(GalleryError, match="is damaged: the checksum of rows 0 to 2"):
                gallery.search(EYE)
            with pytest.raises(GalleryError, match="is damaged: the checksum"):
                gallery.get([0])


@pytest.mark.parametrize("slot", [512, 1024])
def test_either_head_may_be_lost(path, slot):
    with Gallery.open(path) as gallery:
        gallery.add(EYE[:1])
    (log,) = path.glob("*.log")
    raw = bytearray(log.read_bytes())
    raw[slot + 9] ^= 255
    log.write_bytes(raw)
    with Gallery.open(path, mode="r") as gallery:
        assert len(gallery) == 4
        with pytest.raises(GalleryError, match="damaged in its first page"):
            gallery.verify()
    with Gallery.open(path) as gallery:
        assert len(gallery) == 4
        gallery.verify()


def test_both_heads_lost_is_an_error(path):
    (log,) = path.glob("*.log")
    raw = bytearray(log.read_bytes())
    raw[520] ^= 255
    raw[1030] ^= 255
    log.write_bytes(raw)
    with pytest.raises(GalleryError, match="both of its heads are unreadable"):
        Gallery.open(path)


def test_galleries_in_the_making_are_swept_when_their_maker_is_gone(path):
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from sanreid.gallery.storage.files import filenames\n"
        "path = Path(sys.argv[1])\n"
        "name = filenames.fresh_prefix(path) + str(os.getpid()) + '-abcd'\n"
        "(path.parent / name).mkdir()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert len(list(path.parent.iterdir())) == 2
    Gallery.open(path).close()
    assert [one.name for one in path.parent.iterdir()] == ["g"]


@pytest.mark.skipif(os.name == "nt", reason="an open gallery cannot be deleted there")
def test_what_nobody_would_find_is_not_acknowledged(path):
    with Gallery.open(path) as gallery:
        shutil.rmtree(path)
        with pytest.raises(GalleryError, match="was deleted while it was open"):
            gallery.add(EYE)
        assert len(gallery) == 3
        gallery.save(path.with_name("rescued"))
    assert len(Gallery.load(path.with_name("rescued"))) == 3


@pytest.mark.skipif(os.name == "nt", reason="an open gallery cannot be moved there")
def test_a_gallery_that_was_moved_keeps_what_is_added(path):
    with Gallery.open(path) as gallery:
        path.rename(path.with_name("moved"))
        gallery.add(EYE)
    assert len(Gallery.load(path.with_name("moved"))) == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_reader_follows_a_writer_through_compactions(path):
    context = multiprocessing.get_context("fork")

    def write():
        with Gallery.open(path) as gallery:
            for batch in range(40):
                gallery.add(EYE, pids=[batch] * 4)
                gallery.remove(where={"pid": batch - 1})
                if batch % 5 == 0:
                    gallery.compact()

    process = context.Process(target=write)
    process.start()
    until = time.monotonic() + 30
    while process.is_alive() and time.monotonic() < until:
        with Gallery.open(path, mode="r") as reader:
            for _ in range(3):
                reader.refresh()
                hits = reader.search(EYE[0], k=20, where={"pid": {"$gte": 0}})[0]
                batches = {hit.pid for hit in hits} - {7}
                assert len([hit for hit in hits if hit.pid in batches]) == 4 * len(batches)
                assert len(batches) <= 2
    process.join()
    assert process.exitcode == 0
