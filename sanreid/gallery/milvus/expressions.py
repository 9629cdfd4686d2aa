"""From a filter's tree to an expression of Milvus.

Each condition has two expressions: one that holds *at most* where the condition does, and one
that holds *at least* there. They are the same unless a value is longer than its key; rows between
them are decided on this side by :func:`admits`. Negation is moved to the leaves, and a comparison
of order never stands without the guard that says its key is there: servers disagree on what a
missing key is under ``not``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sanreid.gallery.filters import And, Condition, Leaf, Not, Or
from sanreid.gallery.milvus.keys import (
    kind_term,
    order_field,
    order_key,
    seconds_key,
    value_term,
)
from sanreid.gallery.storage.selection import comparable, float_bound, integer_bound

__all__ = ["Expression", "admits", "compiled"]

_LOW, _HIGH = -(2**63) + 1, 2**63 - 1  # the lowest int64 stands for no camera, no timestamp
_NEGATED = {"$gt": "$lte", "$gte": "$lt", "$lt": "$gte", "$lte": "$gt"}
_SIGNS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

Text = str | bool  # True and False hold for all rows and for none


@dataclass(frozen=True, slots=True)
class Expression:
    """What a server is asked instead of a condition."""

    surely: Text  # rows that match
    maybe: Text  # rows that may match

    @property
    def is_exact(self) -> bool:
        """Whether the server decides every row."""
        return self.surely == self.maybe


def compiled(condition: Condition | None) -> Expression:
    """Compile a condition; None holds for all rows."""
    return Expression(True, True) if condition is None else _compiled(condition, negate=False)


def admits(condition: Condition, value_of: Callable[[str], object]) -> bool:
    """Return whether one row matches, given the values of its fields."""
    match condition:
        case Leaf():
            return condition.holds(value_of(condition.field))
        case Not(part):
            return not admits(part, value_of)
        case And(parts):
            return all(admits(part, value_of) for part in parts)
        case Or(parts):
            return any(admits(part, value_of) for part in parts)


def _compiled(condition: Condition, *, negate: bool) -> Expression:
    match condition:
        case Leaf():
            return _leaf(condition, negate=negate)
        case Not(part):
            return _compiled(part, negate=not negate)
        case And(parts) | Or(parts):
            inner = [_compiled(part, negate=negate) for part in parts]
            join = _any if isinstance(condition, Or) != negate else _all
            return Expression(join(one.surely for one in inner), join(one.maybe for one in inner))


def _leaf(leaf: Leaf, *, negate: bool) -> Expression:
    operator = leaf.operator
    if operator in ("$ne", "$nin"):
        return _leaf(
            Leaf(leaf.field, {"$ne": "$eq", "$nin": "$in"}[operator], leaf.operand),
            negate=not negate,
        )
    if leaf.field in ("id", "camid", "timestamp"):
        text = _number_column(leaf)
    elif operator in ("$eq", "$in"):
        text = _equals(leaf)
    else:
        return _ordered(leaf, negate=negate)
    text = _not(text) if negate else text
    return Expression(text, text)


def _equals(leaf: Leaf) -> Text:
    operands = leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)
    if not operands:
        return False
    terms = [f'"{value_term(leaf.field, one)}"' for one in operands]
    if leaf.field == "pid":
        return f"person in [{', '.join(terms)}]"
    if len(terms) == 1:
        return f"array_contains(terms, {terms[0]})"
    return f"array_contains_any(terms, [{', '.join(terms)}])"


def _ordered(leaf: Leaf, *, negate: bool) -> Expression:
    key = order_key(leaf.operand)
    assert key is not None  # noqa: S101 - the parser lets no other operand through
    guard = f'array_contains(terms, "{kind_term(leaf.field, key.kind)}")'
    sign = _SIGNS[_NEGATED[leaf.operator] if negate else leaf.operator]
    signs = (sign, sign)
    if not key.is_exact:  # rows of the same key may lie on either side
        signs = (sign[0], sign[0] + "=")
    texts = [f'orders["{order_field(leaf.field)}"] {one} "{key.text}"' for one in signs]
    if negate:
        return Expression(*(_any([_not(guard), text]) for text in texts))
    return Expression(*(_all([guard, text]) for text in texts))


def _number_column(leaf: Leaf) -> Text:
    """Compile a comparison of an integer column; a timestamp is one by its key."""
    column = "seconds" if leaf.field == "timestamp" else leaf.field
    if leaf.operator in ("$eq", "$in"):
        operands = leaf.operand if isinstance(leaf.operand, tuple) else (leaf.operand,)
        held = {_as_column(one, leaf.field) for one in operands}
        numbers = sorted(one for one in held if one is not None)
        texts: list[Text] = []
        if numbers:
            texts.append(f"{column} in [{', '.join(map(str, numbers))}]")
        if None in operands and column != "id":
            texts.append(_not(f"{column} >= {_LOW}"))
        return _any(texts)
    if isinstance(leaf.operand, str):
        return False
    assert isinstance(leaf.operand, (int, float))  # noqa: S101 - the parser lets no other through
    if column == "seconds":
        operator, nearest = float_bound(leaf.operator, leaf.operand)
        bound = seconds_key(nearest)
    else:
        operator, bound = integer_bound(leaf.operator, leaf.operand)
    low = {"$gt": bound + 1, "$gte": bound}.get(operator, _LOW)
    high = {"$lt": bound - 1, "$lte": bound}.get(operator, _HIGH)
    low = max(low, _LOW)
    if low > high:
        return False
    above: Text = f"{column} >= {low}"
    return above if high == _HIGH else _all([above, f"{column} <= {high}"])


def _as_column(operand: Any, field: str) -> int | None:  # noqa: ANN401 - a checked scalar
    """Return an operand as the column holds it; None if the column cannot."""
    if isinstance(operand, bool) or not isinstance(operand, (int, float)):
        return None
    number = comparable(operand, "f" if field == "timestamp" else "i")
    if number is None or field == "timestamp":
        return None if number is None else seconds_key(number)
    return None if number < _LOW else int(number)


def _not(text: Text) -> Text:
    return not text if isinstance(text, bool) else f"not ({text})"


def _all(texts: Iterable[Text]) -> Text:
    return _joined(texts, "and", decisive=False)


def _any(texts: Iterable[Text]) -> Text:
    return _joined(texts, "or", decisive=True)


def _joined(texts: Iterable[Text], word: str, *, decisive: bool) -> Text:
    kept: list[str] = []
    for text in texts:
        if text is decisive:
            return decisive
        if isinstance(text, str):
            kept.append(text)
    if not kept:
        return not decisive
    return kept[0] if len(kept) == 1 else f" {word} ".join(f"({text})" for text in kept)
