"""A forked child shares its parent's descriptors: it must neither disturb nor block the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.storage.files.disk import Disk, read_at
from sanreid.gallery.storage.files.folder import Folder

EYE = np.eye(4)
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python 3.12 and later warn of fork beside threads; the children here use none.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def forked(work):
    """Run ``work`` in a child; return its process id. It ends with status 0 if work returns."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def test_a_child_that_verifies_does_not_move_what_the_parent_writes(tmp_path):
    with Gallery.open(tmp_path / "g", dim=4) as gallery:
        gallery.add(EYE)

        def verify_forever():
            while True:
                gallery.verify()

        child = forked(verify_forever)
        until, rows = time.monotonic() + 1.0, 4
        while time.monotonic() < until:
            rows += len(gallery.add(EYE, pids=[rows] * 4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        gallery.verify()
    with Gallery.open(tmp_path / "g") as gallery:
        gallery.verify()
        assert len(gallery) == rows


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_a_child_of_a_reader_or_writer_reads_and_cannot_write(tmp_path, mode):
    Gallery.open(tmp_path / "g", dim=4).close()
    with Gallery.open(tmp_path / "g", mode=mode) as gallery:

        def read():
            gallery.verify()
            gallery.search(EYE)
            gallery.refresh()
            for change in (lambda: gallery.add(EYE), gallery.compact, lambda: gallery.remove([0])):
                with pytest.raises(GalleryError, match='opened by another process|mode="r"'):
                    change()

        assert os.waitpid(forked(read), 0)[1] == 0


def test_a_child_forked_in_the_middle_of_a_change_does_not_wait_for_it(tmp_path):
    gallery = Gallery(4)
    gallery.add(EYE)
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with gallery._store._mutex:
            held.set()
            go_on.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    child = forked(lambda: (gallery.get([1]), gallery.add(EYE)))
    until = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    go_on.set()
    thread.join()
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_a_child_does_not_keep_the_lock_of_a_parent_that_died(tmp_path):
    """Of the very first writer of the parent's process, too."""
    code = (
        "import os, sys, time\nfrom sanreid.gallery import Gallery\n"
        "gallery = Gallery.open(sys.argv[1], dim=4)\n"
        "child = os.fork()\n"
        "if child == 0:\n    os.close(1)\n    time.sleep(30)\n    os._exit(0)\n"
        "print(child, flush=True)\nos._exit(0)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "g")],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    child = int(run.stdout)
    try:
        Gallery.open(tmp_path / "g").close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_reads_and_writes_use_no_shared_offset(tmp_path):
    folder, disk = Folder(tmp_path), Disk()
    fd = disk.create(folder, "file")
    os.lseek(fd, 3, os.SEEK_SET)
    disk.write(fd, b"0123456789", 5)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 3
    assert read_at(fd, 4, 7) == b"2345"
    assert os.lseek(fd, 0, os.SEEK_CUR) == 3
    disk.close(fd)
    folder.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_closed_gallery_is_unlocked_though_copies_of_its_descriptors_live(tmp_path):
    """As in a child that C code forked, where no hook of Python's runs."""
    gallery = Gallery.open(tmp_path / "g", dim=4)
    copies = [
        os.dup(int(one.name))
        for one in Path("/proc/self/fd").iterdir()
        if str(one.resolve()).startswith(str(tmp_path / "g"))
    ]
    assert len(copies) >= 4
    with pytest.raises(GalleryError, match="open for writing"):
        Gallery.open(tmp_path / "g")
    gallery.close()
    Gallery.open(tmp_path / "g").close()
    for fd in copies:
        os.close(fd)
