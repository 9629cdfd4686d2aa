"""Names of MARS, cameras in names, patterns of one's own, and what looks wrong."""

from __future__ import annotations

import logging
import re

import pytest

from sanreid.datasets import NameScheme, read_crops
from sanreid.errors import DatasetError, InputError
from tests.datasets.replicas import write

VIDEO = {
    "MARS": ["0001/0001C1T0001F001.jpg", "0001/0001C2T0001F002.jpg", "0003/0003C6T0009F001.jpg"],
    "MARS, flat": ["0001C1T0001F001.jpg", "0001C2T0001F002.jpg", "0003C6T0009F001.jpg"],
    "Duke, old": ["0001/0000/0001C1F0001X1.jpg", "0001/0001/0001C2F01X2.jpg", "0003/1/0003C6F0X9.jpg"],  # noqa: E501 - one row per kind
    "Duke, new": [
        "0001/0000/0001_C1_F0001_X1.jpg",
        "0001/0001/0001_C2_F01_X2.jpg",
        "0003/0000/0003_C6_F0_X9.jpg",
    ],
    "without tracklets": ["0001/0001C1F001.jpg", "0001/0001C2F002.jpg", "0003/0003C6F001.jpg"],
}  # fmt: skip


@pytest.mark.parametrize("kind", VIDEO)
@pytest.mark.parametrize("names", ["auto", "mars"])
def test_video_data_sets_tell_their_cameras(tmp_path, kind, names):
    crops = read_crops(write(tmp_path, *VIDEO[kind]), names=names)
    assert (crops.pids.tolist(), crops.camids.tolist()) == ([1, 1, 3], [1, 2, 6])


def test_junk_of_mars(tmp_path):
    write(tmp_path, "00-1/00-1C1T0001F001.jpg", "0000/0000C1T0001F001.jpg")
    crops = read_crops(write(tmp_path, "0002/0002C3T0001F001.jpg"), names=NameScheme.MARS)
    assert crops.people == [None, None, 2]


OWN = [
    (r"(?P<pid>\w+)-cam(?P<camid>\d+)", ["anna-cam1.jpg", "bo-cam2.png"], ["anna", "bo"], [1, 2]),
    (r"cam(?P<camid>\d+)/(?P<pid>\d+)_", ["cam1/07_a.jpg", "cam2/07_b.jpg"], [7, 7], [1, 2]),
    (r"id(?P<pid>\d+)@(?P<camid>\w+)", ["id1@door.jpg", "id2@bar.jpg"], [1, 2], [1, 0]),
    (r"(?P<camid>[^/]+)/(?P<pid>[^/]+)/.*", ["a/x/1.jpg", "b/y/1.jpg"], ["x", "y"], [0, 1]),
    (r"^p(?P<pid>\d+)", ["p3_anything.jpg", "p4.jpg"], [3, 4], [0, 0]),
    (r"(?P<pid>[^_]*)_(?P<camid>\d)(_\d+)?\.jpg", ["-1_2.jpg", "b_3_9.jpg"], [None, "b"], [2, 3]),
]


@pytest.mark.parametrize(("pattern", "files", "people", "cameras"), OWN)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_pattern_of_ones_own(tmp_path, pattern, files, people, cameras, compiled):
    names = re.compile(pattern) if compiled else f"regex:{pattern}"
    crops = read_crops(write(tmp_path, *files), names=names)
    by_file = dict(zip((p.name for p in crops.paths), crops.people, strict=True))
    cams = dict(zip(crops.paths, crops.camids.tolist(), strict=True))
    assert [by_file[file.rsplit("/", 1)[-1]] for file in files][: len(people)] == people or (
        crops.people == people
    )
    assert [cams[tmp_path / file] for file in files] == cameras


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("regex:(?P<pid>", "is no regular expression: "),
        (r"regex:(\d+)_c(\d)", "a group for the person"),
        (re.compile(rb"(?P<pid>\d+)"), "A naming pattern is a text"),
        ("Market1501", "names must be one of market1501, mars, .*or regex:PATTERN"),
        (None, "names must be one of .*got None"),
        (7, "got 7"),
    ],
)
def test_wrong_schemes(tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        read_crops(write(tmp_path, "0001_c1_a.jpg"), names=names)


def test_a_name_that_a_pattern_does_not_fit_is_an_error(tmp_path):
    write(tmp_path, "anna-1.jpg", "odd.jpg")
    with pytest.raises(DatasetError, match=r"1 of 2 images .*'odd.jpg'"):
        read_crops(tmp_path, names=r"regex:(?P<pid>\w+)-(?P<camid>\d)")


NO_PEOPLE = [
    ["cam01/person01_cam01_frame026.jpg", "cam02/person01_cam02_frame026.jpg"],
    ["cam_a/person_0001.png", "cam_b/person_0001.png"],
    ["Camera 1/x.jpg", "Camera 2/x.jpg"],
    ["c1/anna.jpg", "c2/anna.jpg"],
    ["view1/anna.jpg", "view2/anna.jpg"],
    ["CAM-left/anna.jpg", "CAM-right/anna.jpg"],
    ["cam1/a.jpg", "others/a.jpg"],
    ["train/img_1.jpg", "test/img_1.jpg"],
    ["query/a.jpg", "gallery/a.jpg"],
    ["Train/a.jpg", "Val/a.jpg"],
    ["bounding_box_train/a.jpg"],
]


@pytest.mark.parametrize("files", NO_PEOPLE)
def test_cameras_and_splits_are_no_people(tmp_path, files):
    write(tmp_path, *files)
    with pytest.raises(
        DatasetError, match=r"not like one folder for each person.*names='folders'"
    ):
        read_crops(tmp_path)
    assert len(read_crops(tmp_path, names="folders")) == len(files)


@pytest.mark.parametrize("people", [["camilla", "cameron"], ["c1", "anna"], ["traina", "test1"]])
def test_people_whose_names_look_a_little_like_them(tmp_path, people):
    crops = read_crops(write(tmp_path, *(f"{name}/c1.jpg" for name in people)))
    assert crops.people == sorted(people)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["anna/1.jpg", "bert/2.jpg"], "all 2 images"),
        (["anna/c1.jpg", "bert/2.jpg"], "1 of 2"),
        (["anna/crop_7.jpg", "anna/crop_8.jpg"], "all 2 images"),
        (["anna/abc9.jpg"], "all 1 images"),
        (["anna/c1.jpg", "anna/x/2.jpg", "anna/cam/3.jpg"], "2 of 3"),
    ],
)
def test_cameras_that_no_name_tells_are_told(tmp_path, caplog, files, told):
    with caplog.at_level(logging.WARNING):
        read_crops(write(tmp_path, *files), names="folders")
    assert f"the names of {told} tell no camera" in caplog.text


def test_a_camera_may_be_a_folder_below_the_person(tmp_path, caplog):
    write(tmp_path, "anna/cam2/0001.jpg", "anna/cam3/c4_1.jpg")
    crops = read_crops(tmp_path, names="folders")
    assert (crops.camids.tolist(), caplog.text) == ([2, 4], "")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["anna/c20240101120000123456.jpg"], "folders"),
        (["0001_c20240101120000123456_a.jpg"], "market1501"),
        (["0001C20240101120000123456T1F1.jpg"], "mars"),
        (["1_cam99999999999999999999.jpg"], r"regex:(?P<pid>\d+)_cam(?P<camid>\d+)"),
        (["anna/cam_20240101120000123456/a.jpg"], "folders"),
    ],
)
def test_a_time_is_no_camera(tmp_path, files, names):
    with pytest.raises(DatasetError, match="names camera .* too large for a camera. Is it a time"):
        read_crops(write(tmp_path, *files), names=names)


def test_images_that_a_scheme_does_not_reach_are_told(tmp_path, caplog):
    write(tmp_path, "0001_c1_a.jpg", "deeper/0002_c1_a.jpg")
    assert len(read_crops(tmp_path)) == 1
    assert "1 image in its sub-folders is not read" in caplog.text
    caplog.clear()
    assert len(read_crops(write(tmp_path / "n", "stray.jpg", "anna/c1.jpg"), names="folders")) == 1
    assert "1 image right in it is not read" in caplog.text
