"""Values of other libraries as Python's own."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
import torch

from sanreid.utils.arrays import plain, shown, shown_with_type


class Broken(int):
    """A number that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


class OnTwoLines:
    def __repr__(self) -> str:
        return "Table(\n  a\n)"


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ("7", "'7'"),
        (np.float32(0.5), "0.5"),
        (torch.tensor(3), "3"),
        (pd.NA, "<NA>"),
        (np.ma.masked, "masked"),
        (np.datetime64("2020", "Y"), "np.datetime64('2020')"),
        (dt.datetime(2024, 1, 1), "datetime.datetime(2024, 1, 1, 0, 0)"),  # noqa: DTZ001
        (np.zeros((2, 3)), "ndarray of shape (2, 3)"),
        (torch.zeros(1), "Tensor of shape (1,)"),
        (pd.DataFrame({"a": [1, 2]}), "DataFrame of shape (2, 1)"),
        ([1, 2], "[1, 2]"),
        ({"a": (1, None)}, "{'a': (1, None)}"),
        (list(range(10**6)), "[0, 1, 2, 3, 4, 5, ...]"),
        ("x" * 500, f"'{'x' * 199}... (502 characters)"),
        (OnTwoLines(), "Table( a )"),
        (np.float64, "<class 'numpy.float64'>"),
        pytest.param(10**5000, "<int>", id="a long number"),
        ([10**200, "b"], f"[{'1' + '0' * 17}...{'0' * 19}, 'b']"),
        pytest.param([10**5000], "[<int>]", id="a long number in a list"),
        pytest.param(Broken(1), "<Broken>", id="broken"),
    ],
)
def test_a_message_shows_the_beginning_of_a_value(value, text):
    assert shown(value) == text


def test_a_message_says_a_type_once():
    assert shown_with_type("7") == "'7' of type str"
    assert shown_with_type([7]) == "[7] of type list"
    assert shown_with_type(np.zeros(2)) == "ndarray of shape (2,)"
