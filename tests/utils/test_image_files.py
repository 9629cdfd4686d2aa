"""The walk over folders of images: links, loops, left-overs, what cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from PIL import Image

from sanreid.datasets import list_images
from sanreid.errors import DatasetError, InputError
from sanreid.images import find_images
from sanreid.images.sources import expand_paths
from sanreid.utils.image_files import IMAGE_SUFFIXES, walk_images
from tests.datasets.replicas import write

# Containers of other things, for which Pillow needs a program, or knows only the header.
NOT_PICTURES = {".bufr", ".emf", ".eps", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".ps", ".wmf"}


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target, target_is_directory=True)


def own_loop(root):
    write(root, "anna/a.jpg")
    link(root / "anna" / "self", ".")
    return ["anna/a.jpg"]


def loop_to_the_root(root):
    write(root, "anna/deep/a.jpg")
    link(root / "anna" / "deep" / "up", "../..")
    return ["anna/deep/a.jpg"]


def two_folders_that_hold_each_other(root):
    write(root, "a/1.jpg", "b/2.jpg")
    link(root / "a" / "to_b", "../b")
    link(root / "b" / "to_a", "../a")
    return ["a/1.jpg", "b/2.jpg"]


def loop_outside(root):
    write(root.parent / "nas", "x/1.jpg", "y/2.jpg")
    link(root.parent / "nas/x/to_y", "../y")
    link(root.parent / "nas/y/to_x", "../x")
    link(root / "cam", root.parent / "nas/x")
    return ["cam/1.jpg", "cam/to_y/2.jpg"]


def two_links_to_one_folder(root):
    write(root.parent / "nas", "anna/1.jpg")
    link(root / "train/anna", root.parent / "nas/anna")
    link(root / "val/anna", root.parent / "nas/anna")
    return ["train/anna/1.jpg", "val/anna/1.jpg"]


def a_link_to_a_folder_of_the_walk(root):
    write(root, "bounding_box_test/1.jpg")
    link(root / "gallery", "bounding_box_test")
    return ["bounding_box_test/1.jpg"]


def a_linked_file(root):
    write(root.parent, "far.jpg")
    write(root, "near.jpg")
    (root / "linked.png").symlink_to(root.parent / "far.jpg")
    return ["linked.png", "near.jpg"]


def a_link_to_nothing_with_an_image_name(root):
    write(root, "a.jpg")
    (root / "b.jpg").symlink_to("gone.jpg")
    return ["a.jpg", "b.jpg"]  # reading it says what is wrong


def a_file_that_links_to_itself(root):
    root.mkdir()
    (root / "a.jpg").symlink_to("a.jpg")
    return ["a.jpg"]


@pytest.mark.parametrize(
    "make",
    [
        own_loop,
        loop_to_the_root,
        two_folders_that_hold_each_other,
        loop_outside,
        two_links_to_one_folder,
        a_link_to_a_folder_of_the_walk,
        a_linked_file,
        a_link_to_nothing_with_an_image_name,
        a_file_that_links_to_itself,
    ],
)
def test_links(tmp_path, make):
    wanted = make(tmp_path / "set")
    found = walk_images(tmp_path / "set")
    assert (found.files, found.failures) == (wanted, [])
    assert find_images(tmp_path / "set") == [tmp_path / "set" / file for file in wanted]
    assert list_images(tmp_path / "set", nested=True) == [f for f in wanted if "/" in f]
    assert list_images(tmp_path / "set") == [f for f in wanted if "/" not in f]


@pytest.mark.parametrize("target", ["gone", "/gone/far", "self"])
def test_a_folder_that_is_away_is_a_failure(tmp_path, target):
    write(tmp_path / "set", "cam1/a.jpg")
    link(tmp_path / "set" / "self", target)
    ((path, reason),) = walk_images(tmp_path / "set").failures
    assert path == tmp_path / "set" / "self"
    assert "leads nowhere" in reason
    with pytest.raises(InputError, match=r"Cannot read '.*self': the link leads nowhere"):
        find_images(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"Cannot read '.*self'.*would change a result"):
        list_images(tmp_path / "set", nested=True)
    files, failures = expand_paths(tmp_path / "set", collect=True)
    assert files == [tmp_path / "set" / "cam1" / "a.jpg"]
    assert [one for one, _ in failures] == [path]


@pytest.mark.parametrize(
    "file",
    [
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
        ".AppleDouble/a.jpg",
        "._a.jpg",
        ".DS_Store",
        "Thumbs.db",
        "cam/THUMBS.DB",
        "__MACOSX/a.jpg",
        "$RECYCLE.BIN/a.jpg",
        "#recycle/a.jpg",
        "@Recently-Snapshot/a.jpg",
        ".@__thumb/a.jpg",
        "System Volume Information/a.jpg",
        "lost+found/a.jpg",
        "SYNOFILE_THUMB_M.png",
    ],
)
def test_what_file_servers_leave_behind_is_no_crop(tmp_path, file):
    write(tmp_path, "cam/a.jpg", file)
    found = walk_images(tmp_path)
    assert (found.files, found.others.total()) == (["cam/a.jpg"], 0)


@pytest.mark.parametrize(
    "suffix", [".jfif", ".jpe", ".pgm", ".JP2", ".Jpg", ".pbm", ".tga", ".ico", ".j2k", ".qoi"]
)
def test_endings_that_pillow_reads_count(tmp_path, suffix):
    write(tmp_path, f"a{suffix}", "a.txt", "b.TXT", "c")
    found = walk_images(tmp_path)
    assert found.files == [f"a{suffix}"]
    assert found.others == {".txt": 2, "": 1}
    assert found.others_in_words().startswith("3 files are no images by their endings (2 .txt, 1 ")


def test_the_endings_are_those_of_pillow():
    Image.init()
    read = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    assert read - NOT_PICTURES <= IMAGE_SUFFIXES
    assert not IMAGE_SUFFIXES & NOT_PICTURES


def test_order_is_by_folders_and_a_folder_may_have_a_files_name(tmp_path):
    write(tmp_path, "a-b/1.jpg", "a/2.jpg", "a/10.jpg", "a.jpg/3.jpg", "b.jpg")
    assert walk_images(tmp_path).files == [
        "a/10.jpg", "a/2.jpg", "a-b/1.jpg", "a.jpg/3.jpg", "b.jpg",
    ]  # fmt: skip


def test_very_deep_folders(tmp_path):
    deep = tmp_path
    for _ in range(60):
        deep /= "folder"
    write(deep, "a.jpg")
    assert walk_images(tmp_path).files == ["folder/" * 60 + "a.jpg"]


UNREADABLE = """
import sys
from pathlib import Path
from sanreid.datasets import read_crops
from sanreid.errors import SanreidError
from sanreid.images.sources import expand_paths
root = Path(sys.argv[1])
(root / "bob").chmod(0)
try:
    files, failures = expand_paths([root, root / "bob" / "b.jpg"], collect=True)
    print([path.name for path in files], [(path.name, reason) for path, reason in failures])
    try:
        print(read_crops(root))
    except SanreidError as error:
        print(type(error).__name__, error)
finally:
    (root / "bob").chmod(0o755)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of Linux")
def test_a_folder_that_may_not_be_read_is_a_failure(tmp_path):
    write(tmp_path, "anna/c1_1.jpg", "bob/b.jpg")
    command = [sys.executable, "-c", UNREADABLE, str(tmp_path)]
    if os.geteuid() == 0:  # root reads everything, but for this
        caps = "-dac_override,-dac_read_search"
        command = ["setpriv", "--bounding-set", caps, "--inh-caps", caps, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told, names = done.stdout.splitlines()
    assert told.startswith("['c1_1.jpg', 'b.jpg'] [('bob', 'the folder cannot be read: Perm")
    assert names.startswith("DatasetError Cannot read '")


def test_skipped_files_are_told_by_their_number(tmp_path, caplog):
    write(tmp_path, "a/1.jpg", "a/notes.txt", "b/film.mp4", "b/film2.MP4")
    link(tmp_path / "c", "a")
    find_images(tmp_path)
    assert (
        "3 files are no images by their endings (2 .mp4, 1 .txt) and were skipped" in caplog.text
    )
    assert "1 link to a folder that was read already was skipped" in caplog.text
    caplog.clear()
    find_images(tmp_path / "a")
    assert "1 file is no image by its ending (1 .txt) and was skipped" in caplog.text
