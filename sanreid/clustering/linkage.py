"""Average linkage over a sparse graph: groups join as long as their mean similarity is enough.

The mean over all pairs of two groups is found without the pairs: that of the cosines from the sums
of the groups' rows, that of the overlaps from the graph. In each round all groups that are each
other's nearest join, which ends as joining the nearest two again and again does.

Sources: UPGMA, Sokal and Michener, 1958; reciprocal nearest neighbours, Murtagh, "A Survey of
Recent Advances in Hierarchical Clustering Algorithms", The Computer Journal 26, 1983.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sanreid.clustering.constraints import Constraints
from sanreid.clustering.graph import NEIGHBOURS, Graph, nearest_rows
from sanreid.neighbourhoods import Floats, Indices, pair_similarities
from sanreid.utils.extras import require_extra

__all__ = ["link"]


def link(rows: Floats, graph: Graph, threshold: float, known: Constraints) -> Indices:
    """Group rows by average linkage of cosine plus overlap.

    Groups are compared where a pair of their rows is in the graph. Of groups with more rows than
    a row has neighbours in the graph, each is also compared with the nearest others: all
    neighbours of their rows may lie within.

    Args:
        rows: (N, D) float32 of norm 1.
        graph: Of the rows.
        threshold: Mean similarity down to which groups are joined.
        known: Certain knowledge, which is kept in any case.

    Returns:
        (N,) int64, group numbers from 0 in the order of their first rows.
    """
    groups = _Groups(rows, graph, known)
    while True:
        while groups.join_nearest(threshold):
            pass
        if not groups.compare_large(threshold):
            return groups.of_row


class _Groups:
    """Groups of rows while they are joined. G groups, M compared pairs.

    Attributes:
        of_row: (N,) the group of each row, in the order of the groups' first rows.
    """

    def __init__(self, rows: Floats, graph: Graph, known: Constraints) -> None:
        self.of_row = _numbered(known.piece)
        self._sizes = np.bincount(self.of_row)
        self._sums = np.zeros((len(self._sizes), rows.shape[1]), dtype=np.float32)
        np.add.at(self._sums, self.of_row, rows)
        self._known = known
        both = graph.overlap.tocoo()
        upper = both.coords[0] < both.coords[1]
        self._one = np.concatenate([both.coords[0][upper], graph.first]).astype(np.int64)
        self._other = np.concatenate([both.coords[1][upper], graph.second]).astype(np.int64)
        self._overlap = np.concatenate([both.data[upper], np.zeros(len(graph.first))])
        self._merge_pairs(self.of_row)

    def join_nearest(self, threshold: float) -> bool:
        """Join all groups that are each other's nearest; return whether there were any."""
        mean = pair_similarities(self._sums, self._one, self._sums, self._other) + self._overlap
        mean /= self._sizes[self._one] * self._sizes[self._other]
        near = np.flatnonzero(mean >= threshold)
        near = near[~self._are_two_people(self._one[near], self._other[near])]
        pairs = _each_others_nearest(self._one[near], self._other[near], mean[near])
        if not len(pairs):
            return False
        kept, joined = self._one[near[pairs]], self._other[near[pairs]]
        self._sums[kept] += self._sums[joined]
        self._sizes[kept] += self._sizes[joined]
        stays = np.ones(len(self._sizes), dtype=np.bool_)
        stays[joined] = False
        number = np.cumsum(stays) - 1
        number[joined] = number[kept]  # the smaller number of the two, so the order stays
        self._sums, self._sizes = self._sums[stays], self._sizes[stays]
        self.of_row = number[self.of_row]
        self._merge_pairs(number)
        return True

    def compare_large(self, threshold: float) -> bool:
        """Compare large groups with the nearest others; return whether any of them may join."""
        large = np.flatnonzero(self._sizes > NEIGHBOURS)
        if len(large) < 2:
            return False
        means = (self._sums[large] / self._sizes[large, None]).astype(np.float32)
        nearest = nearest_rows(means, NEIGHBOURS + 1)
        one, other = np.repeat(large, nearest.shape[1] - 1), large[nearest[:, 1:]].ravel()
        fresh = ~np.isin(self._keys(one, other), self._keys(self._one, self._other))
        one, other = one[fresh], other[fresh]
        cosine = pair_similarities(self._sums, one, self._sums, other)
        near = cosine / (self._sizes[one] * self._sizes[other]) >= threshold
        near[near] = ~self._are_two_people(one[near], other[near])
        if not near.any():
            return False
        self._one = np.concatenate([self._one, one[near]])
        self._other = np.concatenate([self._other, other[near]])
        self._overlap = np.concatenate([self._overlap, np.zeros(int(near.sum()))])
        self._merge_pairs(np.arange(len(self._sizes)))
        return True

    def _merge_pairs(self, number: Indices) -> None:
        """Number the groups of the pairs anew, the smaller first, and keep each pair once."""
        one, other = number[self._one], number[self._other]
        apart = one != other
        keys = self._keys(one[apart], other[apart])
        pairs, pair = np.unique(keys, return_inverse=True)
        self._overlap = np.bincount(pair, self._overlap[apart], len(pairs))
        self._one, self._other = np.divmod(pairs, len(self._sizes))

    def _keys(self, one: Indices, other: Indices) -> Indices:
        """Return a number for each pair of groups, whichever comes first."""
        return np.minimum(one, other) * len(self._sizes) + np.maximum(one, other)

    def _are_two_people(self, one: Indices, other: Indices) -> NDArray[np.bool_]:
        """Return which pairs of groups hold two rows that are certainly two people."""
        cannot = self.of_row[self._known.cannot]
        apart = np.isin(self._keys(one, other), self._keys(cannot[:, 0], cannot[:, 1]))
        placed = np.flatnonzero(self._known.frame >= 0)
        if len(placed) and len(one):
            sparse = require_extra(
                "scipy.sparse", purpose="cluster_identities", install="sanreid[cluster]"
            )
            _, frame = np.unique(self._known.frame[placed], return_inverse=True)
            seen = sparse.csr_array(
                (np.ones(len(placed), np.float32), (self.of_row[placed], frame)),
                shape=(len(self._sizes), int(frame.max()) + 1),
            )
            apart |= seen[one].multiply(seen[other]).sum(axis=1) > 0
        return apart


def _each_others_nearest(one: Indices, other: Indices, mean: NDArray[np.float64]) -> Indices:
    """Return the pairs (M,) of which each group is the other's nearest, ties by number."""
    pair = np.tile(np.arange(len(one)), 2)
    group, partner = np.concatenate([one, other]), np.concatenate([other, one])
    order = np.lexsort((partner, -mean[pair], group))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = group[order][1:] != group[order][:-1]
    chosen, times = np.unique(pair[order][first], return_counts=True)
    mutual: Indices = chosen[times == 2]
    return mutual


def _numbered(groups: Indices) -> Indices:
    """Number groups anew, in the order of their first rows."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[group]
