"""What an index is trained with: the axes that matter, and centres of the rows along them.

Embeddings of people fill few of their dimensions, so a candidate can be found along some hundred
axes and scored with all of its numbers afterwards. The axes are those along which the rows' second
moment is largest: projected on them, rows keep their inner products as well as on so many axes
they can. NumPy's matrix product does the work; it is several times as fast as FAISS's own.

Sources: Jolliffe, "Principal Component Analysis", 2nd ed., 2002, here without centring, for inner
products; Dhillon and Modha, "Concept Decompositions for Large Sparse Text Data Using Clustering",
Machine Learning 42, 2001 (spherical k-means).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["centres", "nearest_centres", "principal_axes", "projected"]

_MULTIPLE = 16  # of axes: the width of a vector register
_WORTHWHILE = 0.75  # with more of the dimensions than this nothing would be gained
_ROUNDS = 6  # of k-means
_BLOCK = 4096


def principal_axes(rows: NDArray[np.float32], share: float) -> NDArray[np.float32] | None:
    """The fewest axes that hold a share of the rows' squared length.

    Args:
        rows: (N, D).
        share: In (0, 1].

    Returns:
        (D, d) orthonormal columns, d a multiple of 16; None where d would be nearly D.
    """
    dim = rows.shape[1]
    moment = np.zeros((dim, dim), dtype=np.float64)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        moment += part.T @ part
    lengths, axes = np.linalg.eigh(moment)
    held = np.cumsum(lengths[::-1]) / lengths.sum()
    fewest = int(np.searchsorted(held, share)) + 1
    count = -(-fewest // _MULTIPLE) * _MULTIPLE
    if count > _WORTHWHILE * dim:
        return None
    return np.ascontiguousarray(axes[:, ::-1][:, :count], dtype=np.float32)


def projected(rows: NDArray[np.float32], axes: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """(N, d) coordinates of the rows on the axes; the rows themselves where there are none."""
    return np.ascontiguousarray(rows if axes is None else rows @ axes)


def centres(
    rows: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(count, d) of norm 1: spherical k-means, begun at rows drawn at random."""
    found = rows[rng.choice(len(rows), count, replace=False)]
    for _ in range(_ROUNDS):
        nearest = nearest_centres(rows, found)
        order = np.argsort(nearest, kind="stable")
        lists, starts = np.unique(nearest[order], return_index=True)
        found = rows[rng.choice(len(rows), count, replace=False)]  # for lists that went empty
        found[lists] = np.add.reduceat(rows[order], starts, axis=0)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return found


def nearest_centres(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The centre of the largest inner product for each row."""
    nearest = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        nearest[part] = (rows[part] @ centres.T).argmax(axis=1)
    return nearest
