"""Which rows a condition selects, decided on columns.

A field is a column of numbers, or dictionary-encoded: its distinct values, and which of them each
row has, so that a comparison is decided once per distinct value. What a comparison means is said
in :mod:`sanreid.gallery.filters`.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.people import NUMBER
from sanreid.gallery.filters import BY_VALUE, And, Condition, Leaf, Not, Or, Scalar, is_number
from sanreid.utils.arrays import whole

__all__ = [
    "DictionaryColumn",
    "FieldSource",
    "comparable",
    "float_bound",
    "integer_bound",
    "select",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DictionaryColumn:
    """A dictionary-encoded column: its distinct values, and the code of each row's value."""

    values: Sequence[Any]
    codes: NDArray[np.int32]  # (rows,) indices into values
    code_of: Mapping[tuple[type, Any], int]  # by type and value, of the hashable values

    def find(self, value: Scalar) -> list[int]:
        """Return the codes of all that equals ``value``; types are strict."""
        kinds = (int, float) if is_number(value) else (type(value),)
        codes = (self.code_of.get((kind, value)) for kind in kinds)
        return [code for code in codes if code is not None]


class FieldSource(Protocol):
    """What a store provides so that a filter can select its rows."""

    def __len__(self) -> int:
        """Return the number of rows, the length of every mask."""
        ...

    def numbers(self, field: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """Return a numeric column and where it has a value; None for other fields."""
        ...

    def codes(self, field: str) -> DictionaryColumn:
        """Return a field's dictionary-encoded column."""
        ...


def select(condition: Condition, source: FieldSource) -> NDArray[np.bool_]:
    """Return the (rows,) mask of the rows of ``source`` that match."""
    match condition:
        case Leaf():
            return _select_leaf(condition, source)
        case Not(part):
            return ~select(part, source)
        case And(parts):
            mask = np.ones(len(source), dtype=bool)
            for part in parts:
                mask &= select(part, source)
            return mask
        case Or(parts):
            mask = np.zeros(len(source), dtype=bool)
            for part in parts:
                mask |= select(part, source)
            return mask


def _select_leaf(leaf: Leaf, source: FieldSource) -> NDArray[np.bool_]:
    numeric = source.numbers(leaf.field)
    if numeric is not None:
        return _select_numbers(leaf, *numeric)
    coded = source.codes(leaf.field)
    if leaf.operator in BY_VALUE:  # looked up, however many values there are
        operands = leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)
        found = [coded.find(one) for one in operands]
        if leaf.field == "pid" and not all(found):
            _check_kinds(operands, coded)
        wanted = [code for codes in found for code in codes]
        mask = coded.codes == wanted[0] if len(wanted) == 1 else np.isin(coded.codes, wanted)
        return ~mask if leaf.operator in ("$ne", "$nin") else mask
    verdict = np.array([leaf.holds(value) for value in coded.values], dtype=bool)
    return np.asarray(verdict[coded.codes])


def _check_kinds(operands: tuple[Scalar, ...], people: DictionaryColumn) -> None:
    """Log that a text or a number finds nobody where the other is a person."""
    for one in operands:
        if people.find(one):
            continue
        if isinstance(one, str) and NUMBER.fullmatch(one) and people.find(int(one)):
            _warn_of_kind("a text", "number")
        elif isinstance(one, (int, float)) and abs(one) < 2**63 and people.find(str(whole(one))):
            _warn_of_kind("a number", "text")


@functools.cache
def _warn_of_kind(given: str, there: str) -> None:
    """Log, once per direction, that the numbers and the texts of people are never equal."""
    logger.warning(
        "where compares pid with %s that names nobody, while the same %s is a person here: "
        '7 and "7" are two people.',
        given,
        there,
    )


def _select_numbers(
    leaf: Leaf, column: NDArray[Any], given: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Select as ``Leaf.holds`` would, by the whole column at once."""
    operator, operand = leaf.operator, leaf.operand
    if operator in ("$ne", "$nin"):
        opposite = Leaf(leaf.field, {"$ne": "$eq", "$nin": "$in"}[operator], operand)
        return ~_select_numbers(opposite, column, given)
    if operator == "$in":
        assert isinstance(operand, tuple)  # noqa: S101 - the parser made it so
        numbers = [comparable(one, column.dtype.kind) for one in operand if is_number(one)]
        mask = np.isin(column, [one for one in numbers if one is not None]) & given
        return mask | ~given if None in operand else mask
    if operand is None:
        return ~given
    if not is_number(operand):
        return np.zeros(len(column), dtype=bool)
    assert isinstance(operand, (int, float))  # noqa: S101 - its kind is number
    if operator == "$eq":
        number = comparable(operand, column.dtype.kind)
        return np.zeros(len(column), dtype=bool) if number is None else (column == number) & given
    if column.dtype.kind == "i":  # exact beyond 2**53: compare integers with integers
        operator, operand = integer_bound(operator, operand)
    else:
        operator, operand = float_bound(operator, operand)
    with np.errstate(invalid="ignore"):
        match operator:
            case "$gt":
                mask = column > operand
            case "$gte":
                mask = column >= operand
            case "$lt":
                mask = column < operand
            case _:
                mask = column <= operand
    return np.asarray(mask & given)


def comparable(operand: Any, kind: str) -> int | float | None:  # noqa: ANN401 - number
    """Return the operand as an int64 ("i") or float64 ("f"), or None if that cannot hold it."""
    if kind == "i":
        if isinstance(operand, float) and not operand.is_integer():
            return None
        return int(operand) if -(2**63) <= operand < 2**63 else None
    number = _as_float(operand)
    return number if number == operand else None


def integer_bound(operator: str, operand: float) -> tuple[str, int]:
    """Return an int64 column beyond, or not beyond, a number, as a comparison with an int64."""
    low, high = -(2**63), 2**63 - 1
    if isinstance(operand, float):
        if math.isinf(operand):
            operand = high + 1 if operand > 0 else low - 1
        elif operator in ("$gt", "$lte"):
            operand = math.floor(operand)
        else:
            operand = math.ceil(operand)
    if operand > high:
        return ("$lte", high) if operator in ("$lt", "$lte") else ("$gt", high)
    if operand < low:
        return ("$gte", low) if operator in ("$gt", "$gte") else ("$lt", low)
    return operator, operand


def float_bound(operator: str, operand: float) -> tuple[str, float]:
    """Return a float64 column beyond, or not beyond, a number, as a comparison with a float64."""
    nearest = _as_float(operand)
    if math.isinf(nearest):
        return operator, nearest
    if nearest < operand:  # an int between two floats: the lower one is not beyond it
        operator = "$gt" if operator in ("$gt", "$gte") else "$lte"
    elif nearest > operand:
        operator = "$gte" if operator in ("$gt", "$gte") else "$lt"
    return operator, nearest


def _as_float(number: float) -> float:
    """Return the nearest float64; infinity for an int beyond all of them."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
