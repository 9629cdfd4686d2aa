"""How surely each crop is in its group: nearer to it than to any other."""

from __future__ import annotations

from typing import Any

import numpy as np

from sanreid.clustering.graph import nearest_among
from sanreid.neighbourhoods import Floats, Indices, pair_similarities
from sanreid.utils.extras import require_extra

__all__ = ["confidences"]

_PROBED = 1 / 4  # share of the clusters searched, where they are too many for an exact search


def confidences(
    rows: Floats,
    overlap: Any,  # noqa: ANN401 - SciPy's sparse arrays have no types
    groups: Indices,
    single: float,
) -> tuple[Floats, Floats]:
    """Measure how much nearer each crop is to its own group than to the nearest other.

    Args:
        rows: (N, D) float32 of norm 1.
        overlap: (N, N) overlaps of neighbourhoods.
        groups: (N,) the group of each crop, from 0.
        single: Stands for the similarity between a crop and its group where it is alone in it:
            what it would have needed to join another.

    Returns:
        (N,) the share of the similarity to the own group that the nearest other lacks, 0 to 1;
        and (N,) the similarities to the own group's other crops, summed.
    """
    sparse = require_extra(
        "scipy.sparse", purpose="cluster_identities", install="sanreid[cluster]"
    )
    count, sizes = len(groups), np.bincount(groups)
    member = sparse.csr_array(
        (np.ones(count, np.float32), (np.arange(count), groups)), shape=(count, len(sizes))
    )
    sums = np.ascontiguousarray(member.T @ rows)
    shared = (overlap @ member).tocoo()
    row, group = (index.astype(np.int64) for index in shared.coords)
    inside = group == groups[row]

    typical = pair_similarities(rows, np.arange(count), sums, groups) - 1
    typical[row[inside]] += shared.data[inside]
    own = np.where(sizes[groups] > 1, typical / np.maximum(sizes[groups] - 1, 1), single)

    other = _nearest_clusters(rows, sums, groups, sizes)
    row, group, overlaps_it = row[~inside], group[~inside], shared.data[~inside]
    nearness = (pair_similarities(rows, row, sums, group) + overlaps_it) / sizes[group]
    np.maximum.at(other, row, nearness.astype(np.float32))
    confidence = np.clip((own - other) / np.maximum(own, 1e-6), 0, 1)
    return confidence.astype(np.float32), typical


def _nearest_clusters(rows: Floats, sums: Floats, groups: Indices, sizes: Indices) -> Floats:
    """(N,) mean cosine to the nearest other cluster, at least 0.

    A neighbourhood need not reach it: all neighbours of a crop may lie within its own cluster.
    """
    clusters = np.flatnonzero(sizes > 1)
    if len(clusters) < 2:
        return np.zeros(len(rows), dtype=np.float32)
    means = (sums[clusters] / sizes[clusters, None]).astype(np.float32)
    cosine, found = nearest_among(rows, means, 2, probed=_PROBED)
    is_other = (found >= 0) & (clusters[found] != groups[:, None])
    nearest: Floats = np.where(is_other, cosine, np.float32(0)).max(axis=1).clip(min=0)
    return nearest
