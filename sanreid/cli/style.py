"""Colors and width of a terminal; without one, plain text of any length."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Literal, TextIO

__all__ = ["has_colors", "paint", "room"]

Style = Literal["bold", "faint", "red"]

_CODES = {"bold": "1", "faint": "2", "red": "1;31"}


def has_colors(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal that shows colors that are not switched off."""
    if stream is None or not stream.isatty() or os.environ.get("NO_COLOR"):
        return False  # https://no-color.org: set and not empty
    if os.name == "nt":
        return "WT_SESSION" in os.environ or "ANSICON" in os.environ
    return os.environ.get("TERM", "") not in ("", "dumb")


def paint(text: str, style: Style, stream: TextIO | None = None) -> str:
    """Color a text for ``stream`` (standard output when None), where it shows colors."""
    if not text or not has_colors(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def room() -> int | None:
    """Return the columns of the terminal behind standard output, None where there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, 40)
