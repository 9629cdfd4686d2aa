from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.gallery import Gallery
from sanreid.gallery.filters import parse
from sanreid.gallery.milvus.expressions import compiled
from sanreid.gallery.milvus.keys import order_key, scalars, seconds_from_key, seconds_key
from sanreid.gallery.milvus.rows import Row, as_rows
from sanreid.gallery.requests import new_rows
from tests.gallery.milvus.fake import evaluate
from tests.gallery.milvus.filters import VALUES, random_columns, random_filter, rng_of

ROWS = 24


def test_order_keys_sort_as_values_do():
    for kind in ((int, float), str):
        values = [one for one in VALUES if isinstance(one, kind) and not isinstance(one, bool)]
        for low, high in itertools.product(values, values):
            a, b = order_key(low), order_key(high)
            assert a.kind == b.kind
            if low < high:
                assert a.text < b.text or (a.text == b.text and not (a.is_exact or b.is_exact))
            if low == high:
                assert a == b
    assert order_key(None) is order_key(True) is None
    assert order_key(math.inf).is_exact
    assert order_key(10**400).text < order_key(math.inf).text
    assert order_key(-(10**400)).text == order_key(-math.inf).text


def test_seconds_have_keys_that_sort_and_come_back():
    seconds = [-1e300, -1.5, -5e-324, 0.0, 5e-324, 1.0, 1.7e9, 1e300]
    keys = [seconds_key(one) for one in seconds]
    assert keys == sorted(keys)
    assert [seconds_from_key(key) for key in keys] == seconds
    assert seconds_key(-0.0) == seconds_key(0.0)
    assert math.isnan(seconds_from_key(seconds_key(math.nan)))


def test_scalars_are_found_as_filters_find_them():
    assert scalars({"a": {"b": 1, "c.d": 2}, "a.b": 3, "l": [1], "n": None}) == {
        "a.b": 3,
        "n": None,
    }
    assert scalars({"a.b": [1], "a": {"b": 2}}) == {}
    assert scalars({"a": {"b": {"c": "x"}}, "": {"b": 1}}) == {"a.b.c": "x", ".b": 1}


def stored(rng, count):
    columns = random_columns(rng, count)
    batch = new_rows(np.ones((count, 2)), 2, ids=range(count), encoder_fingerprint=None, **columns)
    return columns, as_rows(batch)


@pytest.mark.parametrize("seed", range(4))
def test_expressions_select_what_the_filter_does(seed):
    rng = rng_of(seed)
    columns, rows = stored(rng, ROWS)
    gallery = Gallery(2)
    gallery.add(np.ones((ROWS, 2)), **columns)
    exact = 0
    for _ in range(80):
        where = random_filter(rng)
        condition = parse(where)
        wanted = set(gallery.find(where).tolist())
        expression = compiled(condition)
        surely, maybe = (
            set(range(ROWS)) if text is True
            else set() if text is False
            else {row["id"] for row in rows if evaluate(text, row)}
            for text in (expression.surely, expression.maybe)
        )  # fmt: skip
        assert surely <= wanted <= maybe, where
        exact += expression.is_exact
        if expression.is_exact:
            assert surely == wanted
        here = {row["id"] for row in rows if Row.of(row).matches(condition)}
        assert here == wanted, where
    assert exact > 45, "most filters are decided by the server"


def test_no_text_of_a_caller_is_in_an_expression():
    for text in ('"] or true', "a'b", "x\\", "größe"):
        where = {text: {"$ne": text, "$gt": text}, "pid": text, "$or": [{text: {"$in": [text]}}]}
        expression = compiled(parse(where))
        assert text not in str(expression)
        assert str(expression).isascii()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pids": ["x" * 70_000]}, "pid takes 70,002 bytes"),
        ({"metadata": [{"x": "y" * 70_000}]}, "metadata take 70,008 bytes"),
        ({"metadata": [{str(n): n for n in range(1500)}]}, "metadata keys take"),
        ({"metadata": [{str(n): None for n in range(4500)}]}, "4,500 values"),
    ],
)
def test_rows_that_do_not_fit(columns, message):
    defaults = dict.fromkeys(("pids", "camids", "timestamps", "metadata"))
    batch = new_rows(np.ones((1, 2)), 2, ids=[0], encoder_fingerprint=None, **defaults | columns)
    with pytest.raises(InputError, match=message):
        as_rows(batch)
