"""The graph of crops: nearest neighbours by FAISS, and how much their neighbourhoods overlap.

Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
2017. Memory grows with N times the number of neighbours, never with N squared.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sanreid.neighbourhoods import (
    Floats,
    Indices,
    encode_neighbourhoods,
    expand_locally,
    in_threads,
    pair_similarities,
)
from sanreid.utils.extras import require_extra

__all__ = ["NEIGHBOURS", "Graph", "build_graph", "nearest_rows", "overlaps"]

Rows = NDArray[np.int32]

NEIGHBOURS = 10  # that are asked back, k1 of the source
_AVERAGED = 4  # neighbourhoods averaged, k2
_NEAR = 0.4  # cosine that a neighbour needs
_UNRELATED = 2.0  # squared distance of two unrelated rows of norm 1
_EXACT = 32_768  # rows up to which every pair is compared
_LISTS_PER_ROOT = 2  # lists of the index for more rows, times the root of their number
_PROBED = 1 / 16  # share of the lists that are searched
_TRAINING = 64  # rows per list that the index is trained on
_INCIDENCES = 2**20  # shared members of neighbourhoods looked at together


class Graph(NamedTuple):
    """What is known of pairs of rows.

    Attributes:
        overlap: (N, N) symmetric SciPy array of float32, the overlap of neighbourhoods, 0 to 1.
        neighbours: (M, 2) int64, rows and their near neighbours; a pair may be there twice, and
            a row with itself.
    """

    overlap: Any
    neighbours: Indices


def build_graph(rows: Floats) -> Graph:
    """Return the near neighbours of rows, and the overlaps of their neighbourhoods.

    Args:
        rows: (N, D) float32 of norm 1.
    """
    sparse = require_extra(
        "scipy.sparse", purpose="cluster_identities", install="sanreid[cluster]"
    )
    count = len(rows)
    ranks = near_enough(rows, nearest_rows(rows, NEIGHBOURS + 1))
    first, second, shared = overlaps(rows, ranks)
    one_way = sparse.coo_array((shared, (first, second)), shape=(count, count)).tocsr()
    owner = np.repeat(np.arange(count), ranks.shape[1] - 1)
    neighbours = np.stack([owner, ranks[:, 1:].ravel()], axis=1)
    return Graph(overlap=one_way + one_way.T, neighbours=neighbours)


def nearest_rows(rows: Floats, depth: int) -> Indices:
    """Return the nearest rows of every row by cosine, itself first.

    Up to 32,768 rows every pair is compared. Beyond, an inverted-file index looks at a
    sixteenth of them, those in the cells around the row.

    Args:
        rows: (N, D) float32 of norm 1, contiguous.
        depth: Rows wanted, itself included.

    Returns:
        (N, min(depth, N)) int64.
    """
    _, found = nearest_among(rows, rows, min(depth, len(rows)), probed=_PROBED)
    return _itself_first(found)


def nearest_among(
    rows: Floats, others: Floats, depth: int, *, probed: float
) -> tuple[Floats, Indices]:
    """Return the nearest of ``others`` of every row, and the inner products with them.

    Args:
        rows: (N, D) float32, contiguous.
        others: (M, D) float32, contiguous.
        depth: How many, at most M.
        probed: Share of the others that an index searches, where there are too many for an
            exact search.

    Returns:
        (N, depth) float32 and (N, depth) int64; -1 where an index found fewer.
    """
    faiss = import_module("faiss")
    count, dim = others.shape
    if len(rows) * count <= _EXACT**2:
        products, found = faiss.knn(rows, others, depth, metric=faiss.METRIC_INNER_PRODUCT)
    else:
        num_lists = int(_LISTS_PER_ROOT * count**0.5)
        quantizer = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFFlat(quantizer, dim, num_lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid = _TRAINING
        index.cp.min_points_per_centroid = 1  # as few as there are, without a word on stderr
        index.nprobe = max(1, round(num_lists * probed))
        index.train(others)
        index.add(others)
        products, found = index.search(rows, depth)
    return products, found.astype(np.int64)


def _itself_first(found: Indices) -> Indices:
    """Put each row's own number first, where duplicates came before it or pushed it out.

    Indices that hold nothing (-1, an index with too few rows nearby) become the row itself.
    """
    own = np.arange(len(found))[:, None]
    found = np.where(found < 0, own, found)
    missing = ~(found == own).any(axis=1)
    found[missing, -1] = own[missing, 0]
    order = np.argsort(found != own, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def near_enough(rows: Floats, ranks: Indices) -> Indices:
    """Return ranks in which a neighbour that is too far away is the row itself.

    Where a person has fewer crops than there are neighbours, the others show other
    people, and without this the ones that they share would join them.
    """
    owner = np.repeat(np.arange(len(ranks)), ranks.shape[1])
    cosine = pair_similarities(rows, owner, rows, ranks.ravel()).reshape(ranks.shape)
    return np.where(cosine >= _NEAR, ranks, ranks[:, :1])


def overlaps(rows: Floats, ranks: Indices) -> tuple[Rows, Rows, Floats]:
    """Return the pairs of rows whose k-reciprocal neighbourhoods overlap.

    Args:
        rows: (N, D) float32 of norm 1.
        ranks: As :func:`nearest_rows` returns them, ``NEIGHBOURS + 1`` deep.

    Returns:
        (M,) and (M,) int32: the two rows of each pair, the first smaller; and (M,) the Jaccard
        similarity of their neighbourhoods, above 0, at most 1.
    """
    count = len(rows)
    scale = np.full(count, _UNRELATED, dtype=np.float32)
    encoded = encode_neighbourhoods(rows, ranks, scale, NEIGHBOURS)
    neighbourhoods = expand_locally(encoded, ranks[:, :_AVERAGED])
    by_member = neighbourhoods.transposed(0)
    holders = np.diff(by_member.starts)
    work = np.add.reduceat(holders[neighbourhoods.columns], neighbourhoods.starts[:-1])
    step = max(1, int(_INCIDENCES * count // max(1, work.sum())))

    def overlap(start: int) -> tuple[Rows, Rows, Floats]:
        these = np.arange(start, min(start + step, count))
        mine, sizes = neighbourhoods.entries(these)
        owner = np.repeat(these, sizes)
        entries, shared_by = by_member.entries(neighbourhoods.columns[mine])
        first = np.repeat(owner, shared_by)
        second = by_member.columns[entries]
        smaller = np.minimum(
            by_member.values[entries], np.repeat(neighbourhoods.values[mine], shared_by)
        )
        later = second > first
        pairs, group = np.unique(first[later] * count + second[later], return_inverse=True)
        shared = np.minimum(np.bincount(group, smaller[later], len(pairs)), 1)  # rounding
        one, other = np.divmod(pairs, count)
        jaccard = (shared / (2 - shared)).astype(np.float32)
        return one.astype(np.int32), other.astype(np.int32), jaccard

    parts = in_threads(overlap, range(0, count, step))
    first, second, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return first, second, values
