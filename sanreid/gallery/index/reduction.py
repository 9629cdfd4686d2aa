"""The principal axes: the subspace in which an index searches for candidates.

Embeddings of people fill few of their dimensions, so candidates can be found along a hundred or so
axes and scored with all of their numbers afterwards. The axes are those with the largest second
moment of the rows: no other choice of as many axes preserves inner products better.
``faiss.PCAMatrix`` subtracts the mean first, which inner products do not allow, and takes twice as
long.

Source: Jolliffe, "Principal Component Analysis", 2nd ed., 2002; here without centring.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["principal_axes", "project"]

_MULTIPLE = 16  # of axes: the width of a vector register
_WORTHWHILE = 0.75  # of the dimensions: with more axes than this nothing is gained
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
