"""How commands answer: a table for people, JSON or CSV; files that are whole or not there."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sanreid.errors import InputError

__all__ = ["check_writable", "print_json", "print_rows", "say", "whole_file"]

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


@contextmanager
def whole_file(path: Path, *, keep: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only when it is complete.

    It is written beside its place; an error or an interrupt removes it, and what was there
    before stays. ``keep=False`` always removes it.
    """
    # delete=False: on success the file is renamed, and Windows cannot rename an open one.
    file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed and renamed below
        dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
    )
    temporary = Path(file.name)
    try:
        with file:
            yield file
        if keep:
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _plain(value: object) -> object:
    return "" if value is None else value
