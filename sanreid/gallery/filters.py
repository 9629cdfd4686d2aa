"""The filter language: a ``where`` dict becomes a small tree, and the tree selects rows.

The tree knows fields and operators, not storage: a store provides each field's distinct values
and which of them each row has, and a leaf is decided once per distinct value. Values are data
throughout; no part of a filter is ever pasted into another language.

Meanings:

- ``{"camid": 3}`` is ``{"camid": {"$eq": 3}}``; several fields or operators must all hold.
- Types are strict: ``7`` and ``"7"`` differ, ``True`` is not ``1``, numbers compare with numbers
  and strings with strings, and an order comparison across kinds is false.
- A missing metadata key matches nothing but ``$ne``, ``$nin`` and ``$not``. A pid, camid or
  timestamp that was never given has the value None: ``{"pid": None}`` finds it.
- A camera that was added by its name is compared with the name: ``{"camid": "north gate"}``.
- A field is ``id``, ``pid``, ``camid``, ``timestamp`` or a metadata key; ``metadata.pid`` is the
  metadata key named like a column. A dotted name is the key of that very name if the row has
  it, else the path through nested dicts.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.cameras import is_camera_name
from sanreid.datasets.people import NUMBER
from sanreid.errors import InputError
from sanreid.gallery.validation import camera_number, plain
from sanreid.utils.arrays import as_seconds, elements, short_repr, whole

__all__ = [
    "MISSING",
    "And",
    "Condition",
    "DictionaryColumn",
    "FieldSource",
    "Leaf",
    "Not",
    "Or",
    "comparable",
    "float_bound",
    "integer_bound",
    "matches_all",
    "parse",
    "select",
]

logger = logging.getLogger(__name__)

Scalar = int | float | str | bool | None
COLUMNS = ("id", "pid", "camid", "timestamp")
_BY_VALUE = ("$eq", "$ne", "$in", "$nin")
_MAX_DEPTH = 50


class _Missing:
    """The value of a metadata key that a row does not have."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class Leaf:
    """One field compared by one operator."""

    field: str  # a column, or "metadata." and the key
    operator: str
    operand: Scalar | tuple[Scalar, ...]

    def holds(self, value: object) -> bool:
        """Return whether a row with ``value`` in this field matches."""
        return _OPERATORS[self.operator](value, self.operand)


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; none at all is true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


Condition = Leaf | And | Or | Not


@dataclass(frozen=True, slots=True)
class DictionaryColumn:
    """A dictionary-encoded column: its distinct values, and the code of each row's value."""

    values: Sequence[Any]
    codes: NDArray[np.int32]  # (rows,) indices into values
    code_of: Mapping[tuple[type, Any], int]  # by type and value, of the hashable values

    def find(self, value: Scalar) -> list[int]:
        """Return the codes of all that equals ``value``; types are strict."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        kinds = (int, float) if number else (type(value),)
        codes = (self.code_of.get((kind, value)) for kind in kinds)
        return [code for code in codes if code is not None]


class FieldSource(Protocol):
    """What a store provides so that a filter can select its rows."""

    def __len__(self) -> int:
        """Rows, the length of every mask."""
        ...

    def numbers(self, field: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """Return a numeric column and where it has a value; None for other fields."""
        ...

    def codes(self, field: str) -> DictionaryColumn:
        """Return a field's dictionary-encoded column."""
        ...


def parse(where: Any) -> Condition:  # noqa: ANN401 - whatever the caller passed
    """Read a ``where`` dict.

    Raises:
        InputError: Not a dict, an unknown operator, or an operand of a wrong type.
    """
    return _parse(where, 0)


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


def matches_all(condition: Condition) -> bool:
    """Return whether a condition compares nothing and so matches all, like an empty dict."""
    return _constant(condition) is True


def _constant(condition: Condition) -> bool | None:
    """Return what a condition without comparisons is for every row; None where rows decide."""
    match condition:
        case Not(part):
            inner = _constant(part)
            return None if inner is None else not inner
        case And(parts) | Or(parts):
            decisive = isinstance(condition, Or)
            found = {_constant(part) for part in parts}
            if decisive in found:
                return decisive
            return None if None in found else not decisive
    return None


def _parse(where: Any, depth: int) -> Condition:  # noqa: ANN401 - recursive over any input
    if not isinstance(where, Mapping):
        raise InputError(f"where must be a dict of fields; got {short_repr(where)}.")
    if depth > _MAX_DEPTH:
        raise InputError(f"where is nested more than {_MAX_DEPTH} deep.")
    parts: list[Condition] = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise InputError(f"where has field names as str keys; got {short_repr(key)}.")
        if key in ("$and", "$or"):
            if not isinstance(value, (list, tuple)) or not value:
                raise InputError(
                    f"{key} takes a list of one or more conditions; got {short_repr(value)}."
                )
            inner = tuple(_parse(part, depth + 1) for part in value)
            parts.append(And(inner) if key == "$and" else Or(inner))
        elif key == "$not":
            parts.append(Not(_parse(value, depth + 1)))
        elif key.startswith("$"):
            raise InputError(
                f"Unknown operator {short_repr(key)}; a condition may use $and, $or, $not."
            )
        else:
            parts.append(_parse_field(_field(key), value, depth + 1))
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _field(key: str) -> str:
    name = key.removeprefix("metadata.")
    if not name:
        raise InputError(f"where has a field without a name: {key!r}.")
    return key if key in COLUMNS else f"metadata.{name}"


def _parse_field(field: str, value: Any, depth: int) -> Condition:  # noqa: ANN401 - any input
    if not isinstance(value, Mapping):
        return Leaf(field, "$eq", _scalar(value, field, "$eq"))
    if depth > _MAX_DEPTH:
        raise InputError(f"where is nested more than {_MAX_DEPTH} deep.")
    if not value:
        raise InputError(f"The field {field!r} is compared with an empty dict; name an operator.")
    parts: list[Condition] = []
    for operator, operand in value.items():
        if operator == "$not":
            if not isinstance(operand, Mapping):
                raise InputError(
                    f"$not of {field!r} takes a dict of operators; got {short_repr(operand)}."
                )
            parts.append(Not(_parse_field(field, operand, depth + 1)))
        elif operator in ("$in", "$nin"):
            parts.append(Leaf(field, operator, _scalars(operand, field, operator)))
        elif isinstance(operator, str) and operator in _OPERATORS:
            parts.append(Leaf(field, operator, _scalar(operand, field, operator)))
        else:
            known = " ".join([*_OPERATORS, "$not"])
            raise InputError(
                f"Unknown operator {short_repr(operator)} on {field!r}. Known: {known}."
            )
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _scalar(value: Any, field: str, operator: str) -> Scalar:  # noqa: ANN401 - any input
    given, value = value, as_seconds(value) if field == "timestamp" else plain(value)
    if isinstance(value, PurePath):
        value = str(value)  # as metadata keeps it
    if isinstance(value, str) and field in ("id", "camid", "timestamp"):
        if field == "camid" and operator in _BY_VALUE and is_camera_name(value):
            return camera_number(value)
        _warn_of_text(field)
    if isinstance(value, float) and math.isnan(value):
        raise InputError(f"{operator} on {field!r} cannot compare with NaN.")
    ordered = operator in ("$gt", "$gte", "$lt", "$lte")
    if ordered and (value is None or isinstance(value, bool)):
        raise InputError(f"{operator} on {field!r} compares numbers or strings; got {given!r}.")
    if value is not None and not isinstance(value, (bool, int, float, str)):
        hint = ""
        if isinstance(value, dt.datetime):
            hint = " Compare a timestamp with seconds or a datetime with a time zone."
        raise InputError(
            f"{operator} on {field!r} takes a str, number, bool or None; got {short_repr(given)}"
            f" of type {type(given).__name__}.{hint}"
        )
    return str.__str__(value) if isinstance(value, str) else value  # plain: types are strict


@functools.cache
def _warn_of_text(field: str) -> None:
    """Log, once per field, that numbers never equal a text."""
    hint = "; compare seconds, or a datetime with a time zone" if field == "timestamp" else ""
    logger.warning("where compares %s, which are numbers, with a text%s.", field, hint)


def _scalars(values: Any, field: str, operator: str) -> tuple[Scalar, ...]:  # noqa: ANN401 - any
    if isinstance(values, AbstractSet):  # the order does not matter here
        values = list(values)
    try:
        column, _ = elements(values, f"{operator} on {field!r}")
    except InputError as error:
        raise InputError(
            f"{operator} on {field!r} takes a list of values; got {short_repr(values)}."
        ) from error
    return tuple(_scalar(value, field, operator) for value in column)


def _kind(value: object) -> str:
    """Values of different kinds are never equal and have no order."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return type(value).__name__


def _equal(value: object, operand: object) -> bool:
    return _kind(value) == _kind(operand) and value == operand


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, Any], bool]:
    def holds(value: object, operand: Any) -> bool:  # noqa: ANN401 - a checked scalar
        kind = _kind(value)
        return kind in ("number", "str") and kind == _kind(operand) and compare(value, operand)

    return holds


def _among(value: object, operand: tuple[Scalar, ...]) -> bool:
    return any(_equal(value, one) for one in operand)


_OPERATORS: dict[str, Callable[[object, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda value, operand: not _equal(value, operand),
    "$in": _among,
    "$nin": lambda value, operand: not _among(value, operand),
    "$gt": _ordered(lambda a, b: a > b),
    "$gte": _ordered(lambda a, b: a >= b),
    "$lt": _ordered(lambda a, b: a < b),
    "$lte": _ordered(lambda a, b: a <= b),
}


def _select_leaf(leaf: Leaf, source: FieldSource) -> NDArray[np.bool_]:
    numeric = source.numbers(leaf.field)
    if numeric is not None:
        return _select_numbers(leaf, *numeric)
    coded = source.codes(leaf.field)
    if leaf.operator in _BY_VALUE:  # looked up, however many values there are
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
    """Numeric columns without going through Python values, with the meaning of ``holds``."""
    operator, operand = leaf.operator, leaf.operand
    if operator in ("$ne", "$nin"):
        opposite = Leaf(leaf.field, {"$ne": "$eq", "$nin": "$in"}[operator], operand)
        return ~_select_numbers(opposite, column, given)
    if operator == "$in":
        assert isinstance(operand, tuple)  # noqa: S101 - the parser made it so
        numbers = [comparable(one, column.dtype.kind) for one in operand if _kind(one) == "number"]
        mask = np.isin(column, [one for one in numbers if one is not None]) & given
        return mask | ~given if None in operand else mask
    if operand is None:
        return ~given
    if _kind(operand) != "number":
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
