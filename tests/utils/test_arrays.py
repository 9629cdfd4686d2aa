"""Values of other libraries as Python's own."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from sanreid.utils.arrays import plain


@pytest.mark.parametrize(
    "value",
    [
        None,
        pd.NA,
        pd.NaT,
        np.datetime64("NaT"),
        np.array(np.timedelta64("NaT")),
        np.ma.masked,
        np.ma.array(1, mask=True),
        np.array(None),
    ],
)
def test_a_missing_value_is_none(value):
    assert plain(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int8(3), 3),
        (np.array(3), 3),
        (np.ma.array(3), 3),
        (torch.tensor(2.5), 2.5),
        (np.longdouble(0.5), 0.5),
        (np.array(np.longdouble(0.5)), 0.5),
        (np.str_("x"), "x"),
        (np.array("x"), "x"),
        (np.bool_(True), True),
    ],
)
def test_a_scalar_is_of_python(value, expected):
    assert (plain(value), type(plain(value))) == (expected, type(expected))


def test_nan_is_not_missing():
    assert math.isnan(plain(np.float32("nan")))


@pytest.mark.parametrize(
    "time", [np.datetime64("2020", "ns"), np.timedelta64(3, "ns"), np.datetime64("2020", "Y")]
)
def test_a_time_stays_one_also_in_an_array_without_dimensions(time):
    for value in (time, np.array(time)):
        assert (plain(value), type(plain(value))) == (time, type(time))


def test_arrays_and_classes_stay_as_they_are():
    for value in (np.zeros(2), torch.zeros(1, 1), [1], np.float64):
        assert plain(value) is value
