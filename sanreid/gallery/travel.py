"""Travel time between cameras: who was here a moment ago cannot be at the other end of town yet.

A person who leaves one camera needs some time to reach another, and is rarely on the way for
longer than some other time. Entries that would have had to be faster or slower than that are
left out of a query's answer, before ranking.

Shapes: Q queries, C cameras that are named, P pairs of a query and an entry.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery import validation
from sanreid.gallery.validation import NO_CAMID
from sanreid.utils.arrays import shown

__all__ = ["Gap", "TravelTimes", "travel_times"]

Gap = float | Mapping[tuple[int | str, int | str], float]


@dataclass(frozen=True, slots=True, eq=False)
class TravelTimes:
    """The gaps in time that are possible between each query and the entries of each camera.

    An entry is excluded from a query if the gap between their times, forwards or backwards, is
    below the least or above the most. Without a time or a camera on either side nothing is.

    Attributes:
        timestamps: (Q,) float64 seconds; NaN where it is not known.
        camids: (C,) int64, ascending; the last column stands for all other cameras.
        least: (Q, C + 1) float64 seconds; 0 for no rule.
        most: (Q, C + 1) float64 seconds; infinity for no rule.
    """

    timestamps: NDArray[np.float64]
    camids: NDArray[np.int64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]

    def of(self, queries: NDArray[np.int64] | slice) -> TravelTimes:
        """Return the rule for some of the queries."""
        return TravelTimes(
            self.timestamps[queries], self.camids, self.least[queries], self.most[queries]
        )

    def columns(self, camids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the column of each entry's camera, (N,)."""
        if not len(self.camids):
            return np.zeros(len(camids), dtype=np.int64)
        found = np.minimum(np.searchsorted(self.camids, camids), len(self.camids) - 1)
        return np.where(self.camids[found] == camids, found, len(self.camids))

    def excluded(
        self,
        queries: NDArray[np.int64],
        camids: NDArray[np.int64],
        timestamps: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Return for each pair of a query and an entry whether the entry is excluded.

        Args:
            queries: (P,) index of the query.
            camids: (P,) camera of the entry.
            timestamps: (P,) seconds of the entry; NaN for none.
        """
        columns = self.columns(camids)
        gaps = np.abs(timestamps - self.timestamps[queries])  # NaN is neither below nor above
        beyond = (gaps < self.least[queries, columns]) | (gaps > self.most[queries, columns])
        return np.asarray(beyond & (camids != NO_CAMID))

    def excluded_block(
        self, camids: NDArray[np.int64], timestamps: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return the (N, Q) mask of excluded pairs of N entries and all queries."""
        columns = self.columns(camids)
        gaps = np.abs(timestamps[:, None] - self.timestamps)
        beyond = (gaps < self.least.T[columns]) | (gaps > self.most.T[columns])
        return np.asarray(beyond & (camids != NO_CAMID)[:, None])


def travel_times(
    query_timestamps: Iterable[Any] | None,
    query_camids: NDArray[np.int64] | None,
    min_gap_s: Gap | None,
    max_gap_s: Gap | None,
    count: int,
) -> TravelTimes | None:
    """Check the arguments of :meth:`sanreid.Gallery.search` that are about travel time.

    Raises:
        InputError: Some are given without the others, or a gap is negative, no number, of
            something other than two cameras, or larger than the most between the same two.
    """
    if min_gap_s is None and max_gap_s is None:
        if query_timestamps is not None:
            raise InputError("query_timestamps need min_gap_s or max_gap_s; both are None.")
        return None
    if query_timestamps is None or query_camids is None:
        raise InputError(
            "min_gap_s and max_gap_s are about the time between cameras: give query_timestamps "
            "and query_camids too."
        )
    seconds = validation.as_timestamps(query_timestamps, count, name="query_timestamps")
    least_of, most_of = _gaps(min_gap_s, "min_gap_s"), _gaps(max_gap_s, "max_gap_s")
    known = query_camids != NO_CAMID
    named = {camid for gaps in (least_of, most_of) for pair in gaps[1] for camid in pair}
    camids = np.array(sorted(named | set(query_camids[known].tolist())), dtype=np.int64)
    _check_order(least_of, most_of)
    least = _table(query_camids, camids, least_of, 0.0)
    most = _table(query_camids, camids, most_of, math.inf)
    return TravelTimes(seconds, camids, least, most)


_Gaps = tuple[float | None, dict[tuple[int, int], float]]


def _gaps(given: Any, name: str) -> _Gaps:  # noqa: ANN401 - as passed
    """Return the gap of all pairs of cameras, if one is given, and those of named pairs."""
    if given is None:
        return None, {}
    if not isinstance(given, Mapping):
        return _seconds(given, name), {}
    pairs: dict[tuple[int, int], float] = {}
    for key, value in given.items():
        pair = _pair(key, name)
        seconds = _seconds(value, f"{name}[{key[0]!r}, {key[1]!r}]")
        if pairs.setdefault(pair, seconds) != seconds:
            raise InputError(f"{name} has two values for the cameras {key[0]!r} and {key[1]!r}.")
    return None, pairs


def _pair(key: Any, name: str) -> tuple[int, int]:  # noqa: ANN401 - as passed
    """Return the numbers of two cameras, the smaller first."""
    try:
        first, second = sorted(validation.as_camids(key, 2).tolist())
    except InputError:
        first = NO_CAMID
    if not isinstance(key, tuple) or first == NO_CAMID:
        raise InputError(
            f"{name} maps pairs of camids, such as (1, 2), to seconds; got the key {shown(key)}."
        )
    return first, second


def _check_order(least: _Gaps, most: _Gaps) -> None:
    """Refuse a least gap above the most of the same cameras."""
    for pair in [None, *least[1], *most[1]]:
        low, high = (_gap_of(pair, gaps) for gaps in (least, most))
        if low is not None and high is not None and low > high:
            raise InputError(
                f"min_gap_s is {low:g} and max_gap_s {high:g} between the same two cameras: no "
                "time is possible."
            )


def _gap_of(pair: tuple[int, int] | None, gaps: _Gaps) -> float | None:
    """Return the gap of a pair, of any pair for None; a default is not about one camera alone."""
    default, pairs = gaps
    if pair is None or pair not in pairs:
        return None if pair is not None and pair[0] == pair[1] else default
    return pairs[pair]


def _seconds(value: Any, name: str) -> float:  # noqa: ANN401 - as passed
    seconds = validation.as_number(value, name)
    if seconds < 0:
        raise InputError(f"{name} must be at least 0 seconds; got {shown(value)}.")
    return seconds


def _table(
    query_camids: NDArray[np.int64], camids: NDArray[np.int64], gaps: _Gaps, none: float
) -> NDArray[np.float64]:
    """Return the (Q, C + 1) gaps; ``none`` within one camera and where there is no rule."""
    default, pairs = gaps
    cameras, rows = np.unique(query_camids, return_inverse=True)
    table = np.full((len(cameras), len(camids) + 1), none if default is None else default)
    for row, camid in enumerate(cameras.tolist()):
        if camid == NO_CAMID:
            table[row] = none
            continue
        table[row, np.searchsorted(camids, camid)] = none
        for pair, seconds in pairs.items():
            if camid in pair:
                other = pair[1] if pair[0] == camid else pair[0]
                table[row, np.searchsorted(camids, other)] = seconds
    return np.asarray(table[rows.reshape(-1)])
