"""``--travel-times``: a CSV table of the seconds between two cameras.

Its columns are ``camid_a``, ``camid_b``, ``min_gap_s`` and ``max_gap_s``; one row per pair of
cameras, in either order. An empty cell, or a missing column of seconds, is no rule.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from sanreid.cli.gallery.tables import as_camera
from sanreid.errors import DatasetError

__all__ = ["Gaps", "read_travel_times"]

Gaps: TypeAlias = dict[tuple[int | str, int | str], float]

_CAMERAS, _GAPS = ("camid_a", "camid_b"), ("min_gap_s", "max_gap_s")


def read_travel_times(path: Path) -> dict[str, Gaps]:
    """Read a table: ``min_gap_s`` and ``max_gap_s`` as ``Gallery.search`` takes them.

    Raises:
        DatasetError: It cannot be read, lacks a column, names a pair twice, or a value is wrong;
            the message says which line.
    """
    from sanreid.datasets.csv import columns_of, read_lines

    present = tuple(name for name in _GAPS if name in columns_of(path))
    if not present:
        raise DatasetError(f"{path} has neither of the columns {' and '.join(_GAPS)}.")
    gaps: dict[str, Gaps] = {name: {} for name in _GAPS}
    seen: set[frozenset[int | str]] = set()
    for line, values in read_lines(path, (*_CAMERAS, *present)):
        try:
            first, second = (as_camera(values[name]) for name in _CAMERAS)
        except ValueError as error:
            raise DatasetError(f"Line {line} of {path}: {error}.") from None
        if first is None or second is None:
            raise DatasetError(f"Line {line} of {path} does not name two cameras.")
        if frozenset((first, second)) in seen:
            raise DatasetError(f"Line {line} of {path} names {first} and {second} once more.")
        seen.add(frozenset((first, second)))
        for name in present:
            if values[name]:
                gaps[name][first, second] = _seconds(values[name], f"Line {line} of {path}")
    if not any(gaps.values()):
        raise DatasetError(f"{path} lists no travel times.")
    return gaps


def _seconds(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds < float("inf"):
        raise DatasetError(f"{where}: {text!r} is no number of seconds of at least 0.")
    return seconds
