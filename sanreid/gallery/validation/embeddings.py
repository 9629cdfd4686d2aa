"""Embeddings as float32 rows of L2 norm 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.utils.arrays import as_array

__all__ = ["as_embeddings"]

_CHUNK_NUMBERS = 1 << 17  # normalised at a time: the float64 copy stays in the cache
_TINY, _HUGE = 1e-150, 1e150  # squares of norms beyond are lost to float64


def as_embeddings(embeddings: ArrayLike, dim: int, *, name: str) -> NDArray[np.float32]:
    """Return (N, dim) float32 rows of L2 norm 1; a single vector is one row.

    Norms are taken in float64, so that neither huge nor tiny rows overflow or vanish.

    Raises:
        InputError: Not numbers, another number of dimensions, or a row that is zero or not
            finite.
    """
    rows = _as_rows(embeddings, dim, name)
    normalised = np.empty(rows.shape, dtype=np.float32)
    step = max(1, _CHUNK_NUMBERS // dim)
    for start in range(0, len(rows), step):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            part = rows[start : start + step].astype(np.float64)
            norms = np.sqrt(np.einsum("ij,ij->i", part, part))
            if not (norms.min() > _TINY and norms.max() < _HUGE):  # NaN is neither
                odd = ~((norms > _TINY) & (norms < _HUGE))
                norms[odd] = _odd_norms(part, odd, start, name)
            part /= norms[:, None]
        normalised[start : start + step] = part
    return normalised


def _as_rows(embeddings: ArrayLike, dim: int, name: str) -> NDArray[np.number]:
    """Return the embeddings as an (N, dim) array of numbers."""
    rows = as_array(embeddings, name)
    if rows is None:
        try:
            rows = np.asarray(_with_arrays(embeddings, name))
        except (TypeError, ValueError, RuntimeError, RecursionError) as error:
            raise InputError(f"{name} cannot be read as an (N, {dim}) array: {error}") from error
    elif rows.dtype == object and rows.ndim == 1:  # a table's column of embeddings
        return _as_rows(rows.tolist(), dim, name)
    if isinstance(rows, np.ma.MaskedArray) and rows.mask.any():
        raise InputError(f"{name} hold masked numbers; every number of an embedding is needed.")
    if rows.size == 0 and rows.ndim == 1:
        rows = np.empty((0, dim), dtype=np.float32)
    if rows.dtype.kind not in "fiu":
        raise InputError(
            f"{name} must be numbers, an (N, {dim}) float array; got dtype {rows.dtype}."
        )
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2:
        raise InputError(f"{name} must have shape (N, {dim}); got {rows.shape}.")
    if rows.shape[1] != dim:
        raise InputError(
            f"{name} have {rows.shape[1]} dimensions, this gallery has {dim}. "
            "Were they made by another encoder?"
        )
    return rows


def _with_arrays(embeddings: ArrayLike, name: str) -> ArrayLike:
    """Return a list of arrays or tensors as one of NumPy arrays, anything else as it is."""
    if not isinstance(embeddings, (list, tuple)) or not embeddings:
        return embeddings
    arrays = [as_array(row, name) for row in embeddings]
    if any(array is None for array in arrays):
        return embeddings
    return np.stack(arrays)  # type: ignore[arg-type] # none of them is None


def _odd_norms(
    part: NDArray[np.float64], odd: NDArray[np.bool_], start: int, name: str
) -> NDArray[np.float64]:
    """Norms of rows whose plain sum of squares left float64; scales ``part`` in place."""
    for row in np.flatnonzero(odd):
        if not np.isfinite(part[row]).all():
            raise InputError(f"Row {start + row} of {name} holds NaN or infinity.")
        largest = np.abs(part[row]).max()
        if largest == 0:
            raise InputError(
                f"Row {start + row} of {name} is all zeros and has no direction to compare."
            )
        part[row] /= largest
    norms: NDArray[np.float64] = np.linalg.norm(part[odd], axis=1)
    return norms
