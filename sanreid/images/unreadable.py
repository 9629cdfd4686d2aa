"""Why an image cannot be read: the error inside this room, and its words."""

from __future__ import annotations

import os

from sanreid.utils.paths import shorten

__all__ = ["KINDS", "UnreadableError", "name_of", "reason_of", "type_of"]

KINDS = (
    "a path, the bytes of a file, a PIL image, an array (H, W, 3) or (H, W) "
    "or a tensor (3, H, W), uint8 or float in [0, 1]"
)


class UnreadableError(Exception):
    """Why an image cannot be read, without its name."""


def name_of(source: object, position: str | None) -> str:
    """Return what a message calls a source: its position, its path, or both."""
    path = ""
    if isinstance(source, str | os.PathLike):
        path = f"'{shorten(str(os.fspath(source)))}'"
    return ", ".join(part for part in (position, path) if part) or "the image"


def type_of(value: object) -> str:
    """Return the name of a value's type, with the shape of an array, and a hint for files."""
    name = type(value).__name__
    if hasattr(value, "read"):
        return f"{name}, an open file: pass its path, or the bytes that its read() returns"
    try:
        shape = getattr(value, "shape", None)
    except Exception:  # noqa: BLE001 - a data set of a closed file raises what it likes
        return name
    return f"{name} of shape {tuple(shape)}" if isinstance(shape, tuple) else name


def reason_of(error: BaseException) -> str:
    """Return an error's own words, without a full stop."""
    text = (getattr(error, "strerror", None) or str(error)).rstrip(". ")
    return shorten(text) or type(error).__name__
