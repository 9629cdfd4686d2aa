from __future__ import annotations

import itertools
import logging
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid.errors import InputError
from sanreid.gallery import Gallery
from sanreid.gallery.filters import MISSING, parse
from sanreid.gallery.storage import selection

ROWS = [
    {"pid": 7, "camid": 1, "timestamp": 0.5, "metadata": {"site": "north", "n": 1, "pid": "x"}},
    {"pid": "7", "camid": 2, "timestamp": None, "metadata": {"site": "south", "n": 1.5}},
    {"pid": None, "camid": None, "timestamp": 9.0, "metadata": {"n": "1", "flag": True}},
    {"pid": 8, "camid": -3, "timestamp": -1.0, "metadata": {"box": {"w": 4}, "a.b": 1, "n": None}},
    {"pid": "b", "camid": 1, "timestamp": 2.0, "metadata": {"a": {"b": 2}, "n": [1], "flag": 1}},
]


@pytest.fixture(scope="module")
def gallery():
    gallery = Gallery(2)
    columns = {name + "s": [row[name] for row in ROWS] for name in ("pid", "camid", "timestamp")}
    gallery.add(np.ones((5, 2)), metadata=[row["metadata"] for row in ROWS], **columns)
    return gallery


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"pid": 7}, [0]),
        ({"pid": "7"}, [1]),
        ({"pid": 7.0}, [0]),
        ({"pid": True}, []),
        ({"pid": None}, [2]),
        ({"pid": {"$ne": None}}, [0, 1, 3, 4]),
        ({"pid": {"$ne": 7}}, [1, 2, 3, 4]),
        ({"pid": {"$in": [7, "b", None]}}, [0, 2, 4]),
        ({"pid": {"$nin": [7, "b"]}}, [1, 2, 3]),
        ({"pid": {"$gt": 7}}, [3]),
        ({"pid": {"$gte": "7"}}, [1, 4]),
        ({"id": {"$gte": 1, "$lt": 3}}, [1, 2]),
        ({"id": 2.5}, []),
        ({"id": {"$gt": 2.5}}, [3, 4]),
        ({"id": {"$gte": 2.5}}, [3, 4]),
        ({"id": {"$lt": 2.5}}, [0, 1, 2]),
        ({"id": {"$lte": 2.5}}, [0, 1, 2]),
        ({"id": {"$lte": 2}}, [0, 1, 2]),
        ({"id": {"$lt": 10**30}}, [0, 1, 2, 3, 4]),
        ({"id": {"$gt": 10**30}}, []),
        ({"id": {"$gt": -(10**30)}}, [0, 1, 2, 3, 4]),
        ({"id": {"$lte": -(10**30)}}, []),
        ({"id": {"$lt": float("inf")}}, [0, 1, 2, 3, 4]),
        ({"id": {"$gte": float("-inf")}}, [0, 1, 2, 3, 4]),
        ({"id": 10**30}, []),
        ({"id": {"$in": [0, 10**30, 1.5, "2", True, 3.0]}}, [0, 3]),
        ({"camid": 1}, [0, 4]),
        ({"camid": "1"}, []),
        ({"camid": True}, []),
        ({"camid": None}, [2]),
        ({"camid": {"$ne": 1}}, [1, 2, 3]),
        ({"camid": {"$in": [1, None]}}, [0, 2, 4]),
        ({"camid": {"$nin": [1]}}, [1, 2, 3]),
        ({"camid": {"$lt": 2}}, [0, 3, 4]),
        ({"camid": {"$lt": "2"}}, []),
        ({"timestamp": {"$gt": 0}}, [0, 2, 4]),
        ({"timestamp": {"$gte": 2, "$lte": 9}}, [2, 4]),
        ({"timestamp": {"$lt": 10**400}}, [0, 2, 3, 4]),
        ({"timestamp": {"$gt": -(10**400)}}, [0, 2, 3, 4]),
        ({"timestamp": 10**400}, []),
        ({"timestamp": None}, [1]),
        ({"timestamp": 9}, [2]),
        ({"site": "north"}, [0]),
        ({"metadata.site": "north"}, [0]),
        ({"site": {"$ne": "north"}}, [1, 2, 3, 4]),
        ({"site": {"$nin": ["north"]}}, [1, 2, 3, 4]),
        ({"site": {"$not": {"$eq": "north"}}}, [1, 2, 3, 4]),
        ({"$not": {"site": "north"}}, [1, 2, 3, 4]),
        ({"site": {"$gt": "a"}}, [0, 1]),
        ({"site": {"$in": []}}, []),
        ({"site": {"$nin": []}}, [0, 1, 2, 3, 4]),
        ({"nowhere": None}, []),
        ({"nowhere": {"$ne": None}}, [0, 1, 2, 3, 4]),
        ({"nowhere": {"$lt": 5}}, []),
        ({"n": 1}, [0]),
        ({"n": 1.0}, [0]),
        ({"n": "1"}, [2]),
        ({"n": None}, [3]),
        ({"n": {"$in": [None, 1.5]}}, [1, 3]),
        ({"n": {"$gte": 1}}, [0, 1]),
        ({"n": {"$lt": 10**400}}, [0, 1]),
        ({"flag": True}, [2]),
        ({"flag": 1}, [4]),
        ({"flag": {"$in": [1, True]}}, [2, 4]),
        ({"metadata.pid": "x"}, [0]),
        ({"metadata.pid": 7}, []),
        ({"a.b": 1}, [3]),
        ({"a.b": 2}, [4]),
        ({"a.b.c": 2}, []),
        ({"box.w": {"$gt": 3}}, [3]),
        ({"metadata.box.w": 4}, [3]),
        ({"camid": 1, "pid": 7}, [0]),
        ({"$and": [{"camid": 1}, {"$or": [{"pid": 7}, {"pid": "b"}]}]}, [0, 4]),
        ({"$or": [{"pid": 8}, {"camid": 2}]}, [1, 3]),
        ({"$not": {"$or": [{"pid": 8}, {"camid": 2}]}}, [0, 2, 4]),
        ({"$not": {}}, []),
        ({"pid": np.int64(7)}, [0]),
        ({"site": np.str_("north")}, [0]),
        ({"camid": {"$in": np.array([1, 2])}}, [0, 1, 4]),
        ({"camid": {"$in": range(2, 5)}}, [1]),
        ({"camid": {"$in": {2}}}, [1]),
    ],
)  # fmt: skip
def test_each_meaning(gallery, where, ids):
    assert gallery.find(where).tolist() == ids


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (None, "where must be a dict of fields; got None"),
        ([{"pid": 7}], "where must be a dict"),
        ({3: 4}, "field names as str keys; got 3"),
        ({"$xor": []}, r"Unknown operator '\$xor'"),
        ({"pid": {"$like": "x"}}, r"Unknown operator '\$like' on 'pid'. Known: \$eq"),
        ({"pid": {"eq": 1}}, "Unknown operator 'eq'"),
        ({"pid": {3: 1}}, "Unknown operator 3"),
        ({"pid": {}}, "'pid' is compared with an empty dict"),
        ({"pid": [7]}, r"\$eq on 'pid' takes a str, number, bool or None; got \[7\] of type list"),
        ({"pid": b"7"}, "of type bytes"),
        ({"pid": object}, "of type type"),
        ({"pid": 1j}, "of type complex"),
        ({"pid": {"$in": "7"}}, r"\$in on 'pid' takes a list of values; got '7'"),
        ({"pid": {"$in": 7}}, "takes a list of values"),
        ({"pid": {"$in": [[7]]}}, "of type list"),
        ({"camid": {"$gt": None}}, r"\$gt on 'camid' compares numbers or strings; got None"),
        ({"camid": {"$lte": True}}, "compares numbers or strings; got True"),
        ({"timestamp": float("nan")}, "cannot compare with NaN"),
        ({"n": {"$in": [np.nan]}}, "cannot compare with NaN"),
        ({"$and": []}, r"\$and takes a list of one or more conditions"),
        ({"$or": {"pid": 7}}, r"\$or takes a list"),
        ({"$not": [{"pid": 7}]}, "where must be a dict"),
        ({"pid": {"$not": 7}}, r"\$not of 'pid' takes a dict of operators"),
        ({"pid": {"$and": [{"$gt": 1}]}}, r"Unknown operator '\$and'"),
        ({"metadata.": 7}, "a field without a name"),
        ({"": 7}, "a field without a name"),
    ],
)
def test_what_is_refused(gallery, where, message):
    with pytest.raises(InputError, match=message):
        gallery.find(where)


@pytest.mark.parametrize("key", ["$not", "$and"])
def test_nesting_has_an_end(gallery, key):
    where: dict = {"pid": 7}
    for _ in range(2000):
        where = {key: where if key == "$not" else [where]}
    with pytest.raises(InputError, match="nested more than 50 deep"):
        gallery.find(where)
    inner: dict = {"$eq": 7}
    for _ in range(2000):
        inner = {"$not": inner}
    with pytest.raises(InputError, match="nested more than 50 deep"):
        gallery.find({"pid": inner})


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE entries; --", '") OR 1=1 --', "\x00", "%", "$eq", "\u202e", "🙂" * 99]
)
def test_hostile_strings_are_only_strings(text):
    gallery = Gallery(2)
    gallery.add([[1, 0], [0, 1]], pids=[text, "x"], metadata=[{text: text}, {"k": text}])
    assert gallery.find({"pid": text}).tolist() == [0]
    assert gallery.find({"k": text}).tolist() == [1]
    if not text.startswith("$"):
        assert gallery.find({text: text}).tolist() == [0]
    assert gallery.find({f"metadata.{text}": text}).tolist() == [0]
    assert gallery.remove(where={"pid": text}) == 1
    assert len(gallery) == 1


def test_missing_says_its_name():
    assert repr(MISSING) == "MISSING"
    assert parse({"pid": 7}) == parse({"pid": {"$eq": 7}})


def test_filters_see_entries_added_after_a_key_was_first_used(gallery):
    gallery = Gallery(2)
    for number in range(40):  # more keys than are kept coded
        gallery.add([[1, 0]], metadata=[{f"k{number}": number}])
    for number in itertools.chain(range(40), reversed(range(40))):
        assert gallery.find({f"k{number}": number}).tolist() == [number]
    gallery.add([[1, 0]], metadata=[{"k3": 3}])
    assert gallery.find({"k3": 3}).tolist() == [3, 40]


VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, 1.0, 1.5, -1, "a", "b", "1", "", 2**53 + 1, 2**54 - 1]
)
NUMBERS = st.one_of(st.none(), st.integers(-3, 3), st.just(2**53 + 1), st.just(2**54))
COMPARE = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def holds(value, name, operand):
    """The contract's words, one value at a time."""

    def kind(one):
        if isinstance(one, bool):
            return "bool"
        return "number" if isinstance(one, (int, float)) else type(one).__name__

    def equal(one):
        return kind(value) == kind(one) and value == one

    if name in ("$eq", "$ne"):
        return equal(operand) == (name == "$eq")
    if name in ("$in", "$nin"):
        return any(equal(one) for one in operand) == (name == "$in")
    return (
        kind(value) in ("number", "str")
        and kind(value) == kind(operand)
        and bool(COMPARE[name](value, operand))
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(VALUES, st.just(MISSING)), min_size=1, max_size=6),
    st.lists(NUMBERS, min_size=6, max_size=6),
    st.sampled_from(["$eq", "$ne", "$in", "$nin", *COMPARE]),
    st.sampled_from(["pid", "camid", "timestamp", "key"]),
    st.data(),
)
def test_every_operator_equals_its_definition(values, numbers, name, field, data):
    count = len(values)
    if field in ("camid", "timestamp"):
        values = numbers[:count]
        if field == "timestamp":
            values = [None if value is None else float(value) for value in values]
    elif field == "pid":
        values = [
            value if isinstance(value, (int, str)) and not isinstance(value, bool) else None
            for value in values
        ]
    gallery = Gallery(1)
    rows = [{} if value is MISSING else {"key": value} for value in values]
    columns = {"metadata": rows} if field == "key" else {f"{field}s": values}
    gallery.add(np.ones((count, 1)), **columns)
    if name in ("$in", "$nin"):
        operand = data.draw(st.lists(VALUES, max_size=3))
    elif name in COMPARE:
        operand = data.draw(VALUES.filter(lambda one: one is not None and type(one) is not bool))
    else:
        operand = data.draw(VALUES)
    expected = [row for row, value in enumerate(values) if holds(value, name, operand)]
    assert gallery.find({field: {name: operand}}).tolist() == expected


LAST = 2**63 - 1  # 2**63 is the same float64 and no id


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"id": {"$in": [2**63]}}, []),
        ({"id": {"$in": [2.0**63]}}, []),
        ({"id": {"$in": [LAST]}}, [LAST]),
        ({"id": {"$in": [2**63, LAST]}}, [LAST]),
        ({"id": {"$in": [5, 10**400, 7.5]}}, [5]),
        ({"id": 2**63}, []),
        ({"id": {"$nin": [2**63]}}, [5, LAST]),
        ({"camid": {"$in": [-(2**63)]}}, []),
        ({"camid": {"$in": [-(2**63) - 1, 1 - 2**63]}}, [5]),
        ({"camid": -(2**63)}, []),
        ({"camid": {"$lt": -(2.0**63)}}, []),
    ],
)
def test_numbers_at_the_borders_of_64_bits(where, ids):
    gallery = Gallery(2)
    gallery.add(np.ones((2, 2)), ids=[5, LAST], camids=[1 - 2**63, None])
    assert gallery.find(where).tolist() == ids


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (1e305, [1]),
        ({"$in": [1e305, 1e306]}, [1]),
        ({"$gt": 1e304}, [1]),
        ({"$gt": 1e306}, []),
        ({"$gte": 1e305}, [1]),
        ({"$lt": 1e306}, [0, 1, 2]),
        ({"$lt": 1e305}, [0, 2]),
        ({"$lt": -1e304}, [2]),
        ({"$gt": -1e306}, [0, 1, 2]),
        ({"$lte": int(1e305)}, [0, 1, 2]),
        ({"$lt": 10**400}, [0, 1, 2]),
        ({"$gt": -(10**400)}, [0, 1, 2]),
        ({"$in": [10**400]}, []),
        ({"$gt": float("inf")}, []),
    ],
)
def test_timestamps_as_large_as_a_float_holds(condition, ids):
    gallery = Gallery(2)
    gallery.add(np.ones((3, 2)), timestamps=[0, 1e305, -1e305])
    assert gallery.find({"timestamp": condition}).tolist() == ids


@pytest.mark.parametrize(("pid", "asked", "given"), [(7, "7", "text"), ("7", 7.0, "number")])
def test_a_person_of_the_other_kind_is_said_once(caplog, pid, asked, given):
    selection._warn_of_kind.cache_clear()
    gallery = Gallery(2)
    gallery.add(np.ones((2, 2)), pids=[pid, "anna"])
    with caplog.at_level(logging.WARNING, "sanreid"):
        assert len(gallery.find({"pid": {"$in": [pid, "anna", "nobody", None]}})) == 2
        assert not caplog.records
        for _ in range(2):
            assert gallery.find({"pid": {"$in": [asked, "anna"]}}).tolist() == [1]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"where compares pid with a {given} that names nobody")


def test_a_person_of_a_number_beyond_all_numbers_is_nobody():
    gallery = Gallery(2)
    gallery.add(np.eye(2), pids=["7", "anna"])
    assert not len(gallery.find({"pid": 10**5000}))
