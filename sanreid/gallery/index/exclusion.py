"""Rows that single queries may not find: their own person under their own camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.validation import NO_CAMID

__all__ = ["Exclusion"]


class Exclusion:
    """Excludes a row from a query where cameras agree and, if given, people agree too.

    Args:
        camids: (R,) int64, the camera of each row.
        query_camids: (Q,) int64; :data:`~sanreid.gallery.validation.NO_CAMID` excludes nothing.
        pid_codes: (R,) int32, the person of each row as a number; None to ignore people.
        query_codes: (Q,) int32, likewise; -1 equals no row's.

    Source:
        Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015.
    """

    def __init__(
        self,
        camids: NDArray[np.int64],
        query_camids: NDArray[np.int64],
        pid_codes: NDArray[np.int32] | None = None,
        query_codes: NDArray[np.int32] | None = None,
    ) -> None:
        self._camids, self._query_camids = camids, query_camids
        self._pid_codes, self._query_codes = pid_codes, query_codes
        self._none = query_camids == NO_CAMID
        self._any_none = bool(self._none.any())

    def of(self, queries: NDArray[np.int64] | slice) -> Exclusion:
        """Return the rule for some of the queries."""
        codes = None if self._query_codes is None else self._query_codes[queries]
        return Exclusion(self._camids, self._query_camids[queries], self._pid_codes, codes)

    def pairs(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each (query, row) pair whether the row is excluded."""
        mask = (self._camids[rows] == self._query_camids[queries]) & ~self._none[queries]
        if self._query_codes is not None and self._pid_codes is not None:
            mask &= self._pid_codes[rows] == self._query_codes[queries]
        return np.asarray(mask)

    def block(self, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Return the (rows, Q) mask of excluded pairs."""
        mask = self._camids[rows][:, None] == self._query_camids
        if self._any_none:
            mask &= ~self._none
        if self._query_codes is not None and self._pid_codes is not None:
            mask &= self._pid_codes[rows][:, None] == self._query_codes
        return np.asarray(mask)
