"""Timestamps: seconds, and the datetimes of Python, NumPy and pandas as seconds of UTC."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.utils.arguments import is_finite
from sanreid.utils.arrays import (
    NAIVE,
    as_seconds,
    check_time_zones,
    listed,
    shown,
    shown_with_type,
)

__all__ = ["as_timestamps"]


def as_timestamps(
    timestamps: ArrayLike | Iterable[Any] | None,
    count: int,
    *,
    name: str = "timestamps",
    nan_is_missing: bool = False,
) -> NDArray[np.float64]:
    """Return (count,) float64 seconds; None and missing times become NaN.

    Datetimes become seconds since 1970-01-01 UTC. They must have a time zone, NumPy's
    ``datetime64`` excepted, which is UTC by its own convention.

    Args:
        timestamps: One value per row; None: no row has one.
        count: Number of rows.
        name: The argument, for messages.
        nan_is_missing: Take NaN for a time that is not known.

    Raises:
        InputError: Another number of values; a value is neither seconds nor a datetime; a NaN
            is given and not taken; a datetime has no time zone.
    """
    check_time_zones(timestamps, name)
    column = np.full(count, np.nan)
    for row, value in enumerate(listed(timestamps, count, name)):
        seconds = as_seconds(value)
        if isinstance(seconds, dt.datetime):
            raise InputError(f"{name}: row {row}, {shown(value)}, {NAIVE}")
        is_nan = isinstance(seconds, float) and math.isnan(seconds)
        if seconds is None or (is_nan and nan_is_missing):
            continue
        if isinstance(seconds, bool) or not is_finite(seconds):
            raise InputError(
                f"{name} must be finite seconds (float), datetimes with a time zone, or None; "
                f"row {row} is {shown_with_type(value)}."
            )
        column[row] = float(seconds)
    return column
