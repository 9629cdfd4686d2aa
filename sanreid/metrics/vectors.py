"""Embeddings as they come, as float32 rows of L2 norm 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.metrics.checks import as_array, check_unmasked

__all__ = ["identical_rows", "keep_rows", "unit_rows", "unit_rows_of_both"]

_ROWS_AT_A_TIME = 4096  # keeps the float64 temporaries small


def unit_rows_of_both(
    query_embeddings: ArrayLike, gallery_embeddings: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """:func:`unit_rows` of queries and gallery, which have equally many dimensions."""
    queries = unit_rows(query_embeddings, "query_embeddings")
    gallery = unit_rows(gallery_embeddings, "gallery_embeddings")
    if queries.shape[1] != gallery.shape[1]:
        raise InputError(
            f"Queries have {queries.shape[1]} dimensions and the gallery {gallery.shape[1]}; "
            "both come from the same encoder."
        )
    return queries, gallery


def unit_rows(embeddings: ArrayLike, name: str, *, least: int = 1) -> NDArray[np.float32]:
    """Check embeddings and divide each row by its norm.

    Args:
        embeddings: (N, D) real numbers, D >= 1.
        name: What to call them in an error message.
        least: Least N, 0 or 1.

    Returns:
        (N, D) float32, a copy; the norms are taken in float64, so that any scale a float32 can
        have works.

    Raises:
        InputError: Not a matrix of numbers, fewer rows or no columns, or a row that is zero, NaN
            or infinite.
    """
    rows = as_array(embeddings, name)
    if rows.dtype == object and rows.ndim == 1:  # a table's column of embeddings
        rows = as_array(rows.tolist(), name)
    check_unmasked(rows, name)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise InputError(
            f"{name} are a matrix (N, D) of real numbers, one row per crop; "
            f"got shape {rows.shape} of {rows.dtype}."
        )
    if len(rows) < least or not rows.shape[1]:
        raise InputError(f"{name} are empty: shape {rows.shape}; at least one row is needed.")
    unit = np.empty(rows.shape, dtype=np.float32)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        part = rows[start : start + _ROWS_AT_A_TIME]
        norms = np.sqrt(np.einsum("nd,nd->n", part, part, dtype=np.float64, casting="same_kind"))
        bad = ~((norms > 0) & np.isfinite(norms))
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"Row {start + row} of {name} has norm {norms[row]}: a row that is zero, NaN or "
                "infinite has no direction. Leave such rows out before comparing."
            )
        out = unit[start : start + len(part)]
        np.divide(part, norms[:, None], out=out, casting="same_kind")
        out += 0.0  # -0.0 becomes 0.0: equal numbers get equal bits
    return unit


def keep_rows(rows: NDArray[np.float32], kept: NDArray[np.intp]) -> NDArray[np.float32]:
    """Move some rows to the front of their own array, and return that part of it.

    Args:
        rows: (N, D), changed.
        kept: (M,) indices, rising.
    """
    for start in range(0, len(kept), _ROWS_AT_A_TIME):
        part = kept[start : start + _ROWS_AT_A_TIME]
        rows[start : start + len(part)] = rows[part]  # from further back: kept[i] >= i
    return rows[: len(kept)]


def identical_rows(rows: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find rows that repeat an earlier row, number for number.

    A matrix product may round the same row differently at different positions in a matrix;
    who needs ties to be ties copies the first one's result to the others.

    Args:
        rows: (N, D) float32, contiguous.

    Returns:
        (M,) and (M,): the indices of the repeats, and for each the index of the first such row.
    """
    multipliers = np.random.default_rng(0).integers(1, 2**63, rows.shape[1], dtype=np.uint64)
    digests = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        bits = rows[start : start + _ROWS_AT_A_TIME].view(np.uint32)
        digests[start : start + len(bits)] = np.einsum("nd,d->n", bits, multipliers)  # wraps
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    earliest = first[group]
    repeats = np.flatnonzero(earliest != np.arange(len(rows)))
    firsts = earliest[repeats]
    same = np.array(
        [np.array_equal(rows[a], rows[b]) for a, b in zip(repeats, firsts, strict=True)]
    )
    return (repeats[same], firsts[same]) if len(repeats) else (repeats, firsts)
