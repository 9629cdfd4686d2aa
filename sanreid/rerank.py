"""k-reciprocal re-ranking of a whole query set against a gallery, without a dense N x N matrix.

Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
2017, as in the authors' Python code: each person's neighbourhood, made robust by asking the
neighbours back, is written as a sparse vector, and two crops are near when their vectors overlap.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike

from sanreid.metrics.vectors import identical_rows, unit_rows_of_both
from sanreid.neighbourhoods import (
    THREADS,
    Floats,
    Indices,
    SparseRows,
    encode_neighbourhoods,
    expand_locally,
    in_threads,
    squared_distance,
)
from sanreid.utils.arguments import as_count, as_fraction

__all__ = ["k_reciprocal_rerank"]

_BLOCK_BYTES = 32 * 2**20  # similarities held at a time
_GROUPS = 8  # groups a neighbour, in the search for the nearest
_CHUNK = 256  # queries compared in one piece of work
_ROUNDING = 1e-6  # a squared distance that float32 cannot distinguish from 0


def k_reciprocal_rerank(
    query_embeddings: ArrayLike,
    gallery_embeddings: ArrayLike,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> Floats:
    """Distances that also ask whether query and entry have the same neighbours.

    The result is ``(1 - lambda_value)`` times the Jaccard distance of the two neighbourhoods plus
    ``lambda_value`` times the original distance. The original distance is the squared Euclidean
    one of normalised rows, each query's divided by its largest over queries and gallery
    together. Neighbours are looked for among queries and gallery together too, so a query's
    result depends on the other queries.

    Memory: the result (4 Q G bytes: 3.8 GB for 11,659 x 82,161), a float32 copy of the
    embeddings, and about 200 MB of blocks. Time grows with (Q + G) squared.

    Args:
        query_embeddings: (Q, D) real numbers of any scale; normalised inside, in float32.
        gallery_embeddings: (G, D).
        k1: Neighbours that are asked back, at least 1.
        k2: Neighbours, itself included, over which a neighbourhood is averaged, at least 1;
            1 leaves it as it is.
        lambda_value: Weight of the original distance, 0 to 1.

    Returns:
        (Q, G) float32, 0 to 1, smaller is nearer; for
        :func:`~sanreid.metrics.evaluate_distances`.

    Raises:
        InputError: A row that is zero, NaN or infinite, no rows, dimensions that differ, or a
            parameter out of range.

    Source:
        Zhong et al., CVPR 2017. A crop always counts as its own nearest neighbour, equal
        distances rank by index, queries first.
    """
    k1, k2 = as_count(k1, "k1"), as_count(k2, "k2")
    lambda_value = as_fraction(lambda_value, "lambda_value")
    queries, gallery = unit_rows_of_both(query_embeddings, gallery_embeddings)

    originals = np.empty((len(queries), len(gallery)), dtype=np.float32)
    rows = np.concatenate([queries, gallery])
    del queries, gallery
    near = _Neighbours(rows, max(k1 + 1, k2), originals)
    encoded = encode_neighbourhoods(rows, near.ranks, near.farthest, k1)
    neighbourhoods = expand_locally(encoded, near.ranks[:, :k2])
    _mix_in_jaccard(originals, neighbourhoods, near.farthest, lambda_value)
    return originals


class _Neighbours:
    """The nearest rows of every row, and how far the farthest one is.

    Args:
        rows: (N, D) float32 of norm 1, queries first.
        depth: Neighbours a row, itself included; N where there are fewer.
        similarities: (Q, G) float32, filled with the queries' similarities to the gallery.

    Attributes:
        ranks: (N, depth) int64, itself first, then nearest first.
        farthest: (N,) float32, the largest squared Euclidean distance from the row; infinite
            where that is nothing but rounding, so that what is divided by it becomes 0.
    """

    def __init__(self, rows: Floats, depth: int, similarities: Floats) -> None:
        count, num_queries = len(rows), len(similarities)
        depth = min(depth, count)
        self.ranks = np.empty((count, depth), dtype=np.int64)
        self.farthest = np.empty(count, dtype=np.float32)
        repeats, firsts = identical_rows(rows)
        step = min(count, max(64, _BLOCK_BYTES // (4 * count)))
        buffer = np.empty((step, count), dtype=np.float32)

        def search(first: int, block: Floats) -> None:
            these = slice(first, first + len(block))
            farthest = squared_distance(block.min(axis=1))
            self.farthest[these] = np.where(farthest < _ROUNDING, np.inf, farthest)
            block[np.arange(len(block)), np.arange(these.start, these.stop)] = 2.0  # itself first
            self.ranks[these] = _largest(block, depth)

        with ThreadPoolExecutor(THREADS) as threads:
            for start in range(0, count, step):
                part = rows[start : start + step]
                block = np.matmul(part, rows.T, out=buffer[: len(part)])
                block[:, repeats] = block[:, firsts]  # ties stay ties
                stop = min(start + step, num_queries)
                if start < stop:
                    similarities[start:stop] = block[: stop - start, num_queries:]
                share = -(-len(part) // THREADS)
                cuts = range(0, len(part), share)
                pieces = [block[cut : cut + share] for cut in cuts]
                list(threads.map(search, [start + cut for cut in cuts], pieces))


def _largest(block: Floats, depth: int) -> Indices:
    """Columns of the largest numbers in each row, falling; ties by column.

    The columns are dealt into groups; at least ``depth`` numbers of a row reach the
    ``depth``-th largest of its groups' maxima, and hardly more than that do: only these
    are sorted.
    """
    groups = _GROUPS * depth
    height = block.shape[1] // groups
    if height < 4:
        return np.argsort(-block, axis=1, kind="stable")[:, :depth]
    dealt = block[:, : height * groups].reshape(len(block), height, groups)
    maxima = dealt.max(axis=1)
    enough = np.partition(maxima, groups - depth, axis=1)[:, groups - depth]
    flat = np.flatnonzero(block >= enough[:, None])
    row, column = np.divmod(flat, block.shape[1])
    order = np.lexsort((-block[row, column], row))  # stable: equal values stay in column order
    starts = np.searchsorted(row, np.arange(len(block)))
    nearest: Indices = column[order[starts[:, None] + np.arange(depth)]]
    return nearest


def _mix_in_jaccard(
    similarities: Floats, neighbourhoods: SparseRows, farthest: Floats, lambda_value: float
) -> None:
    """Turn the (Q, G) similarities into the final distances, in place."""
    num_queries, num_gallery = similarities.shape
    by_member = neighbourhoods.transposed(num_queries)

    def mix(first: int) -> None:
        for query in range(first, min(first + _CHUNK, num_queries)):
            mine = slice(neighbourhoods.starts[query], neighbourhoods.starts[query + 1])
            entries, sizes = by_member.entries(neighbourhoods.columns[mine])
            smaller = np.minimum(
                by_member.values[entries], np.repeat(neighbourhoods.values[mine], sizes)
            )
            shared = np.bincount(by_member.columns[entries], smaller, minlength=num_gallery)
            np.minimum(shared, 1, out=shared)  # rounding
            jaccard = 1 - shared / (2 - shared)
            row = similarities[query]
            original = squared_distance(row) / farthest[query]
            row[:] = (1 - lambda_value) * jaccard + lambda_value * original

    in_threads(mix, range(0, num_queries, _CHUNK))
