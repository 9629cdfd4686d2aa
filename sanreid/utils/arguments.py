"""Arguments of public calls, checked so that a wrong one is an InputError that names it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import TypeVar

from sanreid.errors import InputError
from sanreid.utils.arrays import plain, shown

__all__ = [
    "as_count",
    "as_fraction",
    "as_number",
    "as_seed",
    "check_choice",
    "check_flag",
    "check_kind",
    "first_repeated",
    "is_finite",
]

T = TypeVar("T", bound=Hashable)


def as_count(value: object, name: str, *, least: int = 1, most: int | None = 2**63 - 1) -> int:
    """Return ``value`` as an int from ``least`` to ``most``; NumPy's and tensors' are taken too.

    Raises:
        InputError: It is outside, or no int.
    """
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InputError(f"{name} must be an int of at least {least}; got {shown(value)}.")
    number = int(number)  # a plain int, also of an enum's member
    if number < least:
        raise InputError(f"{name} must be at least {least}; got {shown(number)}.")
    if most is not None and number > most:
        raise InputError(f"{name} must be at most {most:,}; got {shown(number)}.")
    return number


def as_seed(value: object) -> int:
    """Return a seed of random numbers, an int of at least 0."""
    return as_count(value, "seed", least=0, most=None)


def as_number(value: object, name: str) -> float:
    """Return ``value`` as a finite float.

    Raises:
        InputError: It is NaN, infinite or no number.
    """
    number = plain(value)
    if isinstance(number, bool) or not is_finite(number):
        raise InputError(f"{name} must be a finite number; got {shown(value)}.")
    return float(number)


def as_fraction(value: object, name: str) -> float:
    """Return ``value`` as a float between 0 and 1, both included.

    Raises:
        InputError: It is outside, or no number.
    """
    number = plain(value)
    if isinstance(number, bool) or not is_finite(number) or not 0 <= number <= 1:
        raise InputError(f"{name} must be a number between 0 and 1; got {shown(value)}.")
    return float(number)


def check_choice(value: object, name: str, choices: Iterable[str]) -> None:
    """Refuse a value that is none of ``choices``.

    Raises:
        InputError: The message lists them.
    """
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        texts = [repr(choice) for choice in known]
        wanted = " or ".join(texts) if len(texts) < 3 else f"one of {', '.join(texts)}"
        raise InputError(f"{name} must be {wanted}; got {shown(value)}.")


def check_flag(value: object, name: str, *, optional: bool = False) -> None:
    """Refuse a value that is neither true nor false (nor, if ``optional``, None).

    Raises:
        InputError: It is something else.
    """
    if value is None and optional:
        return
    flag = plain(value)
    if not isinstance(flag, int) or flag not in (0, 1):
        wanted = "True, False or None" if optional else "True or False"
        raise InputError(f"{name} must be {wanted}; got {shown(value)}.")


def check_kind(value: object, name: str, kind: type | tuple[type, ...], wanted: str) -> None:
    """Refuse a value that is of none of the types ``kind``; ``wanted`` says what they are.

    Raises:
        InputError: It is of another type.
    """
    if not isinstance(value, kind):
        raise InputError(f"{name} must be {wanted}; got {shown(value)}.")


def first_repeated(items: Iterable[T]) -> T | None:
    """Return the first item that equals an earlier one, or None where all differ."""
    seen: set[T] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def is_finite(value: object) -> bool:
    """Return whether ``value`` is a number that a float64 can hold."""
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # an int beyond all floats
        return False
