"""Exact search by cosine: matrix products block by block, then a proven ranking.

A block of stored rows is multiplied with all queries in float32 (BLAS). What that product says
may differ from the true dot product by at most ``dim * 2**-24`` (rows have norm 1), whatever the
order of its sums; so every entry within twice that of the k-th best is kept, and only those few
are computed again in float64 and rounded once to float32. The result is the same for every block
size, machine and thread count, equal rows get equal similarities wherever they lie, and ties
go to the smaller id. No second copy of the vectors is made, for camera-normalised similarities
neither: see :mod:`~sanreid.gallery.index.normalization`.

Source of the bound: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.normalization import Normalization
from sanreid.gallery.index.rows import Candidates, Rows, RowSearch

__all__ = ["exact_search", "nearly_best", "rank_candidates"]

_BLOCK = 8192  # stored rows multiplied at once; with 64 queries 2 MiB of similarities
_FIRST_BLOCK = 1024  # a small first block finds a threshold cheaply
_QUERIES = 256  # queries multiplied at once
_RESCORE = 128  # candidates held in float64 at once, so that they stay in the cache
_SPARSE = 0.5  # below this share of admitted rows, gathering beats masking


def exact_search(search: RowSearch, *, start: int = 0) -> Candidates:
    """Find the k admitted rows nearest to each query; rows before ``start`` are not searched."""
    rows, queries, k = search.rows, search.queries, min(search.k, len(search.rows))
    found = []
    for first in range(0, len(queries), _QUERIES):
        part = slice(first, min(first + _QUERIES, len(queries)))
        scan = _Scan(queries[part], k, search.min_similarity, rows.normalization)
        exclusion = None if search.exclusion is None else search.exclusion.of(part)
        for numbers, block, barred in _blocks(rows, start, search.admitted):
            scan.add(
                numbers, block, barred, None if exclusion is None else exclusion.block(numbers)
            )
        pairs = scan.candidates()
        ranked = rank_candidates(queries[part], *pairs, rows, k, search.min_similarity)
        if len(queries) <= _QUERIES:
            return ranked
        found.append(Candidates(ranked.queries + first, ranked.rows, ranked.similarities))
    if not found:
        return Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    return Candidates(*(np.concatenate(column) for column in zip(*found, strict=True)))


def rank_candidates(
    queries: NDArray[np.float32],
    numbers: NDArray[np.int64],
    found: NDArray[np.int64],
    rows: Rows,
    k: int,
    min_similarity: float | None,
) -> Candidates:
    """Score (query, row) pairs exactly and keep the first k of each query.

    Args:
        queries: (Q, D).
        numbers: (C,) query of each pair.
        found: (C,) row of each pair.
        rows: Where the rows are.
        k: Pairs kept per query.
        min_similarity: Pairs below are dropped.

    Returns:
        The kept pairs.
    """
    similarities, asked = np.empty(len(found), dtype=np.float32), queries.astype(np.float64)
    for start in range(0, len(found), _RESCORE):
        part = slice(start, start + _RESCORE)
        stored = rows.take(found[part]).astype(np.float64)
        beside = asked if len(asked) == 1 else asked[numbers[part]]
        similarities[part] = np.einsum("ij,ij->i", beside, stored)
    np.minimum(similarities, 1.0, out=similarities)
    np.maximum(similarities, -1.0, out=similarities)
    if min_similarity is not None:
        near = similarities >= np.float32(min_similarity)
        numbers, found, similarities = numbers[near], found[near], similarities[near]
    if len(queries) == 1:
        order = np.lexsort((rows.ids[found], -similarities))[:k]
        return Candidates(numbers[: len(order)], found[order], similarities[order])
    order = np.lexsort((rows.ids[found], -similarities, numbers))
    numbers = numbers[order]
    starts = np.searchsorted(numbers, np.arange(len(queries)))
    kept = np.arange(len(numbers)) - starts[numbers] < k
    order = order[kept]
    return Candidates(numbers[kept], found[order], similarities[order])


def nearly_best(
    queries: NDArray[np.float32],
    numbers: NDArray[np.int64],
    found: NDArray[np.int64],
    rows: Rows,
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep the (query, row) pairs that may be among the k best of their query.

    Args:
        queries: (Q, D).
        numbers: (C,) query of each pair, ascending.
        found: (C,) row of each pair.
        rows: Where the rows are.
        k: Pairs wanted per query.

    Returns:
        The kept pairs: for each query the k best, and those that float32 cannot distinguish from
        the k-th.
    """
    similarities = np.empty(len(found), dtype=np.float32)
    for start in range(0, len(found), _RESCORE):
        part = slice(start, start + _RESCORE)
        np.einsum(
            "ij,ij->i", queries[numbers[part]], rows.take(found[part]), out=similarities[part]
        )
    counts = np.bincount(numbers, minlength=len(queries))
    starts = np.cumsum(counts) - counts
    table = np.full((len(queries), max(k, int(counts.max(initial=0)))), -np.inf, np.float32)
    table[numbers, np.arange(len(numbers)) - starts[numbers]] = similarities
    kth = np.partition(table, -k, axis=1)[:, -k] - _slack(queries.shape[1])
    kept = similarities >= kth[numbers]
    return numbers[kept], found[kept]


class _Scan:
    """Candidates of one batch of queries, gathered block by block."""

    def __init__(
        self,
        queries: NDArray[np.float32],
        k: int,
        min_similarity: float | None,
        normalization: Normalization | None,
    ) -> None:
        self._queries_t = np.ascontiguousarray(queries.T)
        count, dim = queries.shape
        self._k = k
        self._slack = _slack(dim)
        self._terms = None
        if normalization is not None:  # three more roundings than a product, each no larger
            self._terms = normalization.block_terms(queries, float(2 * self._slack))
        floor = -2.0 if min_similarity is None else max(min_similarity, -2.0) - self._slack
        self._threshold = np.full(count, floor, dtype=np.float32)
        self._best = self._buffer = np.empty(0, dtype=np.float32)
        self._numbers: list[NDArray[np.int64]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._similarities: list[NDArray[np.float32]] = []
        self._held = 0
        self._is_first = True

    def add(
        self,
        rows: NDArray[np.int64] | slice,
        block: NDArray[np.float32],
        barred: NDArray[np.bool_] | None,
        excluded: NDArray[np.bool_] | None,
    ) -> None:
        """Keep of one block every row that may still be among the k best."""
        count = self._queries_t.shape[1]
        if len(self._buffer) < len(block) * count:
            self._buffer = np.empty(len(block) * count, dtype=np.float32)
        similarities = self._buffer[: len(block) * count].reshape(len(block), count)
        _product(block, self._queries_t, similarities)
        if self._terms is not None:
            self._terms.raise_to_bounds(similarities, rows)
        if barred is not None:
            similarities[barred] = -np.inf
        if excluded is not None:
            similarities[excluded] = -np.inf
        is_first, self._is_first = self._is_first, False
        if is_first:
            self._set_threshold(similarities, rows)
        numbers, found, values = self._near(similarities, rows)
        if not len(found):
            return
        if not is_first:
            if self._terms is None:
                self._raise_threshold(numbers, values, self._slack)
            else:  # the values are upper bounds: a threshold comes from lower ones
                self._raise_threshold(numbers, values - self._terms.widths(found), np.float32(0))
            kept = values >= self._threshold[numbers]
            numbers, values, found = numbers[kept], values[kept], found[kept]
        self._numbers.append(numbers)
        self._similarities.append(values)
        self._rows.append(found)
        self._held += len(found)
        if self._held > 4 * count * self._k + (1 << 18):
            self._prune()

    def _near(
        self, similarities: NDArray[np.float32], rows: NDArray[np.int64] | slice
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return query, row and similarity of what reaches the threshold, ascending by query."""
        near = np.flatnonzero(similarities >= self._threshold)
        values, count = similarities.reshape(-1)[near], len(self._threshold)
        if count == 1:
            numbers, inside = np.zeros(len(near), dtype=np.int64), near
        else:
            numbers, inside = near % count, near // count
            order = np.argsort(numbers, kind="stable")
            numbers, values, inside = numbers[order], values[order], inside[order]
        if isinstance(rows, slice):
            return numbers, inside + rows.start if rows.start else inside, values
        return numbers, rows[inside], values

    def candidates(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (query, row) pairs; the k best of each query are among them."""
        if not self._rows:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if len(self._rows) > 1:  # a single block was kept by the last threshold
            self._prune()
        return self._numbers[0], self._rows[0]

    def _set_threshold(
        self, similarities: NDArray[np.float32], rows: NDArray[np.int64] | slice
    ) -> None:
        """Take the k best of a first block, (rows, Q), all at once."""
        slack, columns = self._slack, similarities.T
        if self._terms is not None:
            slack, columns = np.float32(0), columns - self._terms.widths(rows)
        count = columns.shape[1]
        if count <= self._k:
            self._best = np.full((len(columns), self._k), -np.inf, dtype=np.float32)
            self._best[:, :count] = columns
            worst = self._best.min(axis=1)
        else:
            self._best = np.partition(columns, count - self._k, axis=1)[:, count - self._k :]
            worst = self._best[:, 0]
        np.maximum(self._threshold, worst - slack, out=self._threshold)

    def _raise_threshold(
        self, numbers: NDArray[np.int64], values: NDArray[np.float32], slack: np.float32
    ) -> None:
        """Keep the k best values of each query; ``numbers`` ascend."""
        counts = np.bincount(numbers, minlength=len(self._threshold))
        touched = np.flatnonzero(counts)
        widest = int(counts.max())
        starts = np.cumsum(counts) - counts
        padded = np.full((len(touched), self._k + widest), -np.inf, dtype=np.float32)
        padded[:, : self._k] = self._best[touched]
        line = np.cumsum(counts > 0) - 1
        padded[line[numbers], self._k + np.arange(len(numbers)) - starts[numbers]] = values
        padded.partition(widest, axis=1)
        self._best[touched] = padded[:, widest:]
        self._threshold[touched] = np.maximum(self._threshold[touched], padded[:, widest] - slack)

    def _prune(self) -> None:
        numbers, rows = np.concatenate(self._numbers), np.concatenate(self._rows)
        values = np.concatenate(self._similarities)
        kept = values >= self._threshold[numbers]
        self._numbers, self._rows = [numbers[kept]], [rows[kept]]
        self._similarities = [values[kept]]
        self._held = int(kept.sum())


def _slack(dim: int) -> np.float32:
    """Twice the bound of one product's error: what float32 cannot distinguish."""
    return np.float32((dim + 8) * 2.0**-23)


def _product(
    block: NDArray[np.float32], queries_t: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Multiply; the only sums here whose order is left to BLAS."""
    np.matmul(block, queries_t, out=out)


def _blocks(
    rows: Rows, start: int, admitted: NDArray[np.bool_] | None
) -> Iterator[tuple[NDArray[np.int64] | slice, NDArray[np.float32], NDArray[np.bool_] | None]]:
    """Yield (row numbers, their vectors, which of them are barred); a small block first."""
    vectors, count = rows.vectors, len(rows)
    if admitted is not None:
        wanted = np.count_nonzero(admitted[start:])
        if wanted < _SPARSE * (count - start):
            chosen = np.flatnonzero(admitted[start:]) + start
            done, step = 0, _FIRST_BLOCK
            while done < len(chosen):
                numbers = chosen[done : done + step]
                yield numbers, vectors.take(numbers), None
                done, step = done + step, _BLOCK
            return
    step = _FIRST_BLOCK
    while start < count:
        for first, block in vectors.spans(start, min(count, start + step), step):
            numbers_here = slice(first, first + len(block))
            barred = None
            if admitted is not None:
                barred = ~admitted[numbers_here]
                if barred.all():
                    continue
            yield numbers_here, block, barred
        start, step = start + step, _BLOCK
