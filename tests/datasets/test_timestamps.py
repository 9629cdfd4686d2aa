"""Timestamps of every kind as seconds."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from sanreid.datasets.timestamps import as_timestamps
from sanreid.errors import InputError

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def test_times_become_seconds():
    times = [1, 2.5, None, START, np.datetime64("2024-01-01"), np.datetime64("NaT"), np.float32(3)]
    seconds = as_timestamps(times, 7)
    start = START.timestamp()
    np.testing.assert_array_equal(seconds, [1, 2.5, np.nan, start, start, np.nan, 3])
    np.testing.assert_array_equal(as_timestamps(None, 2), [np.nan] * 2)


def test_a_masked_column_of_times():
    days = np.ma.array(np.array(["2024-01-01", "2024-01-02"], "M8[ns]"), mask=[False, True])
    np.testing.assert_array_equal(as_timestamps(days, 2), [START.timestamp(), np.nan])
    with pytest.raises(InputError, match="row 0 is .*timedelta64"):
        as_timestamps(np.ma.array([np.timedelta64(3, "ns")], mask=[False]), 1)


def test_nan_is_missing_only_where_the_caller_says_so():
    for nan in (float("nan"), np.float32("nan")):
        assert np.isnan(as_timestamps([1, nan], 2, nan_is_missing=True)[1])
        with pytest.raises(InputError, match="since must be finite seconds .* row 1 is nan"):
            as_timestamps([1, nan], 2, name="since")
    with pytest.raises(InputError, match="row 0 is inf"):
        as_timestamps([float("inf")], 1, nan_is_missing=True)
