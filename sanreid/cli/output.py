"""How commands answer: a table for people, JSON or CSV."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanreid.cli.style import paint, room
from sanreid.errors import InputError
from sanreid.utils.files import atomic_write
from sanreid.utils.paths import is_folder

__all__ = ["check_writable", "print_json", "print_rows", "printable", "say", "shown"]

Row = Mapping[str, Any]

_NARROWEST = 12  # a column of text is not cut below
_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # full width too


def print_rows(
    rows: Sequence[Row],
    columns: Sequence[str],
    args: argparse.Namespace,
    *,
    group: str | None = None,
) -> None:
    """Print rows as a table, or as CSV with ``--csv``.

    On a terminal the table is made to fit: long texts keep their end.

    Args:
        rows: Values by column; None is shown as ``-`` in the table and left empty in CSV.
        columns: The columns to print, in order.
        args: With ``csv``.
        group: A column whose value the table shows where it changes, not in every row.
    """
    if args.csv:
        import csv

        if sys.stdout is None:  # the caller closed it; print() writes nothing then, too
            return
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_csv_value(row[column]) for column in columns] for row in rows)
        return
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    right = [
        all(isinstance(row[column], int | float | None) for row in rows) for column in columns
    ]
    widths = _fitting([max(map(len, c)) for c in zip(columns, *cells, strict=True)], right, room())
    print(paint(_line(columns, widths, right), "bold"))
    print(paint(_line(["-" * width for width in widths], widths, right), "faint"))
    grouped = None if group is None else list(columns).index(group)
    last = None
    for line in cells:
        if grouped is not None:
            line[grouped], last = ("" if line[grouped] == last else line[grouped]), line[grouped]
        print(_line(line, widths, right))


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    short = [
        text if len(text) <= width else "…" + text[len(text) - width + 1 :]
        for text, width in zip(texts, widths, strict=True)
    ]
    padded = [
        text.rjust(width) if is_right else text.ljust(width)
        for text, width, is_right in zip(short, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _fitting(widths: list[int], right: Sequence[bool], most: int | None) -> list[int]:
    """Narrow the widest columns of text until a line has at most ``most`` signs."""
    excess = 0 if most is None else sum(widths) + 2 * (len(widths) - 1) - most
    texts = [column for column, is_right in enumerate(right) if not is_right]
    while excess > 0 and texts:
        widest = max(texts, key=lambda column: widths[column])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def print_json(value: object) -> None:
    """Print one JSON document."""
    import json

    print(json.dumps(value, indent=2, allow_nan=False))


def say(message: str) -> None:
    """Write a note for the person at the terminal; it is no part of the answer."""
    print(f"sanreid: {printable(message)}", file=sys.stderr)


def printable(value: object) -> str:
    """Return a text that cannot move the cursor: a file name may hold that, or a line's end."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(gallery: str | Path) -> str:
    """Return the path of a gallery, or its address without the token."""
    from sanreid.gallery.milvus.address import is_address, parse_address

    return parse_address(gallery).shown if is_address(gallery) else str(gallery)


def check_writable(path: Path) -> None:
    """Find out before the long work whether a file can be written there.

    Raises:
        InputError: Its folder is missing, the path is a folder, or the system refuses.
    """
    if is_folder(path):
        raise InputError(f"Cannot write {path}: it is a folder. Name a file.")
    if not is_folder(path.parent):
        raise InputError(f"Cannot write {path}: the folder {path.parent} does not exist.")
    try:
        with atomic_write(path, keep=False):
            pass
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from error


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else printable(value)


def _csv_value(value: object) -> object:
    """Return a value that neither moves the cursor nor is run as a formula by a spreadsheet."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value if isinstance(value, int | float) else _csv_value(str(value))
    text = printable(value)
    return f"'{text}" if value.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()
