"""The ranks of one query's matches, found without ordering the gallery.

The rank of a match is one more than the number of nearer entries, so counting is enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SingleShot", "match_ranks"]

Row = NDArray[Any]  # (G,) real numbers, the distances of one query
Indices = NDArray[np.intp]

_MANY_MATCHES = 48  # from here on sorting beats a pass for each match
_CLOSE_SHARE = 8  # sort only where at most one entry in eight takes part


def match_ranks(row: Row, matches: Indices, left_out: Indices) -> Indices:
    """Return the ranks of the matches in one query's ranking.

    Args:
        row: (G,) distances, no NaN; equal ones rank in gallery order.
        matches: Entries of the same person that count, rising, at least one.
        left_out: Entries that are not ranked at all, rising.

    Returns:
        1-based ranks, rising, as many as ``matches``.
    """
    distances = row[matches]
    by_distance = distances.argsort()
    matches, distances = matches[by_distance], distances[by_distance]
    nearer, tied = _count(row, distances)
    if left_out.size:
        nearer -= np.sort(row[left_out]).searchsorted(distances, side="left")
    for i in np.flatnonzero(tied > 1):  # the match itself is one
        earlier = np.flatnonzero(row[: matches[i]] == distances[i])
        nearer[i] += len(earlier) - np.isin(earlier, left_out).sum()
    ranks: Indices = np.sort(nearer + 1)  # ties may have come out of order
    return ranks


def _count(row: Row, distances: Row) -> tuple[Indices, Indices]:
    """Count, for each of the rising distances, how many of the row are nearer and how many equal.

    Many distances or a short row are sorted and searched; few distances take one pass over the
    row each (a pass is cheap: it compares 16 numbers at a time). Most
    matches of a good encoder are among the very nearest, where both are used together.
    """
    if len(distances) > _MANY_MATCHES:
        return _count_sorted(np.sort(row[row <= distances[-1]]), distances)
    for head in (len(distances), len(distances) // 2 + 1):
        close = row <= distances[head - 1]
        if np.count_nonzero(close) * _CLOSE_SHARE <= len(row):
            break
    else:
        head = 0
    nearer = np.empty(len(distances), dtype=np.intp)
    tied = np.empty_like(nearer)
    if head:
        nearer[:head], tied[:head] = _count_sorted(np.sort(row[close]), distances[:head])
    for i in range(head, len(distances)):
        nearer[i] = np.count_nonzero(row < distances[i])
        tied[i] = np.count_nonzero(row == distances[i])
    return nearer, tied


def _count_sorted(rising: Row, distances: Row) -> tuple[Indices, Indices]:
    nearer = rising.searchsorted(distances, side="left")
    return nearer, rising.searchsorted(distances, side="right") - nearer


class SingleShot:
    """CUHK03's gallery: one entry of each person, redrawn for every query and repeat.

    Distractors are nobody in particular, hence not drawn: all of them stay.

    Args:
        order: (G,) entries sorted by person.
        sorted_pids: (G,) their pids.
        nobody: (G,) bool, which of them are distractors.
        num_repeats: How many galleries are drawn for each query.
        seed: Of the draw. A query's draw depends only on the seed and its own index.
    """

    def __init__(
        self,
        order: Indices,
        sorted_pids: NDArray[np.int64],
        nobody: NDArray[np.bool_],
        *,
        num_repeats: int,
        seed: int,
    ) -> None:
        new_group = np.diff(sorted_pids, prepend=sorted_pids[:1] - 1) != 0
        self._starts = np.flatnonzero(new_group | nobody)
        self._sizes = np.diff(self._starts, append=len(order))
        self._group_pids = sorted_pids[self._starts]
        self._order = order
        self._num_repeats = num_repeats
        self._seed = seed

    def first_ranks(self, query: int, row: Row, pid: int, matches: Indices) -> Indices:
        """Return (num_repeats,) 1-based ranks of the drawn match among the drawn entries."""
        rng = np.random.default_rng((self._seed, query))
        picks = rng.integers(self._sizes, size=(self._num_repeats, len(self._sizes)))
        others = self._order[self._starts + picks][:, self._group_pids != pid]
        match = rng.choice(matches, size=(self._num_repeats, 1))
        nearer = row[others] < row[match]
        nearer |= (row[others] == row[match]) & (others < match)
        ranks: Indices = nearer.sum(axis=1) + 1
        return ranks
