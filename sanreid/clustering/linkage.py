"""Average linkage over a sparse graph: groups join as long as their mean similarity is enough.

The mean over all pairs of two groups is found without the pairs: that of the cosines from the sums
of the groups' rows, that of the overlaps from the graph. In each round all groups that are each
other's nearest join; where all pairs of groups are compared, this ends as joining the nearest two
again and again does.

Sources: UPGMA, Sokal and Michener, 1958; reciprocal nearest neighbours, Murtagh, "A Survey of
Recent Advances in Hierarchical Clustering Algorithms", The Computer Journal 26, 1983.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sanreid.clustering.constraints import Constraints
from sanreid.clustering.graph import NEIGHBOURS, Graph
from sanreid.neighbourhoods import Floats, Indices, pair_similarities

__all__ = ["link"]

_PRODUCTS = 2**24  # cosines of groups worked out together


def link(rows: Floats, graph: Graph, threshold: float, known: Constraints) -> Indices:
    """Group rows by average linkage of cosine plus overlap.

    Groups are compared where a pair of their rows is in the graph. Groups with more rows than a
    row has neighbours in the graph are compared with all others of that kind, too: all neighbours
    of their rows may lie within.

    Args:
        rows: (N, D) float32 of norm 1.
        graph: Of the rows.
        threshold: Mean similarity down to which groups are joined.
        known: Certain knowledge, which is kept in any case.

    Returns:
        (N,) int64, group numbers from 0 in the order of their first rows.
    """
    groups = _Groups(rows, graph, threshold, known)
    while True:
        while groups.join_nearest():
            pass
        if not groups.compare_large():
            return groups.of_rows()


class _Groups:
    """Groups while they are joined, numbered by their first pieces. G pieces, M compared pairs."""

    def __init__(self, rows: Floats, graph: Graph, threshold: float, known: Constraints) -> None:
        self._threshold = threshold
        self._piece = _numbered(known.piece)  # (N,)
        self._into = np.arange(int(self._piece.max()) + 1)  # (G,) what each piece was joined to
        self._sizes = np.bincount(self._piece)
        self._sums = np.zeros((len(self._sizes), rows.shape[1]), dtype=np.float32)
        np.add.at(self._sums, self._piece, rows)
        self._apart = _shared_by_two_people(self._piece, known)
        self._is_placed = np.array([bool(numbers) for numbers in self._apart])
        self._one = self._other = np.empty(0, dtype=np.int64)  # (M,) the smaller number first
        self._overlap = self._mean = np.empty(0)  # (M,) summed overlap; mean similarity
        both = graph.overlap.tocoo()
        upper = both.coords[0] < both.coords[1]
        pairs = np.stack(both.coords, axis=1)[upper]
        one, other = self._piece[np.concatenate([pairs, graph.neighbours])].T
        overlap = np.concatenate([both.data[upper], np.zeros(len(graph.neighbours))])
        self._compare(one, other, overlap)

    def of_rows(self) -> Indices:
        """(N,) the group of each row, numbered in the order of the first rows."""
        into = self._into
        while (into != into[into]).any():
            into = into[into]
        return _numbered(into[self._piece])

    def join_nearest(self) -> bool:
        """Join all groups that are each other's nearest; return whether there were any."""
        best = np.full(len(self._into), self._threshold)
        np.maximum.at(best, self._one, self._mean)
        np.maximum.at(best, self._other, self._mean)
        nearest = (self._mean == best[self._one]) & (self._mean == best[self._other])
        pairs = _at_most_one_each(self._one, self._other, np.flatnonzero(nearest))
        if not len(pairs):
            return False
        kept, joined = self._one[pairs], self._other[pairs]
        self._sums[kept] += self._sums[joined]
        self._sizes[kept] += self._sizes[joined]
        self._into[joined] = kept
        for a, b in zip(kept.tolist(), joined.tolist(), strict=True):
            self._apart[a] |= self._apart[b]
        self._is_placed[kept] |= self._is_placed[joined]
        is_changed = np.zeros(len(self._into), dtype=np.bool_)
        is_changed[kept] = is_changed[joined] = True
        changed = is_changed[self._one] | is_changed[self._other]
        one, other = self._into[self._one[changed]], self._into[self._other[changed]]
        overlap = self._overlap[changed]
        self._keep(~changed)
        self._compare(one, other, overlap)
        return True

    def compare_large(self) -> bool:
        """Compare all large groups with each other; return whether any may join that were not."""
        is_group = self._into == np.arange(len(self._into))
        large = np.flatnonzero(is_group & (self._sizes > NEIGHBOURS))
        one, other = self._near(large)
        fresh = ~np.isin(self._keys(one, other), self._keys(self._one, self._other))
        before = len(self._one)
        self._compare(one[fresh], other[fresh], np.zeros(int(fresh.sum())))
        return bool((self._mean[before:] >= self._threshold).any())

    def _near(self, groups: Indices) -> tuple[Indices, Indices]:
        """Return the pairs of groups whose mean cosine reaches the threshold."""
        means = (self._sums[groups] / self._sizes[groups, None]).astype(np.float32)
        step = max(1, _PRODUCTS // max(1, len(groups)))
        found = [np.empty((2, 0), dtype=np.int64)]
        for start in range(0, len(groups), step):
            cosine = means[start : start + step] @ means[start:].T
            found.append(start + np.argwhere(np.triu(cosine >= self._threshold, 1)).T)
        one, other = groups[np.concatenate(found, axis=1)]
        return one, other

    def _keep(self, pairs: NDArray[np.bool_]) -> None:
        self._one, self._other = self._one[pairs], self._other[pairs]
        self._overlap, self._mean = self._overlap[pairs], self._mean[pairs]

    def _compare(self, one: Indices, other: Indices, overlap: NDArray[np.float64]) -> None:
        """Add pairs of groups, each once, with their overlaps summed and their mean similarity.

        That of groups which hold two people for certain is below any threshold.
        """
        differ = one != other
        keys = self._keys(one[differ], other[differ])
        keys, key = np.unique(keys, return_inverse=True)
        shared = np.bincount(key, overlap[differ], len(keys)).astype(np.float64)
        one, other = np.divmod(keys, len(self._into))
        mean = pair_similarities(self._sums, one, self._sums, other) + shared
        mean /= self._sizes[one] * self._sizes[other]
        near = (mean >= self._threshold) & self._is_placed[one] & self._is_placed[other]
        for pair in np.flatnonzero(near).tolist():
            if not self._apart[one[pair]].isdisjoint(self._apart[other[pair]]):
                mean[pair] = -np.inf
        self._one = np.concatenate([self._one, one])
        self._other = np.concatenate([self._other, other])
        self._overlap = np.concatenate([self._overlap, shared])
        self._mean = np.concatenate([self._mean, mean])

    def _keys(self, one: Indices, other: Indices) -> Indices:
        """Return a number for each pair of groups, whichever comes first."""
        return np.minimum(one, other) * len(self._into) + np.maximum(one, other)


def _shared_by_two_people(piece: Indices, known: Constraints) -> list[set[int]]:
    """Return, for each piece, numbers that no two pieces of one person share.

    They stand for the frames with several rows, and for the pairs that are two people.
    """
    apart: list[set[int]] = [set() for _ in range(int(piece.max()) + 1)]
    rows = np.flatnonzero(known.frame >= 0)
    _, frame, counts = np.unique(known.frame[rows], return_inverse=True, return_counts=True)
    several = counts[frame] > 1
    for row, number in zip(rows[several].tolist(), frame[several].tolist(), strict=True):
        apart[piece[row]].add(number)
    for number, pair in enumerate(known.cannot.tolist(), start=len(counts)):
        for row in pair:
            apart[piece[row]].add(number)
    return apart


def _at_most_one_each(one: Indices, other: Indices, pairs: Indices) -> Indices:
    """Return some of the pairs, at least one if there are any, in which no group is twice."""
    order = np.lexsort((one[pairs], one[pairs] ^ other[pairs]))  # so equal rows pair up at once
    pairs = pairs[order]
    groups = np.stack([one[pairs], other[pairs]], axis=1).ravel()
    _, first = np.unique(groups, return_index=True)
    chosen, times = np.unique(first // 2, return_counts=True)
    found: Indices = pairs[chosen[times == 2]]  # the first of both its groups
    return found


def _numbered(groups: Indices) -> Indices:
    """Number groups anew, in the order of their first rows."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[group]
