"""``--columns``: the crops of ``sanreid gallery build`` listed in a CSV table.

A table names each crop's file and says what is known of it; how its columns are called is up to
its writer.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sanreid.cli.gallery.gating import QUALITY
from sanreid.cli.gallery.shared import CONTENT
from sanreid.errors import DatasetError, InputError
from sanreid.utils.paths import as_path, is_folder

if TYPE_CHECKING:
    from sanreid.gallery import Gallery

__all__ = [
    "FIELDS",
    "TableRow",
    "add_columns_option",
    "as_camera",
    "as_time",
    "complete",
    "is_table",
    "read_table",
]

FIELDS = ("path", "pid", "camid", "timestamp")
_AT_A_TIME = 10_000


class TableRow(NamedTuple):
    """What a table says of one crop."""

    pid: int | str | None
    camid: int | str | None
    timestamp: float | dt.datetime | None
    metadata: dict[str, str]


def add_columns_option(
    parser: argparse._ActionsContainer, *, source: str = "SOURCE", metadata: bool = True
) -> None:
    """Add ``--columns``.

    Args:
        parser: What to add it to.
        source: The argument that names the table.
        metadata: Whether other fields are kept.
    """
    more = "; any other FIELD becomes metadata" if metadata else ""
    parser.add_argument(
        "--columns",
        type=_columns,
        metavar="FIELD=COLUMN,...",
        help=f"{source} is one CSV table of crops, whose columns are called so: path=FILE,pid=WHO,"
        f"camid=CAMERA,timestamp=TIME{more}. Files are relative to the "
        "table; a timestamp is a number of seconds, or a time with its zone. Default for a .csv: "
        "the columns path, pid, camid and timestamp, where it has them",
    )


def is_table(sources: Sequence[Path], args: argparse.Namespace) -> bool:
    """Return whether the sources are one CSV table.

    Raises:
        InputError: There are several, and ``--columns`` says that it is one.
    """
    if getattr(args, "columns", None):
        if len(sources) > 1:
            raise InputError("--columns takes one source, a CSV table of crops.")
        return True
    return len(sources) == 1 and sources[0].suffix.lower() == ".csv"


def read_table(path: Path, columns: Mapping[str, str] | None) -> dict[Path, TableRow]:
    """Read a table: its rows by the files they name.

    Raises:
        DatasetError: It cannot be read, lacks a column, names a folder or a file twice, or a value
            is wrong; the message says which line.
        InputError: What names a file is no path; the message says which line.
    """
    from sanreid.datasets.csv import columns_of, read_lines

    present = columns_of(path)
    if not any(present):
        raise DatasetError(f"{path} is empty; wanted a first line that names the columns.")
    wanted = columns or {name: name for name in FIELDS if name in present}
    if "path" not in wanted:
        names = ", ".join(present)
        raise DatasetError(
            f"{path} has no column called path, but {names}. Say which column names the files: "
            "--columns path=COLUMN."
        )
    rows: dict[Path, TableRow] = {}
    for line, values in read_lines(path, tuple(wanted.values())):
        known = {field: values[column] for field, column in wanted.items()}
        if not known["path"]:
            raise DatasetError(f"Line {line} of {path} names no file.")
        file = path.parent / as_path(known["path"], f"a file in line {line} of {path}")
        if is_folder(file):
            raise DatasetError(f"Line {line} of {path} names a folder, {file}; wanted a file.")
        if file in rows:
            raise DatasetError(f"Line {line} of {path} names {file} once more.")
        try:
            camera = as_camera(known.get("camid", ""))
            seconds = as_time(known.get("timestamp", ""))
        except ValueError as error:
            raise DatasetError(f"Line {line} of {path}: {error}.") from None
        rows[file] = TableRow(
            pid=_person(known.get("pid", ""), f"Line {line} of {path}"),
            camid=camera,
            timestamp=seconds,
            metadata={k: text for k, text in known.items() if k not in FIELDS and text},
        )
    if not rows:
        raise DatasetError(f"{path} lists no crops.")
    return rows


def complete(gallery: Gallery, rows: Mapping[Path, TableRow]) -> None:
    """Give a gallery's entries the times and the metadata that a table has for them."""
    if not any(row.metadata or row.timestamp is not None for row in rows.values()):
        return
    ids = gallery.ids
    for start in range(0, len(ids), _AT_A_TIME):
        part = ids[start : start + _AT_A_TIME]
        entries = gallery.get(part)
        known = [rows[Path(entry.metadata["path"])] for entry in entries]
        gallery.update(
            part,
            timestamps=[row.timestamp for row in known],
            metadata=[
                {**entry.metadata, **row.metadata}
                for entry, row in zip(entries, known, strict=True)
            ],
        )


def _columns(text: str) -> dict[str, str]:
    """Read ``path=FILE,pid=WHO``."""
    pairs = [part.partition("=") for part in text.split(",")]
    found = {field.strip(): column.strip() for field, _, column in pairs}
    if len(found) < len(pairs) or not all(found) or not all(found.values()):
        raise argparse.ArgumentTypeError(f"FIELD=COLUMN,... is wanted, not {text!r}")
    if "path" not in found:
        raise argparse.ArgumentTypeError(f"path=COLUMN, the column of files, is missing: {text!r}")
    for field in found.keys() & {CONTENT, QUALITY}:  # what resuming and sync compare
        raise argparse.ArgumentTypeError(
            f"{field!r} is a field of the gallery's own; name another"
        )
    return found


def as_camera(text: str) -> int | str | None:
    """Read a camera, a whole number or a name; None for an empty text.

    Raises:
        ValueError: It is another number, or a word for a missing value.
    """
    from sanreid.datasets.people import MISSING, without_decimals
    from sanreid.gallery.validation import reads_as_number

    text = without_decimals(text)
    if re.fullmatch("-?[0-9]{1,18}", text):
        return int(text)
    if text in MISSING or reads_as_number(text):
        raise ValueError(
            f"{text!r} is no camera, which is a whole number or a name; leave the cell of an "
            "unknown camera empty"
        )
    return text or None


def _person(text: str, where: str) -> int | str | None:
    """Read a person, by the rule of file names; None for an empty cell and for junk.

    Raises:
        DatasetError: It is a word for a missing value, which would be everybody unknown.
    """
    from sanreid.datasets.people import JUNK, MISSING, NUMBER, without_decimals

    if text in MISSING:
        raise DatasetError(
            f"{where}: {text!r} is no person; leave the cell of an unknown person empty."
        )
    text = without_decimals(text)
    if not text or text in JUNK:
        return None
    return int(text) if NUMBER.fullmatch(text) else text


def as_time(text: str) -> Any:  # noqa: ANN401 - seconds, a datetime or None
    """Read a time: seconds, or a date and time with its zone; None for an empty text.

    Raises:
        ValueError: It is neither.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if not math.isfinite(seconds):
            raise ValueError(f"{text!r} is not a time; leave the cell of an unknown time empty")
        return seconds
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither seconds nor a time such as 2026-05-01T12:00Z"
        ) from None
    if time.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone; write 2026-05-01T12:00+02:00 or ...Z")
    return time
