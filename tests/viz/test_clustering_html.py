"""A clustering in notebooks: one row of crops per cluster, marks, bounds, harmless texts."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sanreid import Gallery, cluster_identities
from sanreid.clustering import Clustering
from sanreid.errors import InputError
from sanreid.viz import cluster_sheet
from sanreid.viz.palette import BLUE, GREY, ORANGE
from tests.viz.hostile import HOSTILE, parsed_fragment
from tests.viz.test_notebook import check_harmless

pytest.importorskip("scipy", reason="the extra cluster is not installed")
CROP = np.full((8, 4, 3), 90, np.uint8)


def clustering(labels, confidence, medoids, **more):
    return Clustering(
        labels=np.array(labels, np.int64),
        confidence=np.array(confidence, np.float32),
        medoids=np.array(medoids, np.int64),
        cameras=((1, 2), (3,), *(() for _ in medoids[2:])),
        times=np.array([[5.0, 7.5], [np.nan, np.nan], *([np.nan] * 2 for _ in medoids[2:])]),
        threshold=0.475,
        **more,
    )


FOUND = clustering([0, 0, 1, 0, -1, 1, 0], [0.6, 0.9, 0.4, 0.3, 0.9, 0.8, 0.7], [6, 5])


def words(html):
    return [text.strip() for text in parsed_fragment(html).itertext() if text.strip()][1:]


def test_a_row_per_cluster_with_marks():
    html = FOUND.with_images([CROP] * 4 + [None] + ["gone.jpg"] * 2)._repr_html_()
    check_harmless(parsed_fragment(html))
    assert words(html) == [
        "7 crops: 2 clusters, 1 alone, threshold 0.475; 2 doubtful",
        "no picture", "cluster 0", "4 crops", "2 cams", "0.90", "0.60", "0.30 ?",
        "no picture", "cluster 1", "2 crops", "cam 3", "0.40 ?",
        "alone", "1 crop", "no picture", "0.90",
    ]  # fmt: skip
    frames = re.findall(r"border:3px solid (#\w+)", html)
    assert frames == [BLUE, GREY, GREY, ORANGE, BLUE, ORANGE, GREY]
    alt = [image.get("alt") for image in parsed_fragment(html).iter("img")]
    assert alt[2] == "row 3, cluster 0, confidence 0.30, doubtful"


def test_a_table_without_pictures():
    html = FOUND._repr_html_()
    assert "<img" not in html
    assert words(html)[1:] == [
        "cluster", "crops", "cameras", "first", "last", "confidence", "doubtful", "person",
        "0", "4", "1, 2", "5", "7.5", "0.62", "1", "1", "2", "3", "0.60", "1",
    ]  # fmt: skip


def test_times_keep_their_seconds():
    times = np.array([[1_770_000_123.0, 1_770_000_123.5], [np.nan, np.nan]])
    html = replace(FOUND, times=times)._repr_html_()
    assert words(html)[12:14] == ["1770000123", "1770000123.5"]


def test_its_size_is_bounded():
    noise = np.random.default_rng(0).integers(0, 255, (128, 64, 3), np.uint8)
    labels = np.repeat(np.arange(300), 20)
    found = clustering(labels, np.full(6000, 0.9), np.arange(300) * 20)
    html = found.with_images([noise] * 6000)._repr_html_()
    assert "the first 12 clusters are shown" in html
    assert html.count("<img") == 12 * 9
    assert len(html) < 1_500_000
    assert "the first 40 clusters are listed" in found._repr_html_()
    assert found._repr_html_().count("<tr>") == 41


def test_a_gallery_fills_in_paths_and_people(tmp_path):
    path = str(tmp_path / "crop.jpg")
    Image.new("RGB", (4, 8)).save(path)
    gallery = Gallery(4)
    rows = np.eye(4)[[0, 0, 1, 1]]
    gallery.add(rows, pids=["anna", None, None, None], metadata=[{"path": path}, {}, None, None])
    found = gallery.cluster()
    assert found.images == (path, None, None, None)
    shown = words(found._repr_html_())
    assert shown[1:6] == ["cluster 0", "person anna", "2 crops", "#0", "no picture"]
    assert shown.count("person 1") == 2
    assert f"entry 0, cluster 0, confidence 1.00, person anna, {path}" in found._repr_html_()
    assert cluster_sheet(found, crop_size=(16, 8)).size > (0, 0)
    bare = Gallery(4)
    bare.add(rows, metadata=[{"path": 7}, {}, {}, {}])
    assert bare.cluster().images is None


@pytest.mark.parametrize("pictures", [True, False])
def test_texts_are_harmless(pictures):
    gallery = Gallery(16)
    rows = np.repeat(np.eye(16)[: len(HOSTILE)], 2, axis=0)
    gallery.add(
        rows,
        pids=np.repeat(HOSTILE, 2).tolist(),
        metadata=[{"path": text} for text in HOSTILE for _ in range(2)] if pictures else None,
    )
    html = gallery.cluster()._repr_html_()
    check_harmless(parsed_fragment(html))
    assert len(html) < 40_000


def test_nothing_and_everything_in_one(tmp_path):
    empty = clustering([-1, -1], [0.5, 1], [], images=(CROP, CROP))
    assert words(empty._repr_html_()) == [
        "2 crops: 0 clusters, 2 alone, threshold 0.475; 0 doubtful", "alone", "2 crops", "0.50",
        "1.00",
    ]  # fmt: skip
    one = cluster_identities(np.ones((30, 4), np.float32)).with_images([CROP] * 30)
    assert one._repr_html_().count("<img") == 9


@pytest.mark.parametrize("wrong", ["crop.jpg", [CROP] * 6, [], None, 3])
def test_one_picture_per_crop(wrong):
    with pytest.raises(InputError, match="one per crop"):
        FOUND.with_images(wrong)
    with pytest.raises(InputError, match="knows no pictures"):
        cluster_sheet(FOUND)
