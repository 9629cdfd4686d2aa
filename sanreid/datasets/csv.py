"""Your own crops in a CSV table, in any of the forms that spreadsheets save."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.folders import SPLITS
from sanreid.datasets.names import examples
from sanreid.datasets.people import MISSING, number_people, without_decimals
from sanreid.datasets.registry import register_dataset
from sanreid.errors import DatasetError
from sanreid.utils.arguments import check_kind
from sanreid.utils.paths import as_path, is_file, shorten

__all__ = ["columns_of", "read_csv", "read_lines", "read_splits_csv"]

_COLUMNS = ("path", "pid", "camid")
_BYTE_ORDER_MARKS = {  # the longer ones first: UTF-32's begins with UTF-16's
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip


def read_csv(path: str | Path, *, name: str | None = None, encoding: str | None = None) -> CropSet:
    """Read a table of crops.

    The first line names the columns: ``path`` (relative to the CSV file, or absolute), ``pid``
    (whole numbers, or names, which are numbered in sorted order; the rule is that of folders),
    ``camid`` (whole numbers) and any others, which are skipped. Commas, semicolons or tabs
    separate them.

    Args:
        path: A CSV file.
        name: What to call the set; the file's name without its ending when None.
        encoding: Of the text, for example ``"cp1252"``; None: UTF-8, or what the byte order
            mark says (UTF-16, UTF-32).

    Raises:
        DatasetError: The file is missing, is not in this encoding, lacks a column, has a wrong
            value or names a file that is not there; says which line.
        InputError: ``path`` is no path, or ``encoding`` no text.
    """
    return _read_table(path, name, encoding)[0]


@register_dataset("csv")
def read_splits_csv(
    path: str | Path, *, name: str | None = None, encoding: str | None = None
) -> Dataset:
    """Read a table of crops with a column ``split``: train, query or gallery.

    Args:
        path: As in :func:`read_csv`. A person has the same pid in every split.
        name: As in :func:`read_csv`.
        encoding: As in :func:`read_csv`.

    Raises:
        DatasetError: As in :func:`read_csv`, or a split is none of the three.
    """
    crops, splits = _read_table(path, name, encoding, with_splits=True)
    chosen = np.array(splits, dtype=str)
    parts = {s: replace(crops.select(chosen == s), split=s) for s in SPLITS}
    return Dataset(crops.name, **parts)


def columns_of(path: Path, *, encoding: str | None = None) -> list[str]:
    """Return the names in the first line of a CSV table.

    Raises:
        DatasetError: It is missing, or not text in this encoding, or its first line is no CSV.
    """
    return list(_opened(path, _read_text(path, encoding, ())).fieldnames or ())


def read_lines(
    path: Path, wanted: tuple[str, ...], *, encoding: str | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line of a CSV table with its values in some columns, stripped.

    Raises:
        DatasetError: As :func:`read_csv` for the table itself.
    """
    return _lines(path, _read_text(path, encoding, wanted), wanted)


@dataclass(slots=True)
class _Rows:
    files: list[Path] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    camids: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)


def _read_table(
    given: str | Path, name: str | None, encoding: str | None, *, with_splits: bool = False
) -> tuple[CropSet, list[str]]:
    path = as_path(given, "a CSV file")
    check_kind(encoding, "encoding", (str, type(None)), "a text encoding's name or None")
    wanted = (*_COLUMNS, "split") if with_splits else _COLUMNS
    rows = _Rows()
    for line, values in _lines(path, _read_text(path, encoding, wanted), wanted):
        crop = path.parent / values["path"]
        values |= {column: without_decimals(values[column]) for column in ("pid", "camid")}
        problem = _problem(values, crop)
        if problem:
            raise DatasetError(f"Line {line} of {path}: {problem}.")
        rows.files.append(crop)
        rows.people.append(values["pid"])
        rows.camids.append(int(values["camid"]))
        rows.splits.append(values.get("split", ""))
    twice = [str(file) for file, count in Counter(rows.files).items() if count > 1]
    if twice:
        raise DatasetError(f"{path} names a crop more than once: {examples(twice)}.")
    return _as_crops(path, name, rows), rows.splits


def _read_text(path: Path, encoding: str | None, wanted: tuple[str, ...]) -> str:
    if not is_file(path):
        raise DatasetError(
            f"There is no file {shorten(str(path))}; wanted a CSV table"
            f"{' with the columns ' if wanted else ''}{', '.join(wanted)}."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"Cannot read {path}: {error.strerror or error}.") from error
    marked = (kind for mark, kind in _BYTE_ORDER_MARKS.items() if data.startswith(mark))
    coding = encoding or next(marked, "utf-8")
    try:
        return data.decode(coding)
    except UnicodeError as error:
        raise DatasetError(
            f"{path} is not text in {coding}: {error}. Save it as 'CSV UTF-8', or say which "
            "encoding it is in: encoding='cp1252' for most spreadsheets of western Windows."
        ) from error
    except (LookupError, ValueError):  # the second for a null character
        raise DatasetError(f"There is no text encoding {encoding!r}; {path} is unread.") from None


def _lines(path: Path, text: str, wanted: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line with its wanted values, stripped."""
    table = _opened(path, text)
    columns = list(table.fieldnames or ())
    if twice := sorted(set(wanted) & {one for one in columns if columns.count(one) > 1}):
        raise DatasetError(f"{path} has several columns called {' and '.join(twice)}.")
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise DatasetError(
            f"{path} lacks the column {' and '.join(missing)}; its first line names "
            f"{shorten(', '.join(columns)) or 'nothing'}. Wanted: {', '.join(wanted)}."
        )
    try:
        for row in table:
            yield table.line_num, {column: (row[column] or "").strip() for column in wanted}
    except csv.Error as error:
        raise _no_csv(path, table.line_num + 1, error) from error


def _opened(path: Path, text: str) -> csv.DictReader[str]:
    """Return a reader of the lines after the first, which names its columns."""
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    table = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != "\t"
    )
    try:
        table.fieldnames = [column.strip() for column in table.fieldnames or ()]
    except csv.Error as error:
        raise _no_csv(path, 1, error) from error
    return table


def _no_csv(path: Path, line: int, error: csv.Error) -> DatasetError:
    return DatasetError(f"Line {line} of {path} is no CSV: {error}.")


def _problem(values: dict[str, str], crop: Path) -> str:
    """Return what is wrong with a row, or an empty string."""
    if not values["path"] or not is_file(crop):
        return f"there is no file {shorten(str(crop))!r}"
    camera = values["camid"].removeprefix("-")
    if not values["pid"] or not (camera.isascii() and camera.isdigit()):
        return (
            "wanted a pid and a whole number as camid; "
            f"got {shorten(values['pid'])!r} and {shorten(values['camid'])!r}"
        )
    if values["pid"] in MISSING:
        return f"{values['pid']!r} is no person; leave out the crops of unknown people"
    if len(camera) > 18:
        return f"camid must have at most 18 digits; got {shorten(values['camid'])!r}"
    if "split" in values and values["split"] not in SPLITS:
        return f"split must be train, query or gallery; got {shorten(values['split'])!r}"
    return ""


def _as_crops(path: Path, name: str | None, rows: _Rows) -> CropSet:
    title = name if name is not None else path.stem
    pids, counted = number_people(rows.people)
    return CropSet(
        name=title,
        paths=tuple(rows.files),
        pids=pids,
        camids=np.array(rows.camids, dtype=np.int64),
        keys=tuple(f"{title}/{_relative(file, path.parent)}" for file in rows.files),
        labels=tuple(rows.people) if counted else (),
    )


def _relative(file: Path, folder: Path) -> str:
    inside = file.is_relative_to(folder)
    return (file.relative_to(folder) if inside else file).as_posix()
