"""Embeddings in memory: rows that are only ever appended, read in pieces.

A row once written never changes, so any number of searches may read while one thread appends.
The stored kind, :mod:`sanreid.gallery.storage.files.mapped_vectors`, is read in the same two ways.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.rows import Vectors

__all__ = ["AppendableVectors", "MemoryVectors"]

_FIRST_CHUNK = 1024
_CHUNK_BYTES = 64 << 20


class AppendableVectors(Vectors, Protocol):
    """What a table needs of its embeddings, besides what a search needs."""

    def append(self, rows: NDArray[np.float32]) -> None:
        """Append rows."""
        ...

    def cut(self, count: int) -> None:
        """Drop all rows but the first ``count``."""
        ...


class MemoryVectors:
    """Embeddings in memory: chunks that double in size, so that growing never copies."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._chunks: list[NDArray[np.float32]] = []
        self._starts: list[int] = []  # first row of each chunk
        self._num_rows = 0

    def append(self, rows: NDArray[np.float32]) -> None:
        """Append rows; a large batch becomes a chunk of its own."""
        done = 0
        while done < len(rows):
            start = self._starts[-1] if self._starts else 0
            used = self._num_rows - start
            if not self._chunks or used == len(self._chunks[-1]):
                self._grow(len(rows) - done)
                start, used = self._num_rows, 0
            room = self._chunks[-1][used : used + len(rows) - done]
            room[:] = rows[done : done + len(room)]
            done += len(room)
            self._num_rows += len(room)

    def spans(self, start: int, stop: int, step: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield views of rows ``start`` to ``stop``; no view crosses a chunk's border."""
        while start < stop:
            index = bisect.bisect_right(self._starts, start) - 1
            first, chunk = self._starts[index], self._chunks[index]
            end = min(stop, start + step, first + len(chunk))
            yield start, chunk[start - first : end - first]
            start = end

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copy the given rows, in their order."""
        starts, chunks = list(self._starts), self._chunks
        if len(starts) == 1:
            return chunks[0][rows]
        return take_from(rows, starts, chunks, self.dim)

    def cut(self, count: int) -> None:
        """Drop all rows but the first ``count``."""
        while self._starts and self._starts[-1] >= count:
            self._starts.pop()
        del self._chunks[len(self._starts) :]
        self._num_rows = min(self._num_rows, count)

    def _grow(self, wanted: int) -> None:
        largest = max(_FIRST_CHUNK, _CHUNK_BYTES // (4 * self.dim))
        size = max(wanted, min(max(_FIRST_CHUNK, self._num_rows), largest))
        # np.empty reserves addresses, not memory: rows cost only once they are written.
        self._chunks.append(np.empty((size, self.dim), dtype=np.float32))
        self._starts.append(self._num_rows)


def take_from(
    rows: NDArray[np.int64], starts: list[int], chunks: list[NDArray[np.float32]], dim: int
) -> NDArray[np.float32]:
    """Gather rows that lie in several chunks, chunk by chunk."""
    taken = np.empty((len(rows), dim), dtype=np.float32)
    owners = np.searchsorted(starts, rows, side="right") - 1
    for owner in np.unique(owners):
        here = owners == owner
        taken[here] = chunks[owner][rows[here] - starts[owner]]
    return taken
