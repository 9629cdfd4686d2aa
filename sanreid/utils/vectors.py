"""Rows of numbers divided by their length."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["normalize_rows"]

F = TypeVar("F", np.float32, np.float64)


def normalize_rows(rows: NDArray[F], *, least: float = 0.0) -> NDArray[F]:
    """Divide each row by its L2 norm. Embeddings from outside are checked by ``unit_rows`` too.

    Args:
        rows: (..., N, D), finite.
        least: Norms below this count as this, so that rounding errors around 0 stay small. A row
            of norm 0 stays as it is in any case.

    Returns:
        A copy of the same shape and type.
    """
    norms: NDArray[F] = np.maximum(
        np.linalg.norm(rows, axis=-1, keepdims=True), rows.dtype.type(least)
    )
    norms[norms == 0] = 1
    return rows / norms
