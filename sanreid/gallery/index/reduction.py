"""What an index is trained with: the axes that matter, and centroids of the rows along them.

Embeddings of people fill few of their dimensions, so candidates can be found along a hundred or so
axes and scored with all of their numbers afterwards. The axes are those with the largest second
moment of the rows: no other choice of as many axes preserves inner products better.

Sources: Jolliffe, "Principal Component Analysis", 2nd ed., 2002, here without centring, for inner
products; Dhillon and Modha, "Concept Decompositions for Large Sparse Text Data Using Clustering",
Machine Learning 42, 2001 (spherical k-means).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["centroids", "nearest_centroids", "principal_axes", "project"]

_MULTIPLE = 16  # of axes: the width of a vector register
_WORTHWHILE = 0.75  # of the dimensions: with more axes than this nothing is gained
_ROUNDS = 6  # of k-means
_BLOCK = 4096


def principal_axes(rows: NDArray[np.float32], share: float) -> NDArray[np.float32] | None:
    """Return the fewest axes that hold a share of the rows' squared length.

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


def project(rows: NDArray[np.float32], axes: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return (N, d) coordinates of the rows on the axes; the rows themselves for axes None."""
    return np.ascontiguousarray(rows if axes is None else rows @ axes)


def centroids(
    rows: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (count, d) centroids of norm 1 by spherical k-means, started at random rows."""
    found = rows[rng.choice(len(rows), count, replace=False)]
    for _ in range(_ROUNDS):
        nearest = nearest_centroids(rows, found)
        order = np.argsort(nearest, kind="stable")
        lists, starts = np.unique(nearest[order], return_index=True)
        found = rows[
            rng.choice(len(rows), count, replace=False)
        ]  # for centroids left without rows
        found[lists] = np.add.reduceat(rows[order], starts, axis=0)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return found


def nearest_centroids(
    rows: NDArray[np.float32], centroids: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return for each row the number of the centroid with the largest inner product."""
    nearest = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        nearest[part] = (rows[part] @ centroids.T).argmax(axis=1)
    return nearest
