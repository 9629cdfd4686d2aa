"""The rendered people in the package, and the tests' use of them."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.datasets import read_crops
from tests.people import CAMERAS, PEOPLE, SAMPLES, rendered_person, write_people


def test_the_packaged_samples_are_eight_people_under_four_cameras():
    crops = read_crops(SAMPLES, names="market1501")
    assert crops.pids.tolist() == np.repeat(np.arange(1, PEOPLE + 1), CAMERAS).tolist()
    assert crops.camids.tolist() == [1, 2, 3, 4] * PEOPLE
    for path in crops.paths:
        assert path.name.endswith("_rendered_0.jpg"), "a name must not pass for a data set's"


def test_the_packaged_samples_stay_small():
    assert sum(path.stat().st_size for path in SAMPLES.glob("*.jpg")) < 250_000


def test_numbers_choose_other_crops():
    crops = [
        np.asarray(rendered_person(identity, 1, shot, size=(64, 32)), dtype=float)
        for identity in range(1, PEOPLE * CAMERAS + 1)
        for shot in (0, 1)
    ]
    for index, crop in enumerate(crops):
        for other in crops[:index]:
            assert np.abs(crop - other).mean() > 1


def test_people_come_again_under_the_next_camera():
    again = rendered_person(PEOPLE + 3, camera=CAMERAS)
    assert np.array_equal(np.asarray(again), np.asarray(rendered_person(3, camera=1)))


def test_size_is_height_and_width():
    assert rendered_person(1, size=(100, 40)).size == (40, 100)


@pytest.mark.parametrize(("names", "scheme"), [("market1501", "market1501"), ("folders", "pku")])
def test_written_people_are_read_as_a_data_set(tmp_path, names, scheme):
    paths = write_people(
        tmp_path, identities=2, cameras=2, shots=2, size=(32, 16), names=names, suffix=".png"
    )
    crops = read_crops(tmp_path, names=scheme)
    assert sorted(crops.paths) == paths
    assert crops.pids.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert crops.camids.tolist() == [1, 1, 2, 2] * 2
