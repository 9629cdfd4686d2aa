"""An open gallery is bound to its directory, not to a name: what takes the name stays whole."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from sanreid.errors import GalleryError, InputError
from sanreid.gallery import Gallery
from tests.gallery.storage.test_save_load import contents

EYE = np.eye(4)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open directory cannot be moved there")


def made(path, pid, count=4):
    with Gallery.open(path, dim=4) as gallery:
        gallery.add(EYE[:count], pids=[pid] * count)
    return path


CHANGES = {
    "add": lambda gallery: gallery.add(EYE[:1], pids=["mine"]),
    "remove": lambda gallery: gallery.remove([0]),
    "update": lambda gallery: gallery.update([0], pids=["mine"]),
    "compact": lambda gallery: gallery.compact(),
    "churn": lambda gallery: [gallery.add(EYE[:1], pids=["mine"]) for _ in range(9)],
}


@pytest.fixture(autouse=True)
def few_commits_are_many(monkeypatch):
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 4)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("how", ["chdir", "moved", "link"])
def test_a_gallery_that_takes_the_name_stays_whole(tmp_path, monkeypatch, change, how):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    made(tmp_path / "a" / "people", "mine")
    other = made(tmp_path / "b" / "people", "other", 3)
    monkeypatch.chdir(tmp_path / "a")
    if how == "link":
        (tmp_path / "a" / "link").symlink_to("people")
    gallery = Gallery.open("link" if how == "link" else "people")
    gallery.remove([3])
    if how == "chdir":
        monkeypatch.chdir(tmp_path / "b")
    elif how == "moved":
        (tmp_path / "a" / "people").rename(tmp_path / "a" / "moved")
        other.rename(tmp_path / "a" / "people")
        other = tmp_path / "a" / "people"
    else:
        (tmp_path / "a" / "link").unlink()
        (tmp_path / "a" / "link").symlink_to(other)
    CHANGES[change](gallery)
    expected = contents(gallery)
    gallery.verify()
    gallery.close()
    with Gallery.open(other) as found:  # it is not locked either
        assert found.counts("pid") == {"other": 3}
        found.verify()
    mine = tmp_path / "a" / ("moved" if how == "moved" else "people")
    assert contents(Gallery.load(mine)) == expected


@pytest.mark.parametrize("call", ["refresh", "verify", "search"])
def test_a_reader_follows_its_own_directory(tmp_path, monkeypatch, call):
    made(tmp_path / "g", "mine")
    monkeypatch.chdir(tmp_path)
    with Gallery.open("g", mode="r") as reader, Gallery.open("g") as writer:
        (tmp_path / "g").rename(tmp_path / "moved")
        made(tmp_path / "g", "other")
        writer.add(EYE[:1], pids=["late"])
        writer.compact()
        {"refresh": reader.refresh, "verify": reader.verify, "search": lambda: reader.search(EYE)}[
            call
        ]()
        reader.refresh()
        assert reader.counts("pid") == {"mine": 4, "late": 1}


def test_an_index_is_kept_beside_its_own_entries(tmp_path, monkeypatch, small_indexes):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).standard_normal((400, 8))
    with Gallery.open("g", dim=8, index="flat-sq8") as gallery:
        gallery.add(rows)
        (tmp_path / "g").rename(tmp_path / "moved")
        made(tmp_path / "g", "other")
        gallery.build_index()
    assert list((tmp_path / "moved").glob("index-*"))
    assert not list((tmp_path / "g").glob("index-*"))


def test_a_reader_whose_directory_is_gone_says_so(tmp_path):
    made(tmp_path / "g", "mine")
    with Gallery.open(tmp_path / "g", mode="r") as reader:
        shutil.rmtree(tmp_path / "g")
        assert len(reader.search(EYE, k=2)) == 4  # what is mapped stays readable
        with pytest.raises(GalleryError, match="was deleted"):
            reader.verify()
        with pytest.raises(GalleryError, match="cannot be read"):
            reader.refresh()


def test_a_writer_whose_directory_is_gone_finds_out(tmp_path):
    made(tmp_path / "g", "mine")
    with Gallery.open(tmp_path / "g") as writer:
        (tmp_path / "g").rename(tmp_path / "moved")
        made(tmp_path / "g", "other")
        writer.refresh()
        shutil.rmtree(tmp_path / "moved")
        with pytest.raises(GalleryError, match="cannot be read"):
            writer.refresh()


def test_a_reader_does_not_become_a_gallery_of_another_dim(tmp_path):
    made(tmp_path / "g", "mine")
    with Gallery.open(tmp_path / "g", mode="r") as reader:
        wider = Gallery(6)
        wider.add(np.eye(6), pids=["wide"] * 6)
        wider.save(tmp_path / "g")
        with pytest.raises(GalleryError, match="replaced by one of dim 6; this one has dim 4"):
            reader.refresh()
        assert reader.counts("pid") == {"mine": 4}
    assert Gallery.load(tmp_path / "g").dim == 6


def test_a_reader_follows_a_save_of_the_same_dim(tmp_path):
    made(tmp_path / "g", "mine")
    with Gallery.open(tmp_path / "g", mode="r") as reader:
        other = Gallery(4)
        other.add(EYE[:2], pids=["new", "new"])
        other.save(tmp_path / "g")
        reader.refresh()
        assert reader.counts("pid") == {"new": 2}


def test_a_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    gallery = Gallery(4)
    gallery.add(EYE)
    gallery.save("~/saved")
    Gallery.open("~/opened", dim=4).close()
    assert len(Gallery.load("~/saved")) == 4
    assert sorted(one.name for one in (tmp_path / "home").iterdir()) == ["opened", "saved"]
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("path", ["a\0b", "\0", "", b"bytes", 7, None, 1.5, ["g"]])
@pytest.mark.parametrize("call", ["open", "create", "load", "save"])
def test_what_is_no_path_is_refused(path, call):
    calls = {
        "open": lambda: Gallery.open(path),
        "create": lambda: Gallery.open(path, dim=4),
        "load": lambda: Gallery.load(path),
        "save": lambda: Gallery(4).save(path),
    }
    with pytest.raises(InputError, match="A gallery's path"):
        calls[call]()


def test_a_loop_of_links_is_our_error(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for call in (Gallery.load, Gallery.open, Gallery(2).save):
        with pytest.raises(GalleryError):
            call(tmp_path / "a" / "g")
