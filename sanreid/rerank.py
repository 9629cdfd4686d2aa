"""k-reciprocal re-ranking of a whole query set against a gallery, without a dense N x N matrix.

Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
2017, as in the authors' Python code: each person's neighbourhood, made robust by asking the
neighbours back, is written as a sparse vector, and two crops are near when their vectors overlap.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.metrics.checks import check_fraction, check_whole
from sanreid.metrics.vectors import identical_rows, unit_rows_of_both

__all__ = ["k_reciprocal_rerank"]

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

_BLOCK_BYTES = 32 * 2**20  # similarities held at a time
_GROUPS = 8  # groups a neighbour, in the search for the nearest
_CHUNK = 256  # rows whose neighbourhoods are worked out together, fewer where they are large
_PAIRS = 2**18  # pairs of neighbours looked at together
_PRODUCTS = 2**22  # numbers multiplied together, for the similarities of single pairs
_ROUNDING = 1e-6  # a squared distance that float32 cannot tell from 0
_THREADS = min(8, os.cpu_count() or 1)


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
        distances go by place, queries first.
    """
    check_whole(k1, "k1")
    check_whole(k2, "k2")
    check_fraction(lambda_value, "lambda_value")
    queries, gallery = unit_rows_of_both(query_embeddings, gallery_embeddings)

    originals = np.empty((len(queries), len(gallery)), dtype=np.float32)
    rows = np.concatenate([queries, gallery])
    del queries, gallery
    near = _Neighbours(rows, max(k1 + 1, k2), originals)
    neighbourhoods = _expand_locally(_encode(rows, near, k1), near.ranks[:, :k2])
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
            farthest = _distance(block.min(axis=1))
            self.farthest[these] = np.where(farthest < _ROUNDING, np.inf, farthest)
            block[np.arange(len(block)), np.arange(these.start, these.stop)] = 2.0  # itself first
            self.ranks[these] = _largest(block, depth)

        with ThreadPoolExecutor(_THREADS) as threads:
            for start in range(0, count, step):
                part = rows[start : start + step]
                block = np.matmul(part, rows.T, out=buffer[: len(part)])
                block[:, repeats] = block[:, firsts]  # ties stay ties
                stop = min(start + step, num_queries)
                if start < stop:
                    similarities[start:stop] = block[: stop - start, num_queries:]
                share = -(-len(part) // _THREADS)
                cuts = range(0, len(part), share)
                pieces = [block[cut : cut + share] for cut in cuts]
                list(threads.map(search, [start + cut for cut in cuts], pieces))


def _distance(similarity: Floats) -> Floats:
    """Squared Euclidean distance of rows of norm 1; never below 0."""
    return np.maximum(2 - 2 * similarity, np.float32(0))


def _largest(block: Floats, depth: int) -> Places:
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
    nearest: Places = column[order[starts[:, None] + np.arange(depth)]]
    return nearest


@dataclass(frozen=True)
class _Sparse:
    """(N, N) float32, row after row: row i is ``columns`` and ``values`` from start i on."""

    starts: Places  # (N + 1,)
    columns: Places
    values: Floats

    @classmethod
    def from_rows(cls, parts: list[tuple[Places, Places, Floats]]) -> _Sparse:
        """Join (entries a row, columns, values) of consecutive rows."""
        sizes = np.concatenate([size for size, _, _ in parts])
        return cls(
            starts=np.concatenate([[0], np.cumsum(sizes)]),
            columns=np.concatenate([column for _, column, _ in parts]),
            values=np.concatenate([value for _, _, value in parts]),
        )

    def entries(self, rows: Places) -> tuple[Places, Places]:
        """Where the entries of some rows are, row after row, and how many each has."""
        starts = self.starts[rows]
        sizes = self.starts[rows + 1] - starts
        before = np.cumsum(sizes) - sizes
        return np.arange(sizes.sum()) + np.repeat(starts - before, sizes), sizes

    def transposed(self, first_row: int) -> _Sparse:
        """Column after column, of the rows from ``first_row`` on, counted from there."""
        kept = slice(self.starts[first_row], None)
        sizes = np.diff(self.starts)[first_row:]
        order = np.argsort(self.columns[kept], kind="stable")
        counts = np.bincount(self.columns[kept], minlength=len(self.starts) - 1)
        return _Sparse(
            starts=np.concatenate([[0], np.cumsum(counts)]),
            columns=np.repeat(np.arange(len(sizes)), sizes)[order],
            values=self.values[kept][order],
        )


def _encode(rows: Floats, near: _Neighbours, k1: int) -> _Sparse:
    """Each row's expanded k-reciprocal neighbours, weighted by exp(-distance), summing to 1."""
    count = len(rows)
    ranks = near.ranks[:, : k1 + 1]
    half_ranks = ranks[:, : round(k1 / 2) + 1]
    mutual, half_mutual = _asked_back(ranks), _asked_back(half_ranks)
    step = _rows_at_a_time(ranks.shape[1] * half_ranks.shape[1])

    def encode(start: int) -> tuple[Places, Places, Floats]:
        these = slice(start, min(start + step, count))
        chunk, chunk_mutual = ranks[these], mutual[these]
        offset = np.arange(len(chunk))[:, None] * count
        table = np.zeros(len(chunk) * count, dtype=np.bool_)  # is it a reciprocal neighbour?
        neighbours = (offset + chunk)[chunk_mutual]
        table[neighbours] = True

        theirs = offset[:, :, None] + half_ranks[chunk]  # (rows, k1 + 1, k1 / 2 + 1)
        counted = half_mutual[chunk] & chunk_mutual[:, :, None]
        shared = (table[theirs] & counted).sum(axis=2)
        accepted = 3 * shared > 2 * counted.sum(axis=2)
        table[theirs[counted & accepted[:, :, None]]] = True

        row, column = np.divmod(np.flatnonzero(table), count)
        distance = _distance(_similarities(rows, row + start, column))
        weight = np.exp(-distance / near.farthest[row + start])
        weight = (weight / np.bincount(row, weights=weight)[row]).astype(np.float32)
        return np.bincount(row, minlength=len(chunk)), column, weight

    return _Sparse.from_rows(_in_threads(encode, range(0, count, step)))


def _rows_at_a_time(each: int) -> int:
    """How many rows to work on together when each one needs about ``each`` pairs."""
    return max(1, min(_CHUNK, _PAIRS // each))


def _similarities(rows: Floats, these: Places, those: Places) -> Floats:
    """(M,) similarities of ``these`` rows to ``those``, pair by pair."""
    found = np.empty(len(these), dtype=np.float32)
    step = max(1, _PRODUCTS // rows.shape[1])
    for start in range(0, len(these), step):
        part = slice(start, start + step)
        np.einsum("nd,nd->n", rows[these[part]], rows[those[part]], out=found[part])
    return found


def _asked_back(ranks: Places) -> NDArray[np.bool_]:
    """(N, k): is row i among the k nearest of its own neighbour?"""
    mutual = np.empty(ranks.shape, dtype=np.bool_)
    step = _rows_at_a_time(ranks.shape[1] ** 2)
    for start in range(0, len(ranks), step):
        these = slice(start, start + step)
        chunk = ranks[these]
        itself = np.arange(start, start + len(chunk))[:, None, None]
        mutual[these] = (ranks[chunk] == itself).any(axis=2)
    return mutual


def _expand_locally(encoded: _Sparse, nearest: Places) -> _Sparse:
    """The mean of the vectors of each row's nearest rows, itself among them."""
    count, k2 = nearest.shape
    if k2 == 1:
        return encoded
    step = _rows_at_a_time(k2 * len(encoded.columns) // count)

    def expand(start: int) -> tuple[Places, Places, Floats]:
        chunk = nearest[start : start + step]
        entries, sizes = encoded.entries(chunk.ravel())
        owner = np.repeat(np.arange(chunk.size) // k2, sizes)
        places, place = np.unique(owner * count + encoded.columns[entries], return_inverse=True)
        values = np.bincount(place, weights=encoded.values[entries]) / k2
        row, column = np.divmod(places, count)
        return np.bincount(row, minlength=len(chunk)), column, values.astype(np.float32)

    return _Sparse.from_rows(_in_threads(expand, range(0, count, step)))


def _mix_in_jaccard(
    similarities: Floats, neighbourhoods: _Sparse, farthest: Floats, lambda_value: float
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
            original = _distance(row) / farthest[query]
            row[:] = (1 - lambda_value) * jaccard + lambda_value * original

    _in_threads(mix, range(0, num_queries, _CHUNK))


_Result = TypeVar("_Result")


def _in_threads(work: Callable[[int], _Result], starts: range) -> list[_Result]:
    """Results in the order of ``starts``; NumPy leaves the interpreter to others meanwhile."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(work, starts))
