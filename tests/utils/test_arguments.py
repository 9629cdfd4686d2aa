"""Arguments of public calls."""

from __future__ import annotations

import re
import signal

import numpy as np
import pytest
import torch

from sanreid.errors import InputError
from sanreid.utils.arguments import (
    as_count,
    as_fraction,
    as_number,
    as_seed,
    check_choice,
    check_flag,
    check_kind,
    first_repeated,
)


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3), torch.tensor(3)])
@pytest.mark.parametrize("read", [lambda value: as_count(value, "k"), as_seed])
def test_ints_of_every_library_are_ints(read, value):
    count = read(value)
    assert (count, type(count)) == (3, int)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "k must be at least 1; got 0."),
        (np.int64(-2), "k must be at least 1; got -2."),
        (2**63, "k must be at most 9,223,372,036,854,775,807; got 9223372036854775808."),
        pytest.param(
            10**5000, "k must be at most 9,223,372,036,854,775,807; got <int>.", id="long"
        ),
        (True, "k must be an int of at least 1; got True."),
        (np.bool_(True), "k must be an int of at least 1; got True."),
        (2.0, "k must be an int of at least 1; got 2.0."),
        (np.float32(2.5), "k must be an int of at least 1; got 2.5."),
        (None, "k must be an int of at least 1; got None."),
        ("3", "k must be an int of at least 1; got '3'."),
        (np.zeros(2), "k must be an int of at least 1; got ndarray of shape (2,)."),
        (np.ma.masked, "k must be an int of at least 1; got masked."),
        (
            np.array(np.timedelta64(3, "ns")),
            "k must be an int of at least 1; got np.timedelta64(3",
        ),
    ],
)
def test_what_is_no_count(value, message):
    with pytest.raises(InputError, match=re.escape(message)):
        as_count(value, "k")


def test_a_member_of_an_enum_is_its_number():
    assert type(as_count(signal.SIGINT, "k")) is int
    assert as_count(signal.SIGINT, "k") == 2


def test_a_count_has_the_limits_of_its_caller():
    assert as_count(0, "k", least=0) == 0
    with pytest.raises(InputError, match="k must be at most 1,000; got 1001"):
        as_count(1001, "k", most=1000)


def test_a_seed_may_have_any_number_of_bits():
    assert as_seed(2**128) == 2**128
    with pytest.raises(InputError, match="seed must be at least 0; got -1"):
        as_seed(-1)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), torch.tensor(0.5), np.int64(0)])
@pytest.mark.parametrize("read", [as_number, as_fraction])
def test_numbers_of_every_library_are_floats(read, value):
    number = read(value, "x")
    assert (number, type(number)) == (float(value), float)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32("nan"), "nan"),
        (float("inf"), "inf"),
        (10**400, f"1{'0' * 199}... (401 characters)"),
        (True, "True"),
        ("0.5", "'0.5'"),
        (None, "None"),
        (np.ma.masked, "masked"),
        (torch.zeros(1, 2), "Tensor of shape (1, 2)"),
    ],
)
@pytest.mark.parametrize(
    ("read", "wanted"),
    [(as_number, "a finite number"), (as_fraction, "a number between 0 and 1")],
)
def test_what_is_no_number(read, wanted, value, text):
    with pytest.raises(InputError, match=re.escape(f"x must be {wanted}; got {text}.")):
        read(value, "x")


@pytest.mark.parametrize("value", [-0.1, np.float32(1.5)])
def test_a_fraction_is_from_0_to_1(value):
    with pytest.raises(InputError, match=f"between 0 and 1; got {value}"):
        as_fraction(value, "x")


@pytest.mark.parametrize(
    ("choices", "wanted"),
    [(("a",), "'a'"), (("a", "b"), "'a' or 'b'"), (("a", "b", "c"), "one of 'a', 'b', 'c'")],
)
@pytest.mark.parametrize("value", ["d", ["a"], None])
def test_a_choice_is_one_of_those_known(choices, wanted, value):
    check_choice("a", "mode", choices)
    with pytest.raises(InputError, match=f"mode must be {wanted}; got"):
        check_choice(value, "mode", choices)


def test_a_flag_is_true_or_false():
    check_flag(np.bool_(False), "flip")
    check_flag(1, "flip")
    check_flag(np.array(True), "flip")
    check_flag(np.int64(1), "flip")
    check_flag(None, "progress", optional=True)
    with pytest.raises(InputError, match="flip must be True or False; got None"):
        check_flag(None, "flip")
    for number in (7, 10**5000):
        with pytest.raises(InputError, match="flip must be True or False; got [7<]"):
            check_flag(number, "flip")
    with pytest.raises(InputError, match="progress must be True, False or None; got 'yes'"):
        check_flag("yes", "progress", optional=True)


def test_a_kind():
    check_kind("a", "name", str, "a text")
    with pytest.raises(InputError, match="name must be a text; got 3"):
        check_kind(3, "name", str, "a text")


@pytest.mark.parametrize(
    ("items", "repeated"),
    [("", None), ("abc", None), ("abcba", "b"), ("aabb", "a"), (iter((0, 1, 0)), 0)],
)
def test_the_first_that_equals_an_earlier_one(items, repeated):
    assert first_repeated(items) == repeated
