"""Files that are whole or not there."""

from __future__ import annotations

import os

import pytest

from sanreid.utils.files import whole_file, write_whole


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("durable", [False, True])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, durable):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    writing = whole_file(path, durable=durable)
    writing.__enter__().write(b"new")
    error = KeyboardInterrupt()
    assert not writing.__exit__(KeyboardInterrupt, error, None)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_trying_out_leaves_nothing(tmp_path):
    with whole_file(tmp_path / "a.bin", keep=False) as file:
        file.write(b"new")
    assert not names(tmp_path)


def test_a_disk_that_fills_up_on_the_way_to_the_medium(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.txt", "text")
    assert not names(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_is_as_readable_as_any_other(tmp_path):
    write_whole(tmp_path / "a.txt", "text")
    (tmp_path / "b.txt").write_text("text")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode
