"""Paths as callers write them: checked once, ``~`` expanded."""

from __future__ import annotations

import os
from pathlib import Path

from sanreid.errors import InputError

__all__ = ["as_path", "exists", "is_encodable", "is_file", "is_folder", "is_text", "shorten"]

_SHOWN = 200  # characters of a path or text that a message shows


def as_path(value: object, what: str = "a path") -> Path:
    """Return ``value`` as a path, with ``~`` and ``~user`` expanded.

    Args:
        value: Text, or an object with ``__fspath__`` that returns text.
        what: What is wanted, for the message: ``"a folder of crops"``.

    Raises:
        InputError: ``value`` is no path, is empty, or holds a null or half a character.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise InputError(f"Expected {what}; got {type(value).__name__}.")
    if not text:  # pathlib takes it for the current folder
        raise InputError(f"Expected {what}; got an empty text.")
    if "\0" in text:
        raise InputError(f"Expected {what}; got a text with a null character, {shorten(text)!r}.")
    if not is_encodable(text):
        raise InputError(f"Expected {what}; got a text with half a character, {shorten(text)!r}.")
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib's raises for unknown users
    is_literal = os.path.expanduser(path) != str(path)  # noqa: PTH111 - as above
    return path.absolute() if is_literal else path  # "./~" is not to be expanded later


def is_encodable(text: str) -> bool:
    """Return whether a file's name can be ``text``; it may hold bytes that are not UTF-8."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def is_text(text: str) -> bool:
    """Return whether ``text`` can be stored as UTF-8, unlike some names of files."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# pathlib's own raise for a name that is too long, or a folder one may not look into.


def exists(path: Path) -> bool:
    """Return whether something is there; False as well where the system cannot say."""
    return os.path.exists(path)  # noqa: PTH110 - see above


def is_file(path: Path) -> bool:
    """Return whether a file is there; False as well where the system cannot say."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def is_folder(path: Path) -> bool:
    """Return whether a folder is there; False as well where the system cannot say."""
    return os.path.isdir(path)  # noqa: PTH112 - see above


def shorten(text: str, most: int = _SHOWN) -> str:
    """Return the beginning of a long text with its length, so that a message stays readable."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"
