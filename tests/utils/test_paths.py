"""Paths as callers write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanreid.datasets import read_crops, read_csv, read_dataset
from sanreid.errors import InputError, SanreidError
from sanreid.images import find_images
from sanreid.utils.paths import as_path, shorten


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert as_path("~/a") == as_path(Path("~/a")) == tmp_path / "a"
    assert as_path("a/~") == Path("a/~")
    assert as_path("~nobody-has-this-name/a") == Path("~nobody-has-this-name/a")


WRONG = [None, 7, b"a.jpg", ["a"], "", "a\0b", 3.5, object()]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:20])
def test_what_is_no_path_is_refused(value):
    with pytest.raises(InputError, match="Expected a folder; got"):
        as_path(value, "a folder")


LONG = ["x" * 300, "x/" * 3000, "/dev/null"]


@pytest.mark.parametrize("value", [*WRONG, *LONG], ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "read",
    [
        read_crops,
        read_csv,
        find_images,
        lambda value: read_dataset("market1501", value),
        lambda value: read_dataset("csv", value),
        lambda value: read_dataset("folders", value),
    ],
    ids=["read_crops", "read_csv", "find_images", "market1501", "csv", "folders"],
)
def test_every_reader_refuses_it_as_an_error_of_ours(read, value):
    with pytest.raises(SanreidError):
        read(value)


def test_readers_expand_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "0001_c2_a.jpg").touch()
    assert read_crops("~/set").paths == (tmp_path / "set" / "0001_c2_a.jpg",)
    assert find_images("~/set") == [tmp_path / "set" / "0001_c2_a.jpg"]


def test_long_texts_are_shortened():
    assert shorten("abc") == "abc"
    assert shorten("x" * 1_000_000) == "x" * 200 + "... (1,000,000 characters)"
