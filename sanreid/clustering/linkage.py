"""Average linkage over a sparse graph, by SciPy, part by part.

Two groups of crops are joined as long as the mean similarity over all their pairs reaches the
threshold. Such groups have at least one pair that does, so no group crosses from one connected
component of those pairs to another, and each component is clustered for itself.

Source: SciPy's ``scipy.cluster.hierarchy``; the method is UPGMA, Sokal and Michener, 1958.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.clustering.constraints import Constraints
from sanreid.clustering.graph import Graph
from sanreid.neighbourhoods import Floats, Indices
from sanreid.utils.extras import require_extra

__all__ = ["link"]

_LARGEST = 4096  # crops compared pair by pair
_STEP = 0.05  # by which the bar rises until a larger component falls apart
_TOP = 3.0  # a distance is this less the similarity, which is at most 2
_NEVER = 1e9  # distance of two people: a mean with it in stays above any threshold


def link(
    rows: Floats,
    graph: Graph,
    threshold: float,
    known: Constraints,
) -> Indices:
    """Group rows by average linkage of cosine plus overlap.

    A component of more than 4,096 rows is first divided at its weakest edges.

    Args:
        rows: (N, D) float32 of norm 1.
        graph: Of the rows; its edges reach the threshold.
        threshold: Mean similarity down to which groups are joined.
        known: Certain knowledge, which is kept in any case.

    Returns:
        (N,) int64, group numbers from 0 in the order of their first rows.
    """
    hierarchy = require_extra(
        "scipy.cluster.hierarchy", purpose="cluster_identities", install="sanreid[cluster]"
    )
    distance = require_extra(
        "scipy.spatial.distance", purpose="cluster_identities", install="sanreid[cluster]"
    )
    part_of = _parts(len(rows), graph, threshold, known.must)
    order = np.argsort(part_of, kind="stable")
    groups = np.empty(len(rows), dtype=np.int64)
    total = 0
    for part in np.split(order, np.flatnonzero(np.diff(part_of[order])) + 1):
        if len(part) == 1:
            groups[part] = total
        else:
            apart = distance.squareform(_distances(rows, graph.overlap, part, known), checks=False)
            tree = hierarchy.linkage(apart, method="average")
            groups[part] = total + hierarchy.fcluster(tree, _TOP - threshold, "distance") - 1
        total = int(groups[part].max()) + 1
    return in_order(groups)


def in_order(groups: Indices) -> Indices:
    """Number groups anew, in the order of their first rows."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[group]


def _distances(
    rows: Floats,
    overlap: Any,  # noqa: ANN401 - SciPy's sparse arrays have no types
    part: Indices,
    known: Constraints,
) -> NDArray[np.float64]:
    """(n, n) distances of a part's rows: 0 where they must join, huge where they cannot."""
    similarity = (rows[part] @ rows[part].T).astype(np.float64)
    similarity += overlap[part][:, part].toarray()
    distances = np.maximum(_TOP - similarity, _TOP - 2.0)
    piece = known.piece[part]
    distances[piece[:, None] == piece] = 0.0  # so these are joined before all others
    distances[known.forbidden(part)] = _NEVER
    return distances


def _parts(count: int, graph: Graph, threshold: float, must: Indices) -> Indices:
    """(count,) number of each row's component of at most ``_LARGEST`` rows.

    Only rows that must join make a larger one.
    """
    sparse = require_extra(
        "scipy.sparse", purpose="cluster_identities", install="sanreid[cluster]"
    )
    csgraph = require_extra(
        "scipy.sparse.csgraph", purpose="cluster_identities", install="sanreid[cluster]"
    )
    first = np.concatenate([must[:, 0], graph.first])
    second = np.concatenate([must[:, 1], graph.second])
    strength = np.concatenate([np.full(len(must), np.inf), graph.similarity])
    bar = threshold
    while True:
        links = sparse.coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
        _, part = csgraph.connected_components(links, directed=False)
        large = np.bincount(part) > _LARGEST
        bar += _STEP
        if not large.any() or bar > 2.0 + _STEP:
            parts: Indices = part.astype(np.int64)
            return parts
        stays = (part[first] == part[second]) & (~large[part[first]] | (strength >= bar))
        first, second, strength = first[stays], second[stays], strength[stays]
