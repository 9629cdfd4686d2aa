"""Clusters as rows of crops: who is shown where, how they are marked, and error messages."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sanreid import Gallery
from sanreid.clustering import Clustering
from sanreid.errors import InputError
from sanreid.viz import cluster_sheet
from sanreid.viz.sheets import CAPTION, EMPTY, FRAME, FRAMES, GAP, HEADER, MARGIN

SIZE = (64, 32)
STEP = (32 + 2 * FRAME + GAP, 64 + 2 * FRAME + CAPTION + GAP)
COLORS = [(20 * shade, 0, 0) for shade in range(1, 8)]
CROPS = [Image.new("RGB", SIZE[::-1], color) for color in COLORS]


def clustering(labels, confidence, medoids):
    return Clustering(
        labels=np.array(labels, np.int64),
        confidence=np.array(confidence, np.float32),
        medoids=np.array(medoids, np.int64),
        cameras=tuple((1, 2) for _ in medoids),
        times=np.full((len(medoids), 2), np.nan),
        threshold=0.475,
    )


FOUND = clustering([0, 0, 1, 0, -1, 1, 0], [0.6, 0.9, 0.4, 0.3, 0.9, 0.8, 0.7], [6, 5])


def shown(sheet: Image.Image, row: int, column: int):
    """Return the colours of a crop and of its frame."""
    left = MARGIN + column * STEP[0] + (2 * GAP if column else 0)
    top = MARGIN + HEADER + row * STEP[1] + 40
    return sheet.getpixel((left + FRAME + 4, top)), sheet.getpixel((left + FRAME // 2, top))


def test_a_row_per_cluster_the_most_typical_crop_first_then_the_surest():
    sheet = cluster_sheet(FOUND, CROPS, crop_size=SIZE)
    wanted = [[(6, "query"), (1, "none"), (0, "none"), (3, "doubtful")],
              [(5, "query"), (2, "doubtful")]]  # fmt: skip
    for row, crops in enumerate(wanted):
        for column, (crop, mark) in enumerate(crops):
            assert shown(sheet, row, column) == (COLORS[crop], FRAMES[mark])
    assert sheet.size == (
        2 * MARGIN + 4 * STEP[0] - GAP + 2 * GAP,
        2 * MARGIN + HEADER + 2 * STEP[1] - GAP,
    )


def test_of_many_crops_the_surest_and_the_least_sure_are_shown():
    sheet = cluster_sheet(FOUND, CROPS, columns=2, crop_size=SIZE)
    assert [shown(sheet, 0, column)[0] for column in range(3)] == [
        COLORS[6], COLORS[1], COLORS[3],
    ]  # fmt: skip
    narrow = cluster_sheet(FOUND, CROPS, columns=1, crop_size=SIZE)
    assert [shown(narrow, 0, column)[0] for column in range(2)] == [COLORS[6], COLORS[3]]


def test_chosen_clusters_and_another_bound_of_doubt():
    sheet = cluster_sheet(FOUND, CROPS, clusters=[1], doubtful=0.85, crop_size=SIZE)
    assert [shown(sheet, 0, column) for column in range(2)] == [
        (COLORS[5], FRAMES["doubtful"]), (COLORS[2], FRAMES["doubtful"]),
    ]  # fmt: skip
    assert sheet.height == 2 * MARGIN + HEADER + STEP[1] - GAP
    calm = cluster_sheet(FOUND, CROPS, clusters=[1], doubtful=0.0, crop_size=SIZE)
    assert shown(calm, 0, 1) == (COLORS[2], FRAMES["none"])


def test_a_gallery_s_proposal_names_the_crops():
    gallery = Gallery(4)
    gallery.add(np.repeat(np.eye(4)[:2], 3, axis=0), pids=["anna", *[None] * 5])
    found = gallery.cluster()
    named = cluster_sheet(found, CROPS[:6], crop_size=SIZE)
    people = ["anna"] * 3 + [1] * 3
    assert named == cluster_sheet(found, CROPS[:6], pids=people, crop_size=SIZE)
    assert named != cluster_sheet(found, CROPS[:6], pids=[None] * 6, crop_size=SIZE)


def test_people_may_be_a_column_of_numpy():
    people = [7, 8, 7, 7, 8, 7, 7]
    plain = cluster_sheet(FOUND, CROPS, pids=people, crop_size=SIZE)
    assert plain != cluster_sheet(FOUND, CROPS, crop_size=SIZE)
    assert cluster_sheet(FOUND, CROPS, pids=np.array(people, float), crop_size=SIZE) == plain


def test_nobody_found_and_a_crop_that_is_not_there():
    alone = clustering([-1, -1], [1, 1], [])
    assert cluster_sheet(alone, CROPS[:2], crop_size=SIZE).width > 0
    sheet = cluster_sheet(FOUND, [*CROPS[:6], "moved away.jpg"], crop_size=SIZE)
    assert shown(sheet, 0, 0)[0] == EMPTY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": CROPS[:3]}, "images must be one a crop; got 3 for 7"),
        ({"images": "crop.jpg"}, "images wants a sequence"),
        ({"pids": [1]}, "pids must be one a crop; got 1 for 7"),
        ({"clusters": [2]}, "Clusters are numbered 0 to 1; got 2"),
        ({"columns": 0}, "columns must be at least 1; got 0"),
        ({"columns": 2.5}, "columns must be an int of at least 1; got 2.5"),
        ({"crop_size": 100}, "crop_size must be"),
        ({"images": iter(CROPS)}, "images must be a sequence of images; got"),
    ],
)
def test_error_messages(arguments, message):
    with pytest.raises(InputError, match=message):
        cluster_sheet(FOUND, **{"images": CROPS, **arguments})
