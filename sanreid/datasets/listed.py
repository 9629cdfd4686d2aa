"""Which crops show the people of a list, as options and settings name them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.crops import CropSet
from sanreid.datasets.people import JUNK, NUMBER

__all__ = ["are_listed"]


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
