"""Your own crops: a CSV file, or folders of train, query and gallery."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.names import NameScheme, examples, read_crops
from sanreid.errors import DatasetError

__all__ = ["read_csv", "read_folders", "read_splits_csv"]

_COLUMNS = ("path", "pid", "camid")
_SPLITS = ("train", "query", "gallery")


def read_csv(path: str | Path, *, name: str | None = None) -> CropSet:
    """Read a table of crops.

    The first line names the columns: ``path`` (relative to the CSV file, or absolute), ``pid``
    (whole numbers, or names, which are numbered in sorted order), ``camid`` (whole numbers) and
    any others, which are passed over.

    Args:
        path: A CSV file in UTF-8.
        name: What to call the set; the file's name without its ending when None.

    Raises:
        DatasetError: The file is missing, lacks a column, has a wrong value or names a file
            that is not there; says which line.
    """
    return _read_table(Path(path), name)[0]


def read_splits_csv(path: str | Path, *, name: str | None = None) -> Dataset:
    """Read a table of crops with a column ``split``: train, query or gallery.

    Args:
        path: As in :func:`read_csv`. A person has the same pid in every split.
        name: As in :func:`read_csv`.

    Raises:
        DatasetError: As in :func:`read_csv`, or a split is none of the three.
    """
    crops, splits = _read_table(Path(path), name, with_splits=True)
    chosen = np.array(splits, dtype=str)
    parts = {s: replace(crops.select(chosen == s), split=s) for s in _SPLITS}
    return Dataset(crops.name, **parts)


def read_folders(
    root: str | Path, *, names: NameScheme | Literal["auto"] = "auto", name: str | None = None
) -> Dataset:
    """Read folders ``train``, ``query`` and ``gallery``, whichever there are.

    Args:
        root: The folder that holds them.
        names: How the crops are named, as in :func:`sanreid.datasets.read_crops`.
        name: What to call the data set; the folder's name when None.

    Raises:
        DatasetError: None of the three is there, or one cannot be read.
    """
    base = Path(root)
    there = [split for split in _SPLITS if (base / split).is_dir()]
    if not there:
        raise DatasetError(
            f"{base} has none of the folders train, query and gallery. For a single folder of "
            "crops use read_crops()."
        )
    title = name if name is not None else base.resolve().name
    none = np.zeros(0, dtype=np.int64)
    parts = {split: CropSet(title, (), none, none, split=split) for split in _SPLITS}
    labels: dict[str, CropSet] = {}
    for split in there:
        crops = read_crops(base / split, names=names, name=f"{title}/{split}")
        labels[split] = parts[split] = replace(crops, name=title, split=split)
    # Folder names that are no numbers were counted within each split; count them once for all.
    people = sorted({label for crops in labels.values() for label in crops.labels})
    if people and not all(re.fullmatch(r"\d+|-1", person) for person in people):
        number = {person: place for place, person in enumerate(people)}
        for split, crops in labels.items():
            pids = np.array([number[label] for label in crops.labels], dtype=np.int64)
            parts[split] = replace(crops, pids=pids)
    return Dataset(title, **parts)


def _read_table(
    path: Path, name: str | None, *, with_splits: bool = False
) -> tuple[CropSet, list[str]]:
    wanted = (*_COLUMNS, "split") if with_splits else _COLUMNS
    if not path.is_file():
        raise DatasetError(
            f"There is no file {path}; wanted a CSV table with the columns {', '.join(wanted)}."
        )
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, skipinitialspace=True)
        columns = [column.strip() for column in table.fieldnames or []]
        missing = [column for column in wanted if column not in columns]
        if missing:
            raise DatasetError(
                f"{path} lacks the column {' and '.join(missing)}; its first line names "
                f"{', '.join(columns) or 'nothing'}. Wanted: {', '.join(wanted)}."
            )
        table.fieldnames = columns
        rows = [(table.line_num, row) for row in table]
    files: list[Path] = []
    people, camids, splits = [], [], []
    for line, row in rows:
        values = {column: (row[column] or "").strip() for column in wanted}
        crop = path.parent / values["path"]
        problem = _problem(values, crop)
        if problem:
            raise DatasetError(f"Line {line} of {path}: {problem}.")
        files.append(crop)
        people.append(values["pid"])
        camids.append(int(values["camid"]))
        splits.append(values.get("split", ""))
    twice = [str(file) for file, count in Counter(files).items() if count > 1]
    if twice:
        raise DatasetError(f"{path} names a crop more than once: {examples(twice)}.")
    return _as_crops(path, name, files, people, camids), splits


def _problem(values: dict[str, str], crop: Path) -> str:
    """Say what is wrong with a row, or nothing."""
    if not values["path"] or not crop.is_file():
        return f"there is no file {str(crop)!r}"
    if not values["pid"] or not re.fullmatch(r"-?\d+", values["camid"]):
        return (
            "wanted a pid and a whole number as camid; "
            f"got {values['pid']!r} and {values['camid']!r}"
        )
    if "split" in values and values["split"] not in _SPLITS:
        return f"split must be train, query or gallery; got {values['split']!r}"
    return ""


def _as_crops(
    path: Path, name: str | None, files: list[Path], people: list[str], camids: list[int]
) -> CropSet:
    title = name if name is not None else path.stem
    numbered = all(re.fullmatch(r"-?\d+", person) for person in people)
    number = {person: place for place, person in enumerate(sorted(set(people)))}
    pids = [int(person) if numbered else number[person] for person in people]
    return CropSet(
        name=title,
        paths=tuple(files),
        pids=np.array(pids, dtype=np.int64),
        camids=np.array(camids, dtype=np.int64),
        keys=tuple(f"{title}/{_relative(file, path.parent)}" for file in files),
        labels=() if numbered else tuple(people),
    )


def _relative(file: Path, folder: Path) -> str:
    inside = file.is_relative_to(folder)
    return (file.relative_to(folder) if inside else file).as_posix()
