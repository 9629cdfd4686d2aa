"""Paths as callers write them: checked once, ``~`` expanded."""

from __future__ import annotations

import os
from pathlib import Path

from sanreid.errors import InputError

__all__ = ["as_path", "shorten"]

_SHOWN = 200  # characters of a path or text that a message shows


def as_path(value: object, what: str = "a path") -> Path:
    """Return ``value`` as a path, with ``~`` and ``~user`` expanded.

    Args:
        value: Text, or an object with ``__fspath__`` that returns text.
        what: What is wanted, for the message: ``"a folder of crops"``.

    Raises:
        InputError: ``value`` is no path, is empty or holds a null character.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise InputError(f"Expected {what}; got {type(value).__name__}.")
    if not text:  # pathlib takes it for the current folder
        raise InputError(f"Expected {what}; got an empty text.")
    if "\0" in text:
        raise InputError(f"Expected {what}; got a text with a null character, {shorten(text)!r}.")
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:  # no such user: a file may well be called ~x
        return path


def shorten(text: str, most: int = _SHOWN) -> str:
    """Return the beginning of a long text with its length, so that a message stays readable."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"
