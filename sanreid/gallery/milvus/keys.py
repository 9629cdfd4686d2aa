"""What a filter compares on the server: digests that are equal, and keys that sort alike.

Types are strict in a filter and numbers of any size are exact, neither of which holds in a
server's JSON. So nothing of a caller's text reaches an expression, and no value is compared as
JSON: equality is that of a digest of field, kind and value; order is that of a text of hexadecimal
digits, which sorts as the value does. Long texts and large numbers have keys that are equal though
the values differ; :class:`OrderKey` says so, and such rows are decided on this side.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from sanreid.gallery.filters import is_number, kind_of

__all__ = [
    "NO_SECONDS",
    "OrderKey",
    "kind_term",
    "order_field",
    "order_key",
    "scalars",
    "seconds_from_key",
    "seconds_key",
    "value_term",
]

NO_SECONDS = -(2**63)  # the key of a timestamp that was never given
_PREFIX = 32  # bytes of a text that its key holds
_WHOLE = 2**53  # below this, float64 holds every whole number
_MAGNITUDE = 2**63 - 1


class OrderKey(NamedTuple):
    """A text that sorts as its value does."""

    kind: str  # "number" or "str"
    text: str
    is_exact: bool  # whether no other value has this key


def value_term(field: str, value: Any) -> str:  # noqa: ANN401 - a checked scalar
    """Return the digest of a field's value: 1 and 1.0 have the same, 1 and True do not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    kind = kind_of(value)
    text = hex(value) if kind == "number" and isinstance(value, int) else str(value)
    return _digest([field, kind, text])


def kind_term(field: str, kind: str) -> str:
    """Return the digest that says a row has a value of this kind in this field."""
    return _digest([field, kind])


def order_field(field: str) -> str:
    """Return under which name a field's order key is kept."""
    return "k" + _digest([field])


def order_key(value: Any) -> OrderKey | None:  # noqa: ANN401 - a checked scalar
    """Return the key of a number or a text; None for values without an order."""
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
        return OrderKey("str", "s" + raw[:_PREFIX].hex(), len(raw) < _PREFIX)
    if not is_number(value):
        return None
    number = _at_most(value)
    (bits,) = struct.unpack(">Q", struct.pack(">d", number + 0.0))  # -0.0 is 0.0
    bits = bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 1 << 63
    return OrderKey("number", f"n{bits:016x}", abs(value) < _WHOLE or abs(value) == math.inf)


def scalars(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the scalar values of a row's metadata by the names that a filter finds them under."""
    found = dict(_nested("", fields))
    for key, value in fields.items():  # a key of that very name comes before a path
        if isinstance(value, (dict, list)):
            found.pop(key, None)
        else:
            found[key] = value
    return found


def seconds_key(seconds: float) -> int:
    """Return a 64-bit integer that sorts as the float64 does; NaN has :data:`NO_SECONDS`."""
    if math.isnan(seconds):
        return NO_SECONDS
    bits: int = struct.unpack(">q", struct.pack(">d", seconds + 0.0))[0]
    return bits if bits >= 0 else -(bits & _MAGNITUDE)


def seconds_from_key(key: int) -> float:
    """Return the float64 of a key."""
    if key == NO_SECONDS:
        return math.nan
    seconds: float = struct.unpack(">d", struct.pack(">q", abs(key)))[0]
    return seconds if key >= 0 else -seconds


def _nested(prefix: str, fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in fields.items():
        if "." in key:  # a path cannot reach it
            continue
        if isinstance(value, dict):
            yield from _nested(f"{prefix}{key}.", value)
        elif not isinstance(value, list):
            yield prefix + key, value


def _at_most(value: float) -> float:
    """Return the largest float64 that is not above a number."""
    try:
        nearest = float(value)
    except OverflowError:
        return math.nextafter(math.inf, 0) if value > 0 else -math.inf
    return math.nextafter(nearest, -math.inf) if nearest > value else nearest


def _digest(parts: list[str]) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
