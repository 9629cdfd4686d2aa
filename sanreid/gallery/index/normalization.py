"""Camera-normalised similarities from rows that are stored as they came.

With ``m`` the mean of a row's camera, a query ``q`` that is normalised already, and a row ``x``,

    similarity = (q @ x - q @ m) / |x - m|

so that beside the plain product it takes one number per query and camera, and one per row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.gallery.validation import NO_CAMID

__all__ = ["BlockTerms", "Normalization"]


@dataclass(frozen=True, slots=True, eq=False)
class Normalization:
    """What normalised similarities need of R rows.

    Attributes:
        normalizer: Subtracts each camera's mean.
        cameras: (R,) int32, each row's index among the means.
        inverse_lengths: (R,) float32, 1 / |x - m|.
        key: The same object for the rows of every state of one table and normalizer.
    """

    normalizer: CameraNormalizer
    cameras: NDArray[np.int32]
    inverse_lengths: NDArray[np.float32]
    key: object

    def apply(self, rows: NDArray[np.float32], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Normalise the stored vectors of some rows."""
        if not len(rows):
            return rows
        camids = np.append(self.normalizer.camids, NO_CAMID)
        return self.normalizer(rows, camids[self.cameras[numbers]])

    def block_terms(self, queries: NDArray[np.float32], error: float) -> BlockTerms:
        """Return what turns products with normalised queries into similarities."""
        return BlockTerms(self, self.normalizer.offsets(queries).T, np.float32(error))


class BlockTerms:
    """Turns blocks of plain products into upper bounds of normalised similarities.

    Args:
        normalization: Of the rows.
        offsets: (C + 1, Q) products of means and queries.
        error: Of a product minus its offset, at most.
    """

    def __init__(
        self, normalization: Normalization, offsets: NDArray[np.float32], error: np.float32
    ) -> None:
        self._normalization = normalization
        self._error = error
        self._offsets = np.ascontiguousarray(offsets - error)
        self._buffer = np.empty(0, dtype=np.float32)

    def raise_to_bounds(
        self, products: NDArray[np.float32], rows: NDArray[np.int64] | slice
    ) -> None:
        """Turn (rows, Q) products into upper bounds of the similarities, in place."""
        if len(self._buffer) < products.size:
            self._buffer = np.empty(products.size, dtype=np.float32)
        offsets = self._buffer[: products.size].reshape(products.shape)
        cameras = self._normalization.cameras[rows]
        np.take(self._offsets, cameras, axis=0, out=offsets, mode="clip")  # unbuffered
        products -= offsets
        products *= self._normalization.inverse_lengths[rows][:, None]

    def widths(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Return (N,) how far below its upper bound the similarity of a row may lie."""
        return 2 * self._error * self._normalization.inverse_lengths[rows]
