"""CropSet: checks, selection, merging, queries and gallery."""

from pathlib import Path

import numpy as np
import pytest

from sanreid.datasets import CropSet, Dataset, merge_crops, split_by_camera
from sanreid.errors import InputError


def crops_of(pids, camids=None, name="set", **more):
    camids = [0] * len(pids) if camids is None else camids
    paths = tuple(Path(f"{name}/{i}.jpg") for i in range(len(pids)))
    return CropSet(name, paths, np.array(pids, dtype=int), np.array(camids, dtype=int), **more)


def test_a_set_keeps_its_own_locked_copies():
    pids = np.array([3, 1, 3])
    crops = CropSet("set", (Path("x/a.jpg"), Path("x/b.jpg"), Path("x/c.jpg")), pids, [1, 2, 3])
    pids[0] = 99
    assert crops.pids.tolist() == [3, 1, 3]
    assert crops.pids.dtype == crops.camids.dtype == np.int64
    assert crops.keys == ("x/a.jpg", "x/b.jpg", "x/c.jpg")
    with pytest.raises(ValueError, match="read-only"):
        crops.pids[0] = 1


def test_a_set_shows_itself_in_one_line():
    crops = crops_of([5, -1, 2, 5], camids=[1, 1, 2, 3])
    assert repr(crops) == "CropSet('set', 4 crops of 2 people under 3 cameras)"


def test_identities_leave_out_junk_and_distractors():
    crops = crops_of([5, -1, 0, 2, 5], ignored_pids=(-1, 0))
    assert crops.identities.tolist() == [2, 5]
    assert crops.num_identities == 2
    assert crops.without_ignored().pids.tolist() == [5, 2, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pids": [1, 2, 3]}, r"pids must have shape \(2,\), one for each path; got \(3,\)"),
        ({"pids": [1.5, 2.0]}, "pids must be whole numbers; got float64"),
        ({"camids": [[1], [2]]}, r"camids must have shape \(2,\)"),
        ({"keys": ("a",)}, "keys must be one for each of the 2 paths; got 1"),
        ({"labels": ("a", "b", "c")}, "labels must be one for each of the 2 paths; got 3"),
    ],
)
def test_lengths_and_kinds_are_checked(change, message):
    values = {"name": "s", "paths": (Path("a"), Path("b")), "pids": [1, 2], "camids": [0, 0]}
    with pytest.raises(InputError, match=message):
        CropSet(**values | change)


def test_select_by_mask_by_place_and_by_person():
    crops = crops_of([7, 8, 7, 9], [0, 1, 2, 3], labels=("g", "h", "g", "i"), split="train")
    by_mask = crops.select(crops.pids == 7)
    assert by_mask.camids.tolist() == [0, 2]
    assert by_mask.labels == ("g", "g")
    assert by_mask.split == "train"
    assert crops.select([3, 0]).paths == (Path("set/3.jpg"), Path("set/0.jpg"))
    assert crops.of_pids([9, 8]).keys == ("set/1.jpg", "set/3.jpg")
    assert crops.without_pids([9, 8]).keys == ("set/0.jpg", "set/2.jpg")
    assert len(crops.of_pids([])) == len(crops.select([])) == 0
    assert len(crops.select(np.zeros(4, dtype=bool))) == 0


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([True, False], r"A mask must have shape \(3,\), one value for each crop; got \(2,\)"),
        ([0, 3], "Indices must be at least -3 and below 3; got 3"),
        ([-5, 0], "Indices must be at least -3 and below 3; got -5"),
        ([0.5], "takes a bool mask or a list of whole numbers; got float64"),
        (1, "takes a bool mask or a list"),
    ],
)
def test_select_refuses(which, message):
    with pytest.raises(InputError, match=message):
        crops_of([1, 2, 3]).select(which)


def test_first_crop_of_each_camera_asks_and_the_rest_is_searched():
    crops = crops_of([1, 1, 1, 2, 2, -1, 0], [0, 0, 1, 1, 1, 0, 0], ignored_pids=(-1, 0))
    query, gallery = split_by_camera(crops)
    assert query.keys == ("set/0.jpg", "set/2.jpg", "set/3.jpg")
    assert gallery.keys == ("set/1.jpg", "set/4.jpg", "set/5.jpg", "set/6.jpg")
    assert (query.split, gallery.split) == ("query", "gallery")
    assert crops.split == ""


def test_merged_sources_share_no_person_and_no_camera():
    a = crops_of([4, 2, -1], [1, 2, 1], name="a")
    b = crops_of([0, 2, 7], [1, 1, 2], name="b")
    c = crops_of([2], [0], name="c")
    merged = merge_crops([a, b, c], name="all")
    # a keeps 4, 2; b's smallest, 0, moves behind 4; c's behind b's last, 7 + 5.
    assert merged.pids.tolist() == [4, 2, 5, 7, 12, 13]
    assert merged.camids.tolist() == [1, 2, 3, 3, 4, 5]
    assert merged.num_identities == 6
    assert merged.keys[2] == "b/0.jpg"
    assert merged.name == "all"


def test_merge_leaves_out_each_sources_own_junk():
    market = crops_of([0, 3], name="market", ignored_pids=(-1, 0))
    cuhk = crops_of([0, 1], name="cuhk")
    assert merge_crops([market, cuhk]).pids.tolist() == [3, 4, 5]


def test_merge_with_an_empty_source_and_one_split():
    a = crops_of([1], name="a", split="train")
    assert merge_crops([a, crops_of([], name="b", split="train")]).split == "train"
    assert merge_crops([a, crops_of([2], name="b")]).split == ""
    assert len(merge_crops([crops_of([])])) == 0


def test_merge_refuses_nothing_and_the_same_twice():
    with pytest.raises(InputError, match="at least one set"):
        merge_crops([])
    with pytest.raises(InputError, match="Two crops have the key 'a/0.jpg'"):
        merge_crops([crops_of([1], name="a"), crops_of([2], name="a")])


def test_summary_counts_each_split():
    data = Dataset(
        "demo", crops_of([1, 1, 2], [0, 1, 0]), crops_of([3]), crops_of([3, -1], [4, 5])
    )
    lines = data.summary().splitlines()
    assert lines[0].split() == ["demo", "identities", "crops", "cameras"]
    assert lines[1].split() == ["train", "2", "3", "2"]
    assert lines[3].split() == ["gallery", "1", "2", "2"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"paths": 5}, "paths must be a sequence, one for each crop; got 5"),
        ({"paths": "a.jpg"}, "paths must be a sequence, one for each crop; got 'a.jpg'"),
        ({"paths": [5]}, "paths must be paths; got 5 among them"),
        ({"paths": [None]}, "paths must be paths; got None among them"),
        ({"labels": [7]}, "labels must be texts; got 7 among them"),
        ({"keys": [7]}, "keys must be texts; got 7 among them"),
        ({"keys": 7}, "keys must be a sequence"),
        ({"pids": np.array([2**63], dtype=np.uint64)}, "pids must fit in 64 bits with a sign"),
        ({"camids": np.array([2**64 - 1], dtype=np.uint64)}, "camids must fit in 64 bits"),
    ],
)
def test_values_of_other_kinds_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        CropSet(**{"name": "a", "paths": ["a.jpg"], "pids": [1], "camids": [0]} | given)


@pytest.mark.parametrize("wrong", [5, "ab", [5]])
def test_only_sets_of_crops_are_merged(wrong):
    with pytest.raises(InputError, match="must be a"):
        merge_crops(wrong)


@pytest.mark.parametrize("wrong", [5, None, []])
def test_only_a_set_of_crops_is_split(wrong):
    with pytest.raises(InputError, match="crops must be a CropSet"):
        split_by_camera(wrong)


@pytest.mark.parametrize("pids", [5, None, "78", ["7"], [7.5], [[7], [8, 9]], object()])
def test_people_are_selected_by_whole_numbers(pids):
    crops = crops_of([7, 8], [0, 1])
    for select in (crops.of_pids, crops.without_pids):
        with pytest.raises(InputError, match="pids must be"):
            select(pids)
