"""The curve of the released weights' training."""

from __future__ import annotations

import pytest

from tests.benchmarks.curve_of_release import SHOWN, curve_table, draw, points


def evaluation(step, value):
    return [{"kind": "evaluation", "set": key, "step": step, "mAP": value} for key in SHOWN]


def test_steps_are_counted_over_the_stages():
    other = {"kind": "evaluation", "set": "market1501-dev", "step": 10, "mAP": 0.9}
    first = [*evaluation(0, 0.1), {"kind": "train", "step": 10}, *evaluation(10, 0.2), other]
    found = points([first, [*evaluation(0, 0.15), *evaluation(5, 0.3)]])
    assert [(one["stage"], one["step"]) for one in found] == [(0, 0), (0, 10), (1, 10), (1, 15)]
    assert [set(one["mAP"].values()) for one in found] == [{0.1}, {0.2}, {0.15}, {0.3}]


def test_the_curve_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    stages = [evaluation(0, 0.1) + evaluation(10, 0.2), evaluation(0, 0.05) + evaluation(5, 0.3)]
    draw(points(stages), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_a_set_that_an_evaluation_lacks_is_shown_as_missing(tmp_path):
    *others, _ = SHOWN
    found = points([[*evaluation(0, 0.1), *evaluation(10, 0.2)[:-1]]])
    assert set(found[1]["mAP"]) == set(others)
    row = curve_table(found, ["small"]).splitlines()[-1]
    assert row == f"| `small` | 10 |{' 20.0 |' * len(others)} - |"
    pytest.importorskip("matplotlib")
    draw(found, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000
