"""How commands answer: a table for people, JSON or CSV."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanreid._files import whole_file
from sanreid.errors import InputError

__all__ = ["check_writable", "print_json", "print_rows", "say"]

Row = Mapping[str, Any]


def print_rows(rows: Sequence[Row], columns: Sequence[str], args: argparse.Namespace) -> None:
    """Print rows as a table, or as CSV with ``--csv``.

    Args:
        rows: Values by column; None is shown as ``-`` in the table and left empty in CSV.
        columns: The columns to print, in order.
        args: With ``csv``.
    """
    if args.csv:
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_plain(row[column]) for column in columns] for row in rows)
        return
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    right = [
        all(isinstance(row[column], int | float | None) for row in rows) for column in columns
    ]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in [list(columns), ["-" * width for width in widths], *cells]:
        padded = [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ]
        print("  ".join(padded).rstrip())


def print_json(value: object) -> None:
    """Print one JSON document."""
    import json

    print(json.dumps(value, indent=2, allow_nan=False))


def say(message: str) -> None:
    """Write a note for the person at the terminal; it is no part of the answer."""
    print(f"sanreid: {message}", file=sys.stderr)


def check_writable(path: Path) -> None:
    """Find out before the long work whether a file can be written there.

    Raises:
        InputError: Its folder is missing, the place is a folder, or the system refuses.
    """
    if path.is_dir():
        raise InputError(f"Cannot write {path}: it is a folder. Name a file.")
    if not path.parent.is_dir():
        raise InputError(f"Cannot write {path}: the folder {path.parent} does not exist.")
    try:
        with whole_file(path, keep=False):
            pass
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from error


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _plain(value: object) -> object:
    return "" if value is None else value
