"""k-reciprocal neighbourhoods, written as sparse vectors.

Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
2017. Re-ranking compares the vectors of queries and gallery, clustering those of all rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "THREADS",
    "Floats",
    "Indices",
    "SparseRows",
    "encode_neighbourhoods",
    "expand_locally",
    "in_threads",
    "pair_similarities",
    "squared_distance",
]

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

THREADS = min(8, os.cpu_count() or 1)

_CHUNK = 256  # rows whose neighbourhoods are worked out together, fewer where they are large
_PAIRS = 2**18  # pairs of neighbours looked at together
_PRODUCTS = 2**22  # numbers multiplied together, for the similarities of single pairs


@dataclass(frozen=True)
class SparseRows:
    """(N, N) float32, row after row: row i is ``columns`` and ``values`` from start i on."""

    starts: Indices  # (N + 1,)
    columns: Indices
    values: Floats

    @classmethod
    def from_rows(cls, parts: list[tuple[Indices, Indices, Floats]]) -> SparseRows:
        """Join (entries a row, columns, values) of consecutive rows."""
        sizes = np.concatenate([size for size, _, _ in parts])
        return cls(
            starts=np.concatenate([[0], np.cumsum(sizes)]),
            columns=np.concatenate([column for _, column, _ in parts]),
            values=np.concatenate([value for _, _, value in parts]),
        )

    def entries(self, rows: Indices) -> tuple[Indices, Indices]:
        """Return where the entries of some rows are, row after row, and how many each has."""
        starts = self.starts[rows]
        sizes = self.starts[rows + 1] - starts
        before = np.cumsum(sizes) - sizes
        return np.arange(sizes.sum()) + np.repeat(starts - before, sizes), sizes

    def transposed(self, first_row: int) -> SparseRows:
        """Column after column, of the rows from ``first_row`` on, counted from there."""
        kept = slice(self.starts[first_row], None)
        sizes = np.diff(self.starts)[first_row:]
        order = np.argsort(self.columns[kept], kind="stable")
        counts = np.bincount(self.columns[kept], minlength=len(self.starts) - 1)
        return SparseRows(
            starts=np.concatenate([[0], np.cumsum(counts)]),
            columns=np.repeat(np.arange(len(sizes)), sizes)[order],
            values=self.values[kept][order],
        )


def encode_neighbourhoods(rows: Floats, ranks: Indices, farthest: Floats, k1: int) -> SparseRows:
    """Return each row's expanded k-reciprocal neighbours.

    They are weighted by exp(-distance), and a row's weights sum to 1.

    Args:
        rows: (N, D) float32 of norm 1.
        ranks: (N, at least k1 + 1, or N where there are fewer) int64, the nearest rows of every
            row: itself first, then nearest first. Itself again stands for no neighbour.
        farthest: (N,) what each row's squared distances are divided by.
        k1: Neighbours that are asked back.
    """
    count = len(rows)
    ranks = ranks[:, : k1 + 1]
    half_ranks = ranks[:, : round(k1 / 2) + 1]
    mutual, half_mutual = _asked_back(ranks), _asked_back(half_ranks)
    step = _rows_at_a_time(ranks.shape[1] * half_ranks.shape[1])

    def encode(start: int) -> tuple[Indices, Indices, Floats]:
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
        distance = squared_distance(pair_similarities(rows, row + start, rows, column))
        weight = np.exp(-distance / farthest[row + start])
        weight = (weight / np.bincount(row, weights=weight)[row]).astype(np.float32)
        return np.bincount(row, minlength=len(chunk)), column, weight

    return SparseRows.from_rows(in_threads(encode, range(0, count, step)))


def _rows_at_a_time(each: int) -> int:
    """Return how many rows to work on together when each one needs about ``each`` pairs."""
    return max(1, min(_CHUNK, _PAIRS // each))


def pair_similarities(
    rows: Floats, these: NDArray[Any], others: Floats, those: NDArray[Any]
) -> Floats:
    """Return (M,) dot products of ``rows[these]`` and ``others[those]``, pair by pair."""
    found = np.empty(len(these), dtype=np.float32)
    step = max(1, _PRODUCTS // rows.shape[1])
    for start in range(0, len(these), step):
        part = slice(start, start + step)
        np.einsum("nd,nd->n", rows[these[part]], others[those[part]], out=found[part])
    return found


def _asked_back(ranks: Indices) -> NDArray[np.bool_]:
    """(N, k): is row i among the k nearest of its own neighbour? Each neighbour counts once.

    A row that has fewer neighbours than k is repeated in their place.
    """
    mutual = np.empty(ranks.shape, dtype=np.bool_)
    step = _rows_at_a_time(ranks.shape[1] ** 2)
    for start in range(0, len(ranks), step):
        these = slice(start, start + step)
        chunk = ranks[these]
        itself = np.arange(start, start + len(chunk))[:, None, None]
        mutual[these] = (ranks[chunk] == itself).any(axis=2)
    mutual[:, 1:] &= ranks[:, 1:] != ranks[:, :1]
    return mutual


def expand_locally(encoded: SparseRows, nearest: Indices) -> SparseRows:
    """Return the mean of the vectors of each row's nearest rows, itself among them."""
    count, k2 = nearest.shape
    if k2 == 1:
        return encoded
    step = _rows_at_a_time(k2 * len(encoded.columns) // count)

    def expand(start: int) -> tuple[Indices, Indices, Floats]:
        chunk = nearest[start : start + step]
        entries, sizes = encoded.entries(chunk.ravel())
        owner = np.repeat(np.arange(chunk.size) // k2, sizes)
        cells, cell = np.unique(owner * count + encoded.columns[entries], return_inverse=True)
        values = np.bincount(cell, weights=encoded.values[entries]) / k2
        row, column = np.divmod(cells, count)
        return np.bincount(row, minlength=len(chunk)), column, values.astype(np.float32)

    return SparseRows.from_rows(in_threads(expand, range(0, count, step)))


def squared_distance(similarity: Floats) -> Floats:
    """Squared Euclidean distance of rows of norm 1; never below 0."""
    return np.maximum(2 - 2 * similarity, np.float32(0))


_Result = TypeVar("_Result")


def in_threads(work: Callable[[int], _Result], starts: range) -> list[_Result]:
    """Results in the order of ``starts``; NumPy leaves the interpreter to others meanwhile."""
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(work, starts))
