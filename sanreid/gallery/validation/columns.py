"""Columns of labels: people, ids, and weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.arguments import is_finite
from sanreid.utils.arrays import (
    check_int64,
    elements,
    listed,
    plain,
    shown,
    whole,
    wrong_value,
)
from sanreid.utils.paths import is_text

__all__ = ["Pid", "as_ids", "as_new_ids", "as_pids", "as_weights"]

Pid = int | str | None


def as_pids(pids: Iterable[Any] | None, count: int, *, name: str = "pids") -> list[Pid]:
    """Return ``count`` pids, each an int, a str or None; 7 and "7" stay different people.

    A float array of whole numbers, which pandas makes of a column of ints with gaps, is read as
    ints.
    """
    values = listed(pids, count, name)
    if isinstance(pids, np.ndarray) and pids.dtype.kind == "i":
        return values
    for row, given in enumerate(values):
        value = plain(given)
        if value is None:
            values[row] = None
        elif isinstance(value, str) and is_text(value):
            values[row] = str.__str__(value)  # its own characters: str(member) names an Enum's
        elif isinstance(value, int) and not isinstance(value, bool):
            values[row] = check_int64(int(value), row, name)
        else:
            raise wrong_value(name, "int, str or None", row, value)
    return values


def as_ids(ids: Any) -> NDArray[np.int64]:  # noqa: ANN401 - as passed
    """Return (N,) int64 ids; a single int is one id."""
    if isinstance(plain(ids), int):
        ids = [plain(ids)]
    masked = isinstance(ids, np.ma.MaskedArray)
    if isinstance(ids, np.ndarray) and not masked and ids.ndim == 1 and ids.dtype.kind == "i":
        return ids.astype(np.int64)
    column, kind = elements(ids, "ids")
    values = [whole(value) for value in column] if kind == "f" else column
    numbers = np.empty(len(values), dtype=np.int64)
    for row, given in enumerate(values):
        value = plain(given)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_value("ids", "ints", row, value)
        numbers[row] = check_int64(int(value), row, "ids")
    return numbers


def as_new_ids(ids: Any) -> NDArray[np.int64]:  # noqa: ANN401 - as passed
    """Return (N,) int64 ids that entries may have, each at least 0."""
    column = as_ids(ids)
    if len(column) and column.min() < 0:
        row = int(np.flatnonzero(column < 0)[0])
        raise InputError(f"ids must be at least 0; row {row} is {column[row]}.")
    return column


def as_weights(weights: Any, count: int, *, name: str) -> NDArray[np.float64]:  # noqa: ANN401 - as passed
    """Return (count,) finite float64 weights of at least 0."""
    values = [plain(value) for value in listed(weights, count, name)]
    column = np.empty(count)
    for row, value in enumerate(values):
        if isinstance(value, bool) or not is_finite(value) or value < 0:
            raise InputError(f"{name} must be finite and at least 0; row {row} is {shown(value)}.")
        column[row] = value
    return column
