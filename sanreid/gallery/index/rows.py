"""What an index sees of a gallery: numbered rows, and a search among them.

Shapes: R rows (removed ones too), Q queries, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.exclusion import Rule
from sanreid.gallery.index.normalization import Normalization

__all__ = ["Candidates", "RowSearch", "Rows", "Vectors"]


class Vectors(Protocol):
    """Embeddings by row number; rows are appended and never changed."""

    dim: int

    def spans(self, start: int, stop: int, step: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield rows ``start`` to ``stop`` as (first row, view of at most ``step`` rows)."""
        ...

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copy the given rows, in their order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one state of a gallery.

    Attributes:
        vectors: The embeddings, of L2 norm 1.
        ids: (R,) int64, what ties are ordered by.
        alive: (R,) bool, False for removed rows; None when all are alive.
        numbering: An object that is the same for two states exactly if row numbers mean the
            same vectors in both.
        normalization: What similarities are normalised by; None for plain ones.
    """

    vectors: Vectors
    ids: NDArray[np.int64]
    alive: NDArray[np.bool_] | None
    numbering: object
    normalization: Normalization | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of the vectors that similarities are taken of, normalised if need be."""
        rows = self.vectors.take(numbers)
        return rows if self.normalization is None else self.normalization.apply(rows, numbers)

    def alive_numbers(self) -> NDArray[np.int64]:
        """Return the numbers of the rows that are alive, ascending."""
        return np.arange(len(self)) if self.alive is None else np.flatnonzero(self.alive)


@dataclass(frozen=True, slots=True, eq=False)
class RowSearch:
    """A search for the rows nearest to each query.

    Attributes:
        rows: Where to search.
        queries: (Q, D) float32, of L2 norm 1, normalised as the rows are.
        k: Rows wanted per query.
        admitted: (R,) bool, rows that may be found; None for all.
        exclusion: Rows that single queries may not find; None for no such rule.
        min_similarity: Rows below are not found.
    """

    rows: Rows
    queries: NDArray[np.float32]
    k: int
    admitted: NDArray[np.bool_] | None = None
    exclusion: Rule | None = None
    min_similarity: float | None = None


class Candidates(NamedTuple):
    """(query, row) pairs: ascending by query, and within a query best first."""

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]
