"""One vocabulary of splits; their figures are checked with the command line's protocols."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.datasets import CropSet, split_by_camera
from sanreid.errors import InputError
from sanreid.metrics.splits import SPLITS, find_split, make_query_sets, split_of

PIDS = np.array([1, 1, 1, 2, 2, 2, 0, -1])
CAMIDS = np.array([1, 1, 2, 1, 2, 2, 1, 2])


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("cross-camera", "cross-camera"),
        ("cross_camera", "cross-camera"),
        ("other_cameras", "cross-camera"),
        ("other-cameras", "cross-camera"),
        ("first_of_camera", "first-per-camera"),
        ("first_per_camera", "first-per-camera"),
        ("market1501", "market1501"),
    ],
)
def test_every_spelling_is_read(word, name):
    assert find_split(word) == name
    assert SPLITS.keys() == {"cross-camera", "market1501", "first-per-camera"}


@pytest.mark.parametrize("word", ["", "both", "market", None, 3])
def test_another_word_is_refused(word):
    with pytest.raises(InputError, match="split must be one of cross-camera, market1501"):
        find_split(word)
    with pytest.raises(InputError, match="queries must be one of all, first-per-camera"):
        make_query_sets(PIDS, CAMIDS, queries=word, gallery="all")
    with pytest.raises(InputError, match="gallery must be one of rest, all, cross-camera"):
        make_query_sets(PIDS, CAMIDS, queries="all", gallery=word)


def test_parts_and_names():
    assert split_of("all", "other_cameras") == "cross-camera"
    assert split_of("first_of_camera", "rest") == "first-per-camera"
    assert split_of("first_of_camera", "all") is None


def test_queries_of_each_camera_search_the_others():
    first, second = make_query_sets(
        PIDS, CAMIDS, queries="first_of_camera", gallery="other_cameras"
    )
    assert (first.query.tolist(), first.gallery.tolist()) == ([0, 3], [2, 4, 5, 7])
    assert (second.query.tolist(), second.gallery.tolist()) == ([2, 4], [0, 1, 3, 6])


def test_the_caller_may_say_who_asks():
    asks = np.zeros(8, dtype=bool)
    asks[2] = True
    (only,) = make_query_sets(PIDS, CAMIDS, queries="all", gallery="rest", is_person=asks)
    assert (only.query.tolist(), only.gallery.tolist()) == ([2], [0, 1, 3, 4, 5, 6, 7])
    assert asks.sum() == 1


def test_it_agrees_with_the_split_of_crop_sets():
    crops = CropSet("x", [f"{n}.jpg" for n in range(8)], PIDS, CAMIDS, ignored_pids=(-1, 0))
    query, gallery = split_by_camera(crops)
    (one,) = SPLITS["first-per-camera"](PIDS, CAMIDS)
    assert query.paths == crops.select(one.query).paths
    assert gallery.paths == crops.select(one.gallery).paths
