"""Which crops show the people of a list, as options and settings name them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.crops import CropSet
from sanreid.datasets.people import JUNK, NUMBER
from sanreid.errors import DatasetError

__all__ = ["are_listed", "listed_in"]


def listed_in(file: str | Path, sets: Sequence[CropSet]) -> list[NDArray[np.bool_]]:
    """Return which crops show the people whom a file lists, one number or name per line.

    Empty lines, and white space around a line, do not count.

    Args:
        file: A text in UTF-8, with or without a byte order mark.
        sets: The crops.

    Returns:
        For each set of N crops (N,) bool, see :func:`are_listed`.

    Raises:
        DatasetError: The file cannot be read, has names where all people are numbers, or lists
            nobody of the sets.
    """
    try:
        with Path(file).open(encoding="utf-8-sig") as lines:
            words = {line.strip() for line in lines} - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} cannot be read as a list of people: {error}") from error
    others = [word for word in words if not NUMBER.fullmatch(word)]
    if others and not any(crops.labels for crops in sets):
        raise DatasetError(
            f"{file} cannot be read as a list of people, one number per line; it has "
            f"{min(others)!r}."
        )
    masks = [are_listed(crops, words) for crops in sets]
    if not any(mask.any() for mask in masks):
        raise DatasetError(
            f"Nobody in {', '.join(crops.name for crops in sets)} is listed in {file}: is it the "
            "list of another data set?"
        )
    return masks


def are_listed(crops: CropSet, words: Collection[str]) -> NDArray[np.bool_]:
    """Return which crops show a listed person.

    Where some people are named by numbers and others by words, all are counted: a number then
    lists the person of that name, not the one who was counted so. Where nobody is named by a
    number, it lists a pid.

    Args:
        crops: N crops.
        words: Numbers, or names as :attr:`CropSet.labels` has them; ``"7"`` and ``"0007"`` are one
            number, and list both people where both are names.

    Returns:
        (N,) bool.
    """
    names = set(words)
    numbers = {int(word) for word in names if NUMBER.fullmatch(word)}
    by_pid = np.isin(crops.pids, sorted(numbers))
    if not crops.labels:
        return by_pid
    number_of = {
        label: int(label) for label in set(crops.labels) - JUNK if NUMBER.fullmatch(label)
    }
    if number_of:
        by_pid &= np.array([person is None for person in crops.people])  # of -1, who is nobody
    by_name = [label in names or number_of.get(label) in numbers for label in crops.labels]
    return by_pid | np.array(by_name, dtype=np.bool_)
