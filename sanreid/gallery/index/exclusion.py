"""Rows that single queries may not find: their own person, camera, or impossible journeys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.travel import TravelTimes
from sanreid.gallery.validation import NO_CAMID

__all__ = ["Exclusion", "Exclusions", "Rule", "TravelExclusion"]


class Rule(Protocol):
    """What a search asks of a rule for single queries."""

    def of(self, queries: NDArray[np.int64] | slice) -> Rule:
        """Return the rule for some of the queries."""
        ...

    def pairs(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each (query, row) pair whether the row is excluded."""
        ...

    def block(self, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Return the (rows, Q) mask of excluded pairs."""
        ...


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


class TravelExclusion:
    """Excludes rows that are too soon or too late for the way from a query's camera.

    Args:
        travel: The times that are possible.
        camids: (R,) int64, the camera of each row.
        timestamps: (R,) float64 seconds; NaN for none.
    """

    def __init__(
        self, travel: TravelTimes, camids: NDArray[np.int64], timestamps: NDArray[np.float64]
    ) -> None:
        self._travel, self._camids, self._timestamps = travel, camids, timestamps

    def of(self, queries: NDArray[np.int64] | slice) -> TravelExclusion:
        """Return the rule for some of the queries."""
        return TravelExclusion(self._travel.of(queries), self._camids, self._timestamps)

    def pairs(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each (query, row) pair whether the row is excluded."""
        return self._travel.excluded(queries, self._camids[rows], self._timestamps[rows])

    def block(self, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Return the (rows, Q) mask of excluded pairs."""
        return self._travel.excluded_block(self._camids[rows], self._timestamps[rows])


class Exclusions:
    """Excludes what any of several rules does."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    def of(self, queries: NDArray[np.int64] | slice) -> Exclusions:
        """Return the rules for some of the queries."""
        return Exclusions([rule.of(queries) for rule in self._rules])

    def pairs(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each (query, row) pair whether the row is excluded."""
        return reduce(np.logical_or, (rule.pairs(queries, rows) for rule in self._rules))

    def block(self, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Return the (rows, Q) mask of excluded pairs."""
        return reduce(np.logical_or, (rule.block(rows) for rule in self._rules))
