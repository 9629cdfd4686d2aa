"""The drawn people, and the sample crops in the package that are drawn from them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sanreid.datasets import read_crops
from tests.people import draw_person, person, write_people, write_samples


def packaged() -> list[Path]:
    folder = Path(str(resources.files("sanreid"))) / "demo"
    return sorted(folder.glob("*.jpg"))


def test_the_packaged_samples_are_these_drawings(tmp_path):
    drawn = write_samples(tmp_path)
    assert [path.name for path in packaged()] == [path.name for path in drawn]
    for ours, theirs in zip(drawn, packaged(), strict=True):
        a = np.asarray(Image.open(ours), dtype=float)
        b = np.asarray(Image.open(theirs), dtype=float)
        # Pillow may round or compress by a level differently from version to version.
        assert np.abs(a - b).mean() < 1.0, ours.name


def test_the_packaged_samples_stay_small():
    assert sum(path.stat().st_size for path in packaged()) < 400_000


def test_a_drawing_is_the_same_each_time_and_another_for_each_number():
    first = np.asarray(draw_person(3, 2, 1, size=(64, 32)))
    assert np.array_equal(first, np.asarray(draw_person(3, 2, 1, size=(64, 32))))
    for other in (
        draw_person(4, 2, 1, size=(64, 32)),
        draw_person(3, 1, 1, size=(64, 32)),
        draw_person(3, 2, 2, size=(64, 32)),
        draw_person(3, 2, 1, size=(64, 32), seed=1),
    ):
        assert np.abs(first - np.asarray(other, dtype=float)).mean() > 1


def test_size_is_height_and_width():
    assert draw_person(1, size=(100, 40)).size == (40, 100)


def test_many_people_can_be_told_apart_by_their_traits():
    assert len({person(i) for i in range(1, 60)}) == 59


@pytest.mark.parametrize(("names", "scheme"), [("market1501", "market1501"), ("folders", "pku")])
def test_written_people_are_read_as_a_data_set(tmp_path, names, scheme):
    paths = write_people(
        tmp_path, identities=2, cameras=2, shots=2, size=(32, 16), names=names, suffix=".png"
    )
    crops = read_crops(tmp_path, names=scheme)
    assert sorted(crops.paths) == paths
    assert crops.pids.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert crops.camids.tolist() == [1, 1, 2, 2] * 2
