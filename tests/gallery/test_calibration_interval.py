"""The calibration's interval, by values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.gallery import Gallery, calibration

ABOVE = calibration._BINS * 3 // 4  # the bin edge at a similarity of 0.5


def spread(rows, person, rate):
    rows = np.asarray(rows, dtype=np.float32)
    person = np.asarray(person)
    same = person[:, None] == person
    num_impostor = int((~same).sum()) // 2
    pairs = calibration._pairs(rows, person, None)
    return calibration._spread(pairs, person, ABOVE, rate, person.max() + 1, num_impostor)


def test_the_variance_is_at_least_that_of_independent_pairs():
    # Four people, one crop each, one of six pairs alike: errors of 5/6 once and -1/6 five times.
    # By person 1/2, 1/2, -1/2, -1/2: squares sum to 1, those of the pairs to 5/6; 1 - 5/6 is less.
    rows = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert spread(rows, [0, 1, 2, 3], 1 / 6) == pytest.approx(math.sqrt(5 / 6) / 6)


def test_the_variance_counts_people_not_pairs():
    # Three people, two crops each, the first two alike: errors of 2/3 four times, -1/3 eight
    # times. By person 4/3, 4/3, -8/3: squares sum to 32/3, those of the pairs to 8/3.
    rows = [[1, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    assert spread(rows, [0, 0, 1, 1, 2, 2], 1 / 3) == pytest.approx(math.sqrt(8) / 12)


def test_the_ends_of_the_interval():
    one_sigma = 0.6826894921370859
    # A width of log 2: from half the rate to twice the rate.
    error = 0.2 * math.log(2) / math.sqrt(2)
    assert calibration._interval(0.2, error, one_sigma, 9) == pytest.approx((0.1, 0.4))
    error = 0.6 * math.log(2) / math.sqrt(2)
    assert calibration._interval(0.6, error, one_sigma, 9) == pytest.approx((0.3, 1.0))
    low, high = calibration._interval(0.0, 0.0, 0.95, 30)
    assert (low, high) == (0.0, pytest.approx(-math.log(0.05) / 30))
    assert calibration._interval(0.0, 0.0, 0.95, 2) == (0.0, 1.0)
    low, high = calibration._interval(0.01, 0.001, 1 - 1e-16, 9)  # 8.29 sigma
    assert (low, high) == pytest.approx((0.00310, 0.0323), rel=0.01)


@pytest.mark.parametrize(
    ("pids", "camids", "message"),
    [
        ([1, 1, 2, 2, 3, 3], [4] * 6, "all crops come from camera 4"),
        ([1, 1, 2, 2, 3, 3], [4, None] * 3, "all crops come from camera 4"),
        ([1, 1, 2, 2, 3, 3], ["north gate"] * 6, "all crops come from camera north gate"),
        ([1, 1, 2, 2, 3, 3], [None] * 6, "no crop has a camera"),
        ([1, 1, 2, 2, 3, 3], [4, 4, 5, 5, 6, 6], "none of the 3 people is seen under two"),
        ([1, 2, 3, 1, 2, 3], [None, None, None, 1, 2, 3], "none of the 3 people is seen under"),
    ],
)
def test_too_few_pairs_for_want_of_cameras_says_so(pids, camids, message):
    with pytest.raises(InputError, match=f"{message}.* or leave camids out"):
        Gallery(6).calibrate(np.eye(6), pids, camids, false_match_rate=0.5)


def test_too_few_pairs_for_the_rate_says_so():
    with pytest.raises(InputError, match="Pass more crops, or ask for a higher rate"):
        Gallery(6).calibrate(np.eye(6), [1, 1, 2, 2, 3, 3], [4, 5] * 3, false_match_rate=0.01)
