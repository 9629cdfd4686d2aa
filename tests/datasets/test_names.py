"""Folders of crops and the schemes of their file names; files are empty, none is opened."""

import os
from pathlib import Path

import pytest

from sanreid.datasets import list_images, read_crops
from sanreid.errors import DatasetError, InputError


def write(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


SCHEMES = {
    "market1501": (
        ["-1_c3s2_000100_00.jpg", "0000_c1s1_000151_02.jpg", "0002_c6s4_069056_11.jpg"],
        [-1, 0, 2],
        [3, 1, 6],
    ),
    "cuhk03": (["0000_00.jpg", "0000_04.jpg", "0012_05.png", "0742_09.jpg"], None, [0, 0, 1, 1]),
    "cuhk01": (
        ["0001001.jpg", "0001002.jpg", "0001003.jpg", "0971004.png"],
        [1, 1, 1, 971],
        [0, 0, 1, 1],
    ),
    "pku": (["003/01_1.jpg", "003/02_8.jpg", "114/01_1.jpg"], [3, 3, 114], [1, 2, 1]),
    "folders": (["anna/c2_1.jpg", "bert/0001_cam13.png", "bert/x.jpg"], [0, 1, 1], [2, 13, 0]),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("asked", ["by name", "auto"])
def test_every_scheme_is_read(tmp_path, scheme, asked):
    files, pids, camids = SCHEMES[scheme]
    write(tmp_path / "crops", *files)
    crops = read_crops(tmp_path / "crops", names=scheme if asked == "by name" else "auto")
    assert crops.pids.tolist() == (pids or [0, 0, 12, 742])
    assert crops.camids.tolist() == camids
    assert crops.keys == tuple(f"crops/{file}" for file in files)
    assert crops.paths == tuple(tmp_path / "crops" / file for file in files)
    assert crops.name == "crops"


def test_market_ignores_distractors_and_cuhk03_does_not(tmp_path):
    market = write(tmp_path / "m", "0000_c1s1_000151_02.jpg", "0001_c1s1_000151_02.jpg")
    cuhk = write(tmp_path / "c", "0000_00.jpg", "0001_05.jpg")
    assert read_crops(market).identities.tolist() == [1]
    assert read_crops(cuhk).identities.tolist() == [0, 1]


def test_duke_and_np_names_are_read_as_market_ones(tmp_path):
    crops = read_crops(write(tmp_path, "0005_c2_f0046985.jpg", "0006_c10_3.png"))
    assert (crops.pids.tolist(), crops.camids.tolist()) == ([5, 6], [2, 10])


def test_folders_of_numbers_keep_them_and_labels_are_the_folders(tmp_path):
    write(tmp_path, "0010/a.jpg", "0002/deep/C4-b.jpg", "-1/c3.jpg")
    crops = read_crops(tmp_path, names="folders")
    assert dict(zip(crops.labels, crops.pids.tolist(), strict=True)) == {
        "0010": 10,
        "0002": 2,
        "-1": -1,
    }
    assert dict(zip(crops.labels, crops.camids.tolist(), strict=True))["0002"] == 4
    assert crops.identities.tolist() == [2, 10]


def test_people_are_numbers_where_their_names_are(tmp_path):
    huge = "9" * 20  # more than a pid can be
    wanted = {"0007": 7, "12": 12, "anna": "anna", "-1": None, "-0": "-0", huge: huge}
    write(tmp_path, *(f"{name}/a.jpg" for name in wanted))
    crops = read_crops(tmp_path, names="folders")
    assert dict(zip(crops.labels, crops.people, strict=True)) == wanted
    assert crops.select([crops.labels.index("12")]).people == [12]
    market = read_crops(write(tmp_path / "m", "0000_c1_a.jpg", "0003_c1_a.jpg", "-1_c1_a.jpg"))
    assert dict(zip(market.pids.tolist(), market.people, strict=True)) == {0: None, 3: 3, -1: None}


def test_folders_that_would_share_a_number_are_counted_instead(tmp_path):
    crops = read_crops(write(tmp_path, "1/a.jpg", "01/a.jpg", "2/a.jpg"))
    assert dict(zip(crops.labels, crops.people, strict=True)) == {"1": "1", "01": "01", "2": 2}
    assert sorted(zip(crops.labels, crops.pids.tolist(), strict=True)) == [
        ("01", 0),
        ("1", 1),
        ("2", 2),
    ]


@pytest.mark.parametrize(
    ("file", "camera"),
    [
        ("c3.jpg", 3),
        ("0001_c12s3_000.jpg", 12),
        ("x-Cam_4.jpg", 4),
        ("camera-5.jpg", 5),
        ("abc9.jpg", 0),  # the c ends a word
        ("3fc2ab.jpg", 0),  # hex digits
        ("crop_7.jpg", 0),
        ("1846d424-c17c-4a0b-9d3e-5c8f2b7a6e10.jpg", 0),
        ("1846d424-c174-4a0b-9d3e-c12345678901.jpg", 0),
        ("c174d424-c17c-4a0b-9d3e-5c8f2b7a6e10_c3.jpg", 3),
        ("c17c4a0b9d3e5c8f2b7a6e1018463424.jpg", 0),
        ("cam2_c17c4a0b9d3e.jpg", 2),
        ("cam2frame7.jpg", 2),
        ("c4x7f.jpg", 0),  # any letters and digits
        ("c9z1_0001.jpg", 0),
        ("c1f0023.jpg", 1),
        ("C3T0001F001.jpg", 3),
        ("0007_C12S3_1.jpg", 12),
        ("c1 - Copy.jpg", 1),
        ("c2/1846d424-c17c-4a0b-9d3e-5c8f2b7a6e10.jpg", 2),
    ],
)
def test_cameras_in_the_names_of_folders(tmp_path, file, camera):
    crops = read_crops(write(tmp_path, f"anna/{file}"), names="folders")
    assert crops.camids.tolist() == [camera]


def test_other_files_and_hidden_ones_are_passed_over(tmp_path):
    write(tmp_path, "0000_00.jpg", "Thumbs.db", "readme.txt", ".0000_01.jpg", ".git/x.jpg")
    assert len(read_crops(tmp_path)) == 1
    assert list_images(tmp_path, nested=True) == []


def test_a_name_that_does_not_fit_is_an_error_with_examples(tmp_path):
    write(tmp_path, "0000_00.jpg", "0001_00.jpg", *(f"x{i}.jpg" for i in range(5)))
    with pytest.raises(DatasetError, match=r"5 of 7 images .* 'x0.jpg'.* and 2 more") as caught:
        read_crops(tmp_path, names="cuhk03")
    assert "IIII_VV.jpg" in str(caught.value)
    with pytest.raises(DatasetError, match=r"of no scheme known here(.|\n)*Found: '0000_00.jpg'"):
        read_crops(tmp_path)


def test_view_10_is_no_cuhk03_view(tmp_path):
    with pytest.raises(DatasetError, match="1 of 1 images"):
        read_crops(write(tmp_path, "0000_10.jpg"), names="cuhk03")


def test_missing_empty_and_wrong_places_say_what_was_found(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist; a folder of person crops"):
        read_crops(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="file is a file"):
        read_crops(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no images in or below .*empty.* It is empty"):
        read_crops(tmp_path / "empty")
    write(tmp_path / "set", "train/0001_c1s1_000151_02.jpg")
    with pytest.raises(DatasetError, match=r"right in .*'train'.*meant, for example .*train\?"):
        read_crops(tmp_path / "set", names="market1501")
    with pytest.raises(InputError, match="names must be one of market1501, .*; got 'market'"):
        read_crops(tmp_path / "set", names="market")


@pytest.mark.parametrize(
    "files",
    [
        ["train/0001_c1s1_000151_02.jpg", "train/0002_c1s1_000151_02.jpg"],
        ["train/001/01_1.jpg", "val/002/01_1.jpg"],
    ],
)
def test_auto_does_not_take_a_data_sets_root_for_people(tmp_path, files):
    write(tmp_path, *files)
    with pytest.raises(DatasetError, match=r"looks like the root of a data set.*train\?"):
        read_crops(tmp_path)
    assert set(read_crops(tmp_path, names="folders").labels) <= {"train", "val"}


def test_auto_takes_person_folders_with_market_names(tmp_path):
    crops = read_crops(write(tmp_path, "0007/0007_c1s1_1_1.jpg", "0009/0009_c2s1_1_1.jpg"))
    assert (crops.pids.tolist(), crops.camids.tolist()) == ([7, 9], [1, 2])


def test_a_name_can_be_given(tmp_path):
    crops = read_crops(write(tmp_path, "0000_00.jpg"), name="campus-a")
    assert (crops.name, crops.keys) == ("campus-a", ("campus-a/0000_00.jpg",))


REAL = {  # crops, people, cameras
    "market1501/bounding_box_train": (12936, 751, [1, 2, 3, 4, 5, 6]),
    "cuhk03_pair1_labeled/train": (7239, 743, [0, 1]),
    "cuhk03_pair1_labeled/val": (938, 100, [0, 1]),
    "cuhk01/campus": (3884, 971, [0, 1]),
    "pku_reid/train": (992, 62, [1, 2]),
    "pku_reid/val": (192, 12, [1, 2]),
}


@pytest.mark.parametrize("folder", REAL)
def test_real_folders(folder):
    if "SANREID_DATA" not in os.environ:
        pytest.skip("SANREID_DATA is not set: the folder with the data sets' real crops")
    crops = read_crops(Path(os.environ["SANREID_DATA"]) / folder)
    count, people, cameras = REAL[folder]
    assert (len(crops), crops.num_identities) == (count, people)
    assert sorted(set(crops.camids.tolist())) == cameras
