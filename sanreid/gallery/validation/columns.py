"""Columns of labels: people, cameras, ids, and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.arrays import elements, plain, shorten, whole

__all__ = [
    "NO_CAMID",
    "Pid",
    "as_camids",
    "as_ids",
    "as_new_ids",
    "as_pids",
    "as_weights",
    "camera_number",
    "camids_or_none",
    "listed",
    "reads_as_number",
]

Pid = int | str | None

INT64 = np.iinfo(np.int64)
NO_CAMID = int(INT64.min)  # stands for None in a camid column


def as_pids(pids: Iterable[Any] | None, count: int, *, name: str = "pids") -> list[Pid]:
    """Return ``count`` pids, each an int, a str or None; 7 and "7" stay different people.

    A float array of whole numbers, which pandas makes of a column of ints with gaps, is read as
    ints.
    """
    values = listed(pids, count, name)
    if isinstance(pids, np.ndarray) and pids.dtype.kind == "i" and INT64.min not in pids:
        return values
    for row, given in enumerate(values):
        value = plain(given)
        if value is None or type(value) is str:
            values[row] = value
        elif isinstance(value, str):
            values[row] = str.__str__(value)  # its own characters: str(member) names an Enum's
        elif isinstance(value, int) and not isinstance(value, bool):
            values[row] = _check_int64(int(value), row, name)
        else:
            raise _wrong_label(name, "int, str or None", row, value)
    return values


def as_camids(
    camids: Iterable[Any] | None, count: int, *, name: str = "camids"
) -> NDArray[np.int64]:
    """Return (count,) int64 camids; None becomes :data:`NO_CAMID`, 2.0 is 2, a name its number.

    A text that reads as a number, such as "7", "-1" or "nan", is refused: it is far more often a
    number that was read as text than a camera that is not the one of that number.
    """
    if (
        isinstance(camids, np.ndarray)
        and not isinstance(camids, np.ma.MaskedArray)
        and camids.dtype.kind == "i"
        and camids.shape == (count,)
    ):
        column = camids.astype(np.int64)
        if not (column == NO_CAMID).any():
            return column
    values = listed(camids, count, name)
    column = np.full(count, NO_CAMID, dtype=np.int64)
    for row, given in enumerate(values):
        value = whole(plain(given))
        if value is None:
            continue
        if isinstance(value, str) and value.strip() and not reads_as_number(value):
            column[row] = camera_number(value)
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_label(name, "int, a name or None", row, value)
        column[row] = _check_int64(int(value), row, name)
    return column


def reads_as_number(text: str) -> bool:
    """Return whether a text is one that :func:`as_camids` refuses as a number."""
    if text.isdigit():
        return True
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_2 as 12; a camera may well be called so


def camera_number(name: str) -> int:
    """Return the number that stands for a camera's name: between -2**63 and -2**62."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return -(2**62) - (int.from_bytes(digest[:8], "big") >> 2)


def camids_or_none(camids: NDArray[np.int64]) -> list[Pid]:
    """Return a camid column as the caller knows it: None where there is no camera."""
    return [None if camid == NO_CAMID else camid for camid in camids.tolist()]


def as_ids(ids: Any) -> NDArray[np.int64]:  # noqa: ANN401 - as passed
    """Return (N,) int64 ids; a single int is one id."""
    if isinstance(plain(ids), int):
        ids = [plain(ids)]
    if isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind == "i":
        return ids.astype(np.int64)
    values = _labels(ids, "ids")
    column = np.empty(len(values), dtype=np.int64)
    for row, given in enumerate(values):
        value = plain(given)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_label("ids", "ints", row, value)
        column[row] = _check_int64(int(value), row, "ids")
    return column


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
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < float("inf"):
            raise InputError(
                f"{name} must be finite and at least 0; row {row} is {shorten(value)}."
            )
        column[row] = value
    return column


def listed(values: Any, count: int, name: str) -> list[Any]:  # noqa: ANN401 - as passed
    """Return the ``count`` values of a column; None is a column of None."""
    if values is None:
        return [None] * count
    column = _labels(values, name)
    if len(column) != count:
        raise InputError(
            f"{name} must have one value per row: {count} rows, {len(column)} values."
        )
    return column


def _labels(values: Any, name: str) -> list[Any]:  # noqa: ANN401 - as passed
    """Return a column's values, those of a float array as ints where they are whole."""
    column, kind = elements(values, name)
    return [whole(value) for value in column] if kind == "f" else column


def _wrong_label(name: str, wanted: str, row: int, value: Any) -> InputError:  # noqa: ANN401 - any
    hint = ""
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        hint = " Pass None for a row without one."
    elif isinstance(value, str) and reads_as_number(value):
        hint = " It reads as a number: pass an int."
    return InputError(
        f"{name} must be {wanted}; row {row} is {shorten(value)}"
        f" of type {type(value).__name__}.{hint}"
    )


def _check_int64(value: int, row: int, name: str) -> int:
    if not INT64.min < value <= INT64.max:
        raise InputError(f"{name} must fit in 64 bits; row {row} is {value}.")
    return value
