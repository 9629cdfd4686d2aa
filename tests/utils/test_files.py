"""Atomic writes."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from sanreid.utils.files import atomic_write, atomic_write_text, make_folder


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("durable", [False, True])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, durable):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    writing = atomic_write(path, durable=durable)
    writing.__enter__().write(b"new")
    error = KeyboardInterrupt()
    assert not writing.__exit__(KeyboardInterrupt, error, None)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_trying_out_leaves_nothing(tmp_path):
    with atomic_write(tmp_path / "a.bin", keep=False) as file:
        file.write(b"new")
    assert not names(tmp_path)


def test_a_disk_that_fills_up_on_the_way_to_the_medium(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write_text(tmp_path / "a.txt", "text")
    assert not names(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_is_as_readable_as_any_other(tmp_path):
    atomic_write_text(tmp_path / "a.txt", "text")
    (tmp_path / "b.txt").write_text("text")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(os.name != "posix", reason="asks for processes as POSIX does")
@pytest.mark.parametrize(
    "name", ["a.npz", "a b.json", "ä.bin", "[x]*.npz", "n" * 250, ".hidden.onnx"]
)
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path, name):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom sanreid.utils.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os._exit(9)\n"
    )
    path = tmp_path / name
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert len(names(tmp_path)) == 1
    atomic_write_text(path, "text")
    assert names(tmp_path) == [name]


@pytest.mark.skipif(os.name != "posix", reason="asks for processes as POSIX does")
def test_files_of_running_processes_and_of_other_names_stay(tmp_path):
    dead, alive = dead_process(), os.getpid()
    others = [f".a.npz.new-{alive}", f".b.npz.new-{dead}", f"a.npz.new-{dead}", ".a.npz.new-x"]
    for name in (*others, f".a.npz.new-{dead}"):
        (tmp_path / name).touch()
    with atomic_write(tmp_path / "a.npz"):
        atomic_write_text(tmp_path / "a.npz", "a second writer")
    assert sorted(names(tmp_path)) == sorted([*others, "a.npz"])


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("keep", [True, False])
def test_what_is_no_file_is_not_replaced(tmp_path, keep):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(OSError, match="Not a regular file"),
        atomic_write(tmp_path / "pipe", keep=keep) as file,
    ):
        file.write(b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert names(tmp_path) == ["pipe"]


def test_folders_are_made_without_recursion(tmp_path):
    deepest, limit = tmp_path / ("x/" * 250), sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 150)
    try:
        make_folder(deepest)
        make_folder(deepest)
    finally:
        sys.setrecursionlimit(limit)
    assert deepest.is_dir()


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "a" / "b")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "a")


@pytest.mark.parametrize("durable", [False, True])
def test_a_link_stays_and_its_file_is_written(tmp_path, durable):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "there.txt").write_text("old")
    link = tmp_path / "link.txt"
    for target in ("far/there.txt", "far/new.txt"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with atomic_write(link, keep=False):
            assert sorted(names(tmp_path)) == ["far", "link.txt"]
        with atomic_write(link, durable=durable) as file:
            file.write(b"new")
        assert link.is_symlink()
        assert (tmp_path / target).read_bytes() == b"new"
    assert sorted(names(tmp_path / "far")) == ["new.txt", "there.txt"]


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_link_to_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with (
        pytest.raises(OSError, match="Not a regular file"),
        atomic_write(tmp_path / "link") as file,
    ):
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "pipe").is_fifo()
