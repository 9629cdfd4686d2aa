"""What camera-normalised similarities need of each row: 8 bytes, worked out once."""

from __future__ import annotations

import numpy as np

from sanreid.cameras import CameraNormalizer
from sanreid.gallery.index.normalization import Normalization
from sanreid.gallery.storage.columns import Column
from sanreid.gallery.storage.vectors import AppendableVectors

__all__ = ["CameraTerms"]

_ROWS = 8192  # read at a time


class CameraTerms:
    """The columns of a :class:`Normalization` for one table and normalizer, growing with it."""

    def __init__(self) -> None:
        self._cameras = Column(np.int32)
        self._inverse_lengths = Column(np.float32)

    def extend(
        self,
        normalizer: CameraNormalizer,
        vectors: AppendableVectors,
        camids: Column,
        count: int,
    ) -> None:
        """Work out the rows up to ``count`` that are new."""
        start = len(self._inverse_lengths)
        self._cameras.cut(start)  # an interrupt may have come between the two columns
        for first, block in vectors.spans(start, count, _ROWS):
            own = camids.first(count)[first : first + len(block)]
            lengths = normalizer.lengths(block, own)
            self._cameras.extend(normalizer.mean_rows(own, len(own)).astype(np.int32))
            self._inverse_lengths.extend(1 / lengths)

    def first(self, normalizer: CameraNormalizer, count: int) -> Normalization:
        """Return the normalization of the first ``count`` rows."""
        return Normalization(
            normalizer, self._cameras.first(count), self._inverse_lengths.first(count), self
        )
