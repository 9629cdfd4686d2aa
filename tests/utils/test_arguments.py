"""Arguments of public calls."""

from __future__ import annotations

import pytest

from sanreid.utils.arguments import first_repeated


@pytest.mark.parametrize(
    ("items", "repeated"),
    [("", None), ("abc", None), ("abcba", "b"), ("aabb", "a"), (iter((0, 1, 0)), 0)],
)
def test_the_first_that_equals_an_earlier_one(items, repeated):
    assert first_repeated(items) == repeated
