"""Equal numbers are equal whatever their sign of zero; equal distances keep gallery order."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.metrics import evaluate, evaluate_distances
from sanreid.metrics.vectors import identical_rows, unit_rows


def test_a_negative_zero_is_a_zero():
    rows = unit_rows([[0.0, 2.0], [-0.0, 2.0], [-0.0, -2.0]], "rows")
    assert not np.signbit(rows[:2]).any()
    repeats, firsts = identical_rows(rows)
    assert (repeats.tolist(), firsts.tolist()) == ([1], [0])


@pytest.mark.parametrize(
    ("pids", "rank1"),
    [
        ([1, 2], 1.0),  # the match stands before its equal
        ([2, 1], 0.0),  # and behind it
        ([1, 2, 3], 1.0),
        ([2, 1, 3], 0.0),
        ([0, 1], 0.0),  # a distractor is drawn always
    ],
)
def test_a_tie_in_a_drawn_gallery_keeps_gallery_order(pids, rank1):
    # One entry per person, all at the same distance: the draw decides nothing.
    count = len(pids)
    equal = evaluate_distances(
        np.zeros((1, count)), [1], [0], pids, [1] * count, protocol="cuhk03"
    )
    assert equal.rank1 == rank1
    same = evaluate(
        [[1, 0]], [1], [0], [[2, 0]] * count, pids, [1] * count, protocol="cuhk03", num_repeats=3
    )
    assert same.rank1 == rank1


def test_a_tie_among_several_drawn_matches():
    # Person 1 has entries 0 and 3, one drawn per repeat; 2 and 3 tie with both from between.
    report = evaluate_distances(
        np.zeros((1, 4)), [1], [0], [1, 2, 3, 1], [1] * 4, protocol="cuhk03", num_repeats=400
    )
    assert report.cmc[0] == pytest.approx(0.5, abs=0.1)  # entry 0 ranks first, entry 3 third
    assert report.cmc[1] == report.cmc[0]
    assert report.cmc[2] == 1
