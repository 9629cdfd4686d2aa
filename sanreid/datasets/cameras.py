"""One rule for cameras, the same for every function and class: a number, or a name.

A name stands for one number, the same everywhere and far below all numbers that people give to
cameras, so that arrays, stores and rules know numbers only. Whoever returns cameras keeps their
names beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.utils.arrays import (
    check_int64,
    listed,
    plain,
    plain_values,
    reads_as_number,
    whole,
    wrong_value,
)
from sanreid.utils.paths import is_text

__all__ = [
    "LAST_NAMED",
    "NO_CAMID",
    "as_camids",
    "camera_number",
    "camids_or_none",
    "in_order",
    "is_camera_name",
    "named",
    "read_names",
]

NO_CAMID = int(np.iinfo(np.int64).min)  # stands for None in a camid column
LAST_NAMED = -(2**62)  # numbers from NO_CAMID + 1 to here stand for names


def as_camids(
    camids: Any,  # noqa: ANN401 - as passed
    count: int,
    *,
    name: str = "camids",
    optional: bool = True,
) -> NDArray[np.int64]:
    """Return (count,) int64 camids; None becomes :data:`NO_CAMID`, 2.0 is 2, a name its number.

    A text that reads as a number, such as "7", "-1" or "nan", is refused: it is far more often a
    number that was read as text than a camera that is not the one of that number.

    Args:
        camids: (count,) int, a name or None.
        count: How many there must be.
        name: The argument's name, for messages.
        optional: False refuses None.

    Raises:
        InputError: Another length, or a value of another kind; the message names its row.
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
        if value is None and optional:
            continue
        if isinstance(value, str) and is_camera_name(value):
            column[row] = camera_number(value)
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            wanted = "int, a name or None" if optional else "int or a name"
            raise wrong_value(name, wanted, row, value, optional=optional)
        column[row] = check_int64(int(value), row, name, least=NO_CAMID + 1)
    return column


def camera_number(name: str) -> int:
    """Return the number that stands for a camera's name, at most :data:`LAST_NAMED`."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return LAST_NAMED - (int.from_bytes(digest[:8], "big") >> 2)


def read_names(camids: Any, *, name: str = "camids") -> tuple[Any, dict[int, str]]:  # noqa: ANN401 - as passed
    """Return camids, to be read again, and the names among them by their numbers."""
    if camids is None or (isinstance(camids, np.ndarray) and camids.dtype.kind in "iuf"):
        return camids, {}
    values = plain_values(camids, name)
    names = {str.__str__(value) for value in values if isinstance(value, str)}
    return values, {camera_number(name): name for name in names if is_camera_name(name)}


def camids_or_none(camids: NDArray[np.int64]) -> list[int | str | None]:
    """Return a camid column as the caller knows it: None where there is no camera."""
    return [None if camid == NO_CAMID else camid for camid in camids.tolist()]


def named(camids: Iterable[int | str | None], names: Mapping[int, str]) -> list[int | str | None]:
    """Return cameras as the caller named them."""
    return [names.get(one, one) if isinstance(one, int) else one for one in camids]


def in_order(camids: Iterable[int | str | None]) -> tuple[int | str, ...]:
    """Return cameras in order, numbers rising, then names; without None."""
    known = [one for one in camids if one is not None]
    return tuple(sorted(known, key=lambda one: (isinstance(one, str), one)))


def is_camera_name(text: str) -> bool:
    """Return whether a text can be a camera's name.

    One that reads as a number cannot, nor one that UTF-8 cannot say.
    """
    return bool(text.strip()) and not reads_as_number(text) and is_text(text)
