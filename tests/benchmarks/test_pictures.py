"""The pictures of the docs can be redrawn: complete rows, sizes, percentages and names."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="the viz extra is not installed")

from matplotlib.figure import Figure

from sanreid.datasets import read_crops
from sanreid.gallery import Gallery
from tests.benchmarks import open_set_curve
from tests.benchmarks.pictures_of_results import SAMPLES, rankings, tiled


def test_the_first_page_and_the_demo_show_their_people(tmp_path):
    crops = read_crops(SAMPLES, names="market1501")
    rows = np.eye(9, dtype=np.float32)[crops.pids] + 0.1
    ask = crops.camids == 1
    gallery = Gallery(9)
    gallery.add(
        rows[~ask],
        pids=crops.pids[~ask].tolist(),
        metadata=[{"path": str(path)} for path in crops.select(~ask).paths],
    )
    rankings(gallery, crops.select(ask), rows[ask], tmp_path)
    for name, size in (("front.jpg", (1104, 562)), ("demo.jpg", (756, 856))):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == size


def test_tiles_form_complete_rows_of_one_width():
    tiles = [np.full((4, 2, 3), shade, np.uint8) for shade in range(7)]
    assert tiled(tiles, columns=3, width=6).size == (6, 8)
    assert tiled(tiles, columns=9, width=7).size == (7, 2)
    assert np.asarray(tiled(tiles, columns=3, width=6))[5, 5, 0] == 5


def test_the_open_set_figure_has_titles_and_percentages(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(40), 4)
    rows = rng.standard_normal((40, 16))[pids] + rng.standard_normal((160, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = np.array([f"a/{pid}" for pid in pids])
    found = open_set_curve.measure(rows.astype(np.float32), names, np.tile([1, 1, 2, 2], 40))
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: kept.append(figure))
    open_set_curve.plot({"cuhk03": found, "pku": found}, tmp_path / "open.png")
    first, second, curve = kept[0].axes
    assert first.get_title(loc="left") == "CUHK03 val, pairs across cameras"
    assert second.get_title(loc="left") == "PKU-Reid, a part, pairs across cameras"
    assert [line.get_label() for line in curve.get_lines()] == ["CUHK03 val", "PKU-Reid, a part"]
    assert curve.yaxis.get_major_formatter()(0.5) == "50 %"
