"""Market-1501 and MSMT17 from replicas of their layouts."""

import os
import shutil
from pathlib import Path

import pytest

from sanreid.datasets import read_crops, read_market1501, read_msmt17
from sanreid.errors import DatasetError
from tests.datasets.replicas import market1501, msmt17


def test_market1501(tmp_path):
    root = market1501(tmp_path)
    data = read_market1501(tmp_path, complete=False)
    assert data.train.pids.tolist() == [2, 2, 7]
    assert data.train.camids.tolist() == [1, 2, 3]
    assert data.query.pids.tolist() == [1, 3]
    assert data.query.camids.tolist() == [1, 6]
    assert data.gallery.pids.tolist() == [-1, 0, 1, 3]
    assert data.gallery.identities.tolist() == [1, 3]
    assert data.gallery.paths[0] == root / "bounding_box_test" / "-1_c1s1_000401_03.jpg"
    assert data.train.keys[0] == "market1501/bounding_box_train/0002_c1s1_000451_03.jpg"
    assert [s.split for s in (data.train, data.query, data.gallery)] == [
        "train",
        "query",
        "gallery",
    ]
    again = read_market1501(root, complete=False)
    assert again.gallery.keys == data.gallery.keys


def test_market1501_counts_its_crops(tmp_path):
    market1501(tmp_path)
    with pytest.raises(
        DatasetError,
        match=r"train has 3 crops instead of 12,936; query has 2 .* instead of 3,368; "
        r"gallery has 4 crops instead of 19,732 .*complete=False(.|\n)*liangzheng",
    ):
        read_market1501(tmp_path)


@pytest.mark.parametrize("folder", ["bounding_box_train", "query", "bounding_box_test"])
def test_market1501_without_a_folder(tmp_path, folder):
    root = market1501(tmp_path)
    shutil.rmtree(root / folder)
    with pytest.raises(
        DatasetError,
        match=rf"v15.09.15 has no {folder}; it holds .*Looked for (.|\n)*ask its makers",
    ):
        read_market1501(tmp_path)
    (root / folder).mkdir()
    with pytest.raises(DatasetError, match=rf"no images in .*{folder}.*PPPP_cCsS"):
        read_market1501(tmp_path)


def test_market1501_with_a_foreign_crop(tmp_path):
    root = market1501(tmp_path)
    (root / "query" / "0001_c7s1_001051_00.jpg").touch()
    with pytest.raises(DatasetError, match=r"1 of 3 images .*query are not .*0001_c7s1"):
        read_market1501(tmp_path)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        read_market1501(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="it holds nothing"):
        read_market1501(tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_msmt17(tmp_path, version):
    base = msmt17(tmp_path, version)
    train_folder = "train" if version == 1 else "mask_train_v2"
    data = read_msmt17(tmp_path, complete=False)
    assert data.train.pids.tolist() == [0, 0]
    assert data.train.camids.tolist() == [1, 14]
    assert data.train.paths[0] == base / train_folder / "0000/0000_000_01_0303morning_0008_0.jpg"
    assert data.query.camids.tolist() == [2]
    assert data.gallery.pids.tolist() == [0, 9]
    assert data.gallery.camids.tolist() == [5, 1]
    both = read_msmt17(base, with_val=True, complete=False)
    assert both.train.camids.tolist() == [1, 14, 15]
    assert all(path.is_file() for path in (*both.train.paths, *both.gallery.paths))


@pytest.mark.parametrize(("with_val", "count"), [(False, "30,248"), (True, "32,621")])
def test_msmt17_counts_its_crops(tmp_path, with_val, count):
    msmt17(tmp_path)
    with pytest.raises(DatasetError, match=rf"instead of {count}(.|\n)*pkuvmc"):
        read_msmt17(tmp_path, with_val=with_val)


def test_msmt17_names_crops_that_are_missing(tmp_path):
    base = msmt17(tmp_path)
    (base / "test" / "0009" / "0009_000_01_x_0.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 of the 2 crops of list_gallery.txt .*0009_000_01"):
        read_msmt17(tmp_path, complete=False)


@pytest.mark.parametrize(
    "line",
    [
        "0000/0000_000.jpg 0",
        "0000/0000_000_01_x_0.jpg zero",
        "x",
        f"0000/0000_000_01_x_0.jpg {'9' * 20}",
        f"0000/0000_000_{'9' * 20}_x_0.jpg 0",
    ],
)
def test_msmt17_with_a_wrong_line(tmp_path, line):
    base = msmt17(tmp_path)
    (base / "list_query.txt").write_text(f"\n{line}\n")
    with pytest.raises(DatasetError, match=r"line 2 of .*list_query.txt is .*not a path and"):
        read_msmt17(tmp_path, complete=False)


@pytest.mark.parametrize("kind", ["UTF-16", "a folder"])
def test_msmt17_with_a_list_that_is_no_text(tmp_path, kind):
    path = msmt17(tmp_path) / "list_query.txt"
    if kind == "UTF-16":
        path.write_text(path.read_text(), encoding="utf-16")
    else:
        path.unlink()
        path.mkdir()
    with pytest.raises(DatasetError, match=r"list_query.txt cannot be read as text in UTF-8 \("):
        read_msmt17(tmp_path, complete=False)


def test_msmt17_without_lists_or_without_crops(tmp_path):
    base = msmt17(tmp_path)
    shutil.rmtree(base / "test")
    with pytest.raises(
        DatasetError, match=r"has the lists and no crops.*train and test \(version 1"
    ):
        read_msmt17(tmp_path)
    (base / "list_val.txt").unlink()
    with pytest.raises(DatasetError, match="has no list_val.txt; it holds"):
        read_msmt17(tmp_path)


def test_real_training_split_fits_the_pattern_of_the_layout():
    if "SANREID_DATA" not in os.environ:
        pytest.skip("SANREID_DATA is not set: the folder with the data sets' real crops")
    root = Path(os.environ["SANREID_DATA"]) / "market1501"
    assert len(read_crops(root / "bounding_box_train", names="market1501")) == 12_936
    with pytest.raises(DatasetError, match="has no query and no bounding_box_test"):
        read_market1501(root)
