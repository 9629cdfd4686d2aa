"""The occluded and the two-camera data sets from replicas of their layouts."""

import os
from pathlib import Path

import pytest

from sanreid.datasets import (
    read_cuhk01,
    read_occluded_reid,
    read_partial_ilids,
    read_partial_reid,
    read_pku_reid,
    read_viper,
)
from sanreid.errors import DatasetError, InputError
from tests.datasets.replicas import viper, write


@pytest.mark.parametrize("queries", ["partial", "occluded"])
def test_partial_reid(tmp_path, queries):
    base = tmp_path / "Partial-REID_Dataset"
    write(base, "partial_body_images/001_001.jpg", "partial_body_images/060_005.jpg")
    write(base, "occluded_body_images/001_001.jpg", "occluded_body_images/060_005.jpg")
    write(base, "whole_body_images/001_002.jpg", "whole_body_images/060_001.jpg")
    data = read_partial_reid(tmp_path, queries=queries, complete=False)
    assert data.query.pids.tolist() == data.gallery.pids.tolist() == [1, 60]
    assert data.query.camids.tolist() == [0, 0]
    assert data.gallery.camids.tolist() == [1, 1]
    assert data.query.paths[0].parent.name == f"{queries}_body_images"
    assert len(data.train) == 0
    with pytest.raises(DatasetError, match="query has 2 crops instead of 300"):
        read_partial_reid(tmp_path, queries=queries)
    with pytest.raises(InputError, match="queries must be 'partial' or 'occluded'; got 'both'"):
        read_partial_reid(tmp_path, queries="both")


@pytest.mark.parametrize("files", [("1.jpg", "119.jpg"), ("001_1.jpg", "119_1.jpg")])
def test_partial_ilids(tmp_path, files):
    for folder in ("Probe", "Gallery"):
        write(tmp_path / "Partial_iLIDS" / folder, *files)
    data = read_partial_ilids(tmp_path, complete=False)
    assert sorted(data.query.pids.tolist()) == sorted(data.gallery.pids.tolist()) == [1, 119]
    assert (set(data.query.camids), set(data.gallery.camids)) == ({0}, {1})
    with pytest.raises(DatasetError, match="gallery has 2 crops instead of 119"):
        read_partial_ilids(tmp_path)


def test_occluded_reid(tmp_path):
    base = tmp_path / "Occluded_REID"
    write(base, "occluded_body_images/001/001_01.tif", "occluded_body_images/200/200_05.tif")
    write(base, "whole_body_images/001/001_01.tif", "whole_body_images/200/200_05.tif")
    data = read_occluded_reid(tmp_path, complete=False)
    assert data.query.pids.tolist() == data.gallery.pids.tolist() == [1, 200]
    assert data.query.keys[0] == "occluded_reid/occluded_body_images/001/001_01.tif"
    write(base, "whole_body_images/003/004_01.tif")
    with pytest.raises(DatasetError, match=r"1 of 3 images .*003/004_01.tif"):
        read_occluded_reid(tmp_path, complete=False)


@pytest.mark.parametrize(
    ("reader", "missing"),
    [
        (read_partial_reid, "no partial_body_images and no whole_body_images"),
        (read_partial_ilids, "no Probe and no Gallery"),
        (read_occluded_reid, "no occluded_body_images and no whole_body_images"),
        (read_cuhk01, "no campus"),
        (read_viper, "no cam_a and no cam_b"),
        (read_pku_reid, "no images in"),
    ],
)
def test_a_wrong_folder_says_what_and_where(tmp_path, reader, missing):
    write(tmp_path, "other/notes.txt")
    with pytest.raises(DatasetError, match=rf"{missing}(.|\n)*Looked for (.|\n)*makers: http"):
        reader(tmp_path)


def cuhk01(root, people=6):
    for person in range(1, people + 1):
        write(root / "campus", *(f"{person:04}{shot:03}.png" for shot in (1, 2, 3, 4)))
    return root


def pku(root, people=6):
    names = [f"{p:03}_{c:02}_{v}.png" for p in range(people) for c in (1, 2) for v in (1, 8)]
    return write(root / "PKUv1a_128x48", *names)


READERS = {"cuhk01": (read_cuhk01, cuhk01, 4), "viper": (read_viper, viper, 2)}
READERS["pku"] = (read_pku_reid, lambda root: pku(root).parent, 4)


@pytest.mark.parametrize("name", READERS)
def test_a_split_halves_the_people(tmp_path, name):
    reader, make, shots = READERS[name]
    make(tmp_path)
    data = reader(tmp_path, split=3, complete=False)
    assert (data.train.num_identities, data.query.num_identities) == (3, 3)
    assert set(data.train.pids).isdisjoint(data.query.pids)
    assert data.query.identities.tolist() == data.gallery.identities.tolist()
    assert len(data.train) == 3 * shots
    assert len(data.query) == len(data.gallery) == 3 * shots // 2
    assert len(set(data.query.camids)) == 1
    assert set(data.query.camids).isdisjoint(data.gallery.camids)
    assert data.name.endswith("split 3")
    assert (data.train.split, data.query.split, data.gallery.split) == (
        "train",
        "query",
        "gallery",
    )
    again = reader(tmp_path, split=3, complete=False)
    assert again.train.keys == data.train.keys
    others = {tuple(reader(tmp_path, split=s, complete=False).train.pids) for s in range(8)}
    assert len(others) > 1


@pytest.mark.parametrize("name", READERS)
def test_the_other_camera_can_ask(tmp_path, name):
    reader, make, _ = READERS[name]
    make(tmp_path)
    one = reader(tmp_path, split=0, complete=False)
    other = reader(tmp_path, split=0, query_camera=1, complete=False)
    assert other.train.keys == one.train.keys
    assert other.query.keys == one.gallery.keys
    assert other.gallery.keys == one.query.keys
    assert one.query.camids.max() < other.query.camids.min()


@pytest.mark.parametrize("name", READERS)
def test_without_a_split_everybody_is_tested(tmp_path, name):
    reader, make, shots = READERS[name]
    make(tmp_path)
    data = reader(tmp_path, split=None, complete=False)
    assert len(data.train) == 0
    assert len(data.query) + len(data.gallery) == 6 * shots


@pytest.mark.parametrize(
    ("name", "count"), [("cuhk01", "3,884"), ("viper", "1,264"), ("pku", "1,824")]
)
def test_counts_and_options(tmp_path, name, count):
    reader, make, _ = READERS[name]
    make(tmp_path)
    with pytest.raises(DatasetError, match=f"crops instead of {count}"):
        reader(tmp_path)
    for options, wanted in (
        ({"split": -1}, "split must be at least 0; got -1"),
        ({"split": "abc"}, "split must be an int of at least 0; got 'abc'"),
        ({"query_camera": 2}, "query_camera must be at most 1; got 2"),
        ({"query_camera": "b"}, "query_camera must be an int of at least 0; got 'b'"),
    ):
        with pytest.raises(InputError, match=wanted):
            reader(tmp_path, complete=False, **options)


def test_viper_pairs_by_number_not_by_order(tmp_path):
    write(tmp_path, "cam_a/000_45.bmp", "cam_a/002_0.bmp", "cam_b/000_90.bmp", "cam_b/002_135.bmp")
    data = read_viper(tmp_path, split=None, complete=False)
    assert data.query.pids.tolist() == data.gallery.pids.tolist() == [0, 2]
    (tmp_path / "cam_b" / "000_90.bmp").unlink()
    (tmp_path / "cam_b" / "002_135.bmp").unlink()
    with pytest.raises(DatasetError, match="crops of 1 cameras instead of 2"):
        read_viper(tmp_path, complete=False)


def test_pku_with_a_folder_for_each_person_in_train_and_val(tmp_path):
    write(
        tmp_path,
        "train/001/01_1.jpg",
        "train/001/02_1.jpg",
        "val/004/01_3.jpg",
        "val/004/02_8.jpg",
    )
    data = read_pku_reid(tmp_path, complete=False)
    assert data.query.pids.tolist() == data.gallery.pids.tolist() == [1, 4]
    assert data.query.camids.tolist() == [1, 1]


def test_real_two_camera_sets():
    if "SANREID_DATA" not in os.environ:
        pytest.skip("SANREID_DATA is not set: the folder with the data sets' real crops")
    root = Path(os.environ["SANREID_DATA"])
    data = read_cuhk01(root / "cuhk01")
    assert (data.train.num_identities, data.query.num_identities) == (485, 486)
    assert len(data.train) + len(data.query) + len(data.gallery) == 3_884
    data = read_pku_reid(root / "pku_reid", complete=False)
    assert (data.query.num_identities, len(data.query), len(data.gallery)) == (74, 592, 592)
