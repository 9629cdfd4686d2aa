"""Timestamps: seconds, and the datetimes of Python, NumPy and pandas as seconds of UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.arguments import is_finite
from sanreid.utils.arrays import NAIVE, as_seconds, check_time_zones, listed, short_repr

__all__ = ["as_timestamps"]


def as_timestamps(
    timestamps: Iterable[Any] | None, count: int, *, name: str = "timestamps"
) -> NDArray[np.float64]:
    """Return (count,) float64 seconds; None and missing times become NaN.

    Datetimes become seconds since 1970-01-01 UTC. They must have a time zone, NumPy's
    ``datetime64`` excepted, which is UTC by its own convention.

    Raises:
        InputError: A value is neither; a NaN is given; a datetime has no time zone.
    """
    check_time_zones(timestamps, name)
    column = np.full(count, np.nan)
    for row, value in enumerate(listed(timestamps, count, name)):
        seconds = as_seconds(value)
        if isinstance(seconds, dt.datetime):
            raise InputError(f"{name}: row {row}, {short_repr(value)}, {NAIVE}")
        if seconds is None:
            continue
        if isinstance(seconds, bool) or not is_finite(seconds):
            raise InputError(
                f"{name} must be finite seconds (float), datetimes with a time zone, or None; "
                f"row {row} is {short_repr(value)} of type {type(value).__name__}."
            )
        column[row] = float(seconds)
    return column
