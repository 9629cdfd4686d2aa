"""Arguments of public calls, checked so that a wrong one is an InputError that names it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

import numpy as np

from sanreid.errors import InputError
from sanreid.utils.paths import shorten

__all__ = ["check_choice", "check_flag", "check_kind", "first_repeated", "shown"]

T = TypeVar("T", bound=Hashable)


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is none of ``choices``.

    Raises:
        InputError: The message lists them.
    """
    known = list(choices)
    if not isinstance(value, str) or value not in known:
        *first, last = (repr(choice) for choice in known)
        wanted = (
            f"{first[0]} or {last}" if len(first) == 1 else f"one of {', '.join(first)}, {last}"
        )
        raise InputError(f"{name} must be {wanted}; got {shown(value)}.")


def check_flag(name: str, value: object, *, optional: bool = False) -> None:
    """Refuse a value that is neither true nor false (nor, if ``optional``, None).

    Raises:
        InputError: It is something else.
    """
    if value is None and optional:
        return
    if not isinstance(value, bool | np.bool_ | int):
        wanted = "True, False or None" if optional else "True or False"
        raise InputError(f"{name} must be {wanted}; got {shown(value)}.")


def check_kind(name: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
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


def shown(value: object) -> str:
    """Return a value as a message shows it: short, and of large things only the type."""
    if value is None or isinstance(value, str | bytes | bool | int | float | complex):
        return shorten(repr(value))
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")
