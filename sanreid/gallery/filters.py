"""The filter language: a ``where`` dict becomes a small tree of conditions.

The tree knows fields and operators, not storage: each store selects its rows by it. Values are
data throughout; no part of a filter is ever pasted into another language.

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
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sanreid.datasets.cameras import LAST_NAMED, is_camera_name
from sanreid.errors import InputError
from sanreid.gallery.validation import camera_number, plain
from sanreid.utils.arrays import as_seconds, elements, shown, shown_with_type

__all__ = [
    "BY_VALUE",
    "MISSING",
    "And",
    "Condition",
    "Leaf",
    "Not",
    "Or",
    "Scalar",
    "is_number",
    "kind_of",
    "matches_all",
    "parse",
]

logger = logging.getLogger(__name__)

Scalar = int | float | str | bool | None
COLUMNS = ("id", "pid", "camid", "timestamp")
BY_VALUE = ("$eq", "$ne", "$in", "$nin")
_ORDERED = ("$gt", "$gte", "$lt", "$lte")
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


def parse(where: Any) -> Condition:  # noqa: ANN401 - whatever the caller passed
    """Read a ``where`` dict.

    Raises:
        InputError: Not a dict, an unknown operator, or an operand of a wrong type.
    """
    return _parse(where, 0)


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
        raise InputError(f"where must be a dict of fields; got {shown(where)}.")
    if depth > _MAX_DEPTH:
        raise InputError(f"where is nested more than {_MAX_DEPTH} deep.")
    parts: list[Condition] = []
    for key, value in where.items():
        if not isinstance(key, str):
            raise InputError(f"where has field names as str keys; got {shown(key)}.")
        if key in ("$and", "$or"):
            if not isinstance(value, (list, tuple)) or not value:
                raise InputError(
                    f"{key} takes a list of one or more conditions; got {shown(value)}."
                )
            inner = tuple(_parse(part, depth + 1) for part in value)
            parts.append(And(inner) if key == "$and" else Or(inner))
        elif key == "$not":
            parts.append(Not(_parse(value, depth + 1)))
        elif key.startswith("$"):
            raise InputError(
                f"Unknown operator {shown(key)}; a condition may use $and, $or, $not."
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
                    f"$not of {field!r} takes a dict of operators; got {shown(operand)}."
                )
            parts.append(Not(_parse_field(field, operand, depth + 1)))
        elif operator in ("$in", "$nin"):
            parts.append(Leaf(field, operator, _scalars(operand, field, operator)))
        elif isinstance(operator, str) and operator in _OPERATORS:
            parts.append(Leaf(field, operator, _scalar(operand, field, operator)))
            if field == "camid" and operator in _ORDERED:  # a name is no number
                parts.append(Leaf(field, "$gt", LAST_NAMED))
        else:
            known = " ".join([*_OPERATORS, "$not"])
            raise InputError(f"Unknown operator {shown(operator)} on {field!r}. Known: {known}.")
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _scalar(value: Any, field: str, operator: str) -> Scalar:  # noqa: ANN401 - any input
    given, value = value, as_seconds(value) if field == "timestamp" else plain(value)
    if isinstance(value, PurePath):
        value = str(value)  # as metadata keeps it
    if isinstance(value, str) and field in ("id", "camid", "timestamp"):
        if field == "camid" and operator in BY_VALUE and is_camera_name(value):
            return camera_number(value)
        _warn_of_text(field)
    if isinstance(value, float) and math.isnan(value):
        raise InputError(f"{operator} on {field!r} cannot compare with NaN.")
    if operator in _ORDERED and (value is None or isinstance(value, bool)):
        raise InputError(
            f"{operator} on {field!r} compares numbers or strings; got {shown(given)}."
        )
    if value is not None and not isinstance(value, (bool, int, float, str)):
        hint = ""
        if isinstance(value, dt.datetime):
            hint = " Compare a timestamp with seconds or a datetime with a time zone."
        raise InputError(
            f"{operator} on {field!r} takes a str, number, bool or None; got "
            f"{shown_with_type(given)}.{hint}"
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
            f"{operator} on {field!r} takes a list of values; got {shown(values)}."
        ) from error
    return tuple(_scalar(value, field, operator) for value in column)


def is_number(value: object) -> bool:
    """Return whether a value is an int or a float; True and False do not count."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def kind_of(value: object) -> str:
    """Return the kind of a value; values of different kinds are never equal and have no order."""
    return "number" if is_number(value) else type(value).__name__


def _equal(value: object, operand: object) -> bool:
    return kind_of(value) == kind_of(operand) and value == operand


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, Any], bool]:
    def holds(value: object, operand: Any) -> bool:  # noqa: ANN401 - a checked scalar
        kind = kind_of(value)
        return kind in ("number", "str") and kind == kind_of(operand) and compare(value, operand)

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
