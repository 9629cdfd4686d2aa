"""Embeddings in a file, mapped, every block checked when it is first read.

The file holds rows and nothing else; the log knows the CRC-32 of each block. Whole chunks are
mapped once, the last one again when it has grown. No copy of the rows is kept beside the map.
"""

from __future__ import annotations

import mmap
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError
from sanreid.gallery.storage.table import Column
from sanreid.gallery.storage.vectors import take_from

__all__ = ["MappedVectors", "block_sums"]

_BLOCK_BYTES = 1 << 20
_CHUNK_ROWS = 16384  # times four bytes: a multiple of every system's mapping granularity
_CHUNK_BYTES = 256 << 20


def rows_per_block(dim: int) -> int:
    """Give the rows one checksum covers."""
    return max(1, _BLOCK_BYTES // (4 * dim))


def block_sums(rows: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Give the CRC-32 of each block of one commit's rows."""
    step = rows_per_block(rows.shape[1])
    sums = [zlib.crc32(rows[start : start + step].data) for start in range(0, len(rows), step)]
    return np.array(sums, dtype=np.uint32)


class MappedVectors:
    """The rows of one vectors file up to the last commit."""

    def __init__(self, fd: int, dim: int, path: Path) -> None:
        self.dim = dim
        self.path = path
        self._fd = fd
        self._num_rows = 0
        self._rows_per_chunk = _CHUNK_ROWS * max(1, _CHUNK_BYTES // (_CHUNK_ROWS * 4 * dim))
        self._chunks: list[NDArray[np.float32]] = []
        self._block_starts = Column(np.int64)
        self._block_stops = Column(np.int64)
        self._block_sums = Column(np.uint32)
        self._checked = Column(np.bool_)
        self._all_checked = 0  # rows below are all checked
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._num_rows

    def append(self, rows: NDArray[np.float32]) -> None:
        """Take rows that the caller has just written to the file."""
        self.extend(len(rows), block_sums(rows), checked=True)

    def extend(
        self,
        count: int,
        sums: NDArray[np.uint32],
        *,
        stops: NDArray[np.int64] | None = None,
        checked: bool = False,
    ) -> None:
        """Take ``count`` committed rows more, with the sums of their blocks.

        Args:
            count: Rows.
            sums: One a block.
            stops: Where each block ends, counted from the first of the rows; None for blocks of
                the usual size.
            checked: The rows were written just now.

        Raises:
            GalleryError: The blocks do not make up the rows, or the file has too few.
        """
        if stops is None:
            step = rows_per_block(self.dim)
            stops = np.minimum(np.arange(step, count + step, step), count)
        starts = np.append(0, stops[:-1])[: len(stops)]
        whole = int(stops[-1]) == count if len(stops) else count == 0
        if len(stops) != len(sums) or not whole or (starts >= stops).any():
            raise GalleryError(f"{self.path}: its blocks and checksums do not agree.")
        size = os.fstat(self._fd).st_size
        if size < (self._num_rows + count) * self.dim * 4:
            raise GalleryError(
                f"{self.path} is cut short: {size:,} bytes,"
                f" {(self._num_rows + count) * self.dim * 4:,} wanted."
            )
        with self._lock:
            self._block_sums.extend(sums)
            self._checked.extend(np.full(len(sums), checked))
            self._block_stops.extend(stops + self._num_rows)
            self._block_starts.extend(starts + self._num_rows)
            if checked and self._all_checked == self._num_rows:
                self._all_checked += count
            self._num_rows += count

    def spans(self, start: int, stop: int, step: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield checked views of rows ``start`` to ``stop``."""
        chunks = self._mapped(stop)
        while start < stop:
            first = start - start % self._rows_per_chunk
            end = min(stop, start + step, first + self._rows_per_chunk)
            self._check(start, end)
            yield start, chunks[first // self._rows_per_chunk][start - first : end - first]
            start = end

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copy the given rows, their blocks checked."""
        if not len(rows):
            return np.empty((0, self.dim), dtype=np.float32)
        stop = int(rows.max()) + 1
        chunks = self._mapped(stop)
        if self._all_checked < stop:
            starts = self._block_starts.first(len(self._block_starts))
            for block in np.unique(np.searchsorted(starts, rows, side="right") - 1):
                self._check_block(int(block), chunks)
        if len(chunks) == 1:
            return chunks[0][rows]
        firsts = [place * self._rows_per_chunk for place in range(len(chunks))]
        return take_from(rows, firsts, chunks, self.dim)

    def blocks(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Give the sums of all blocks and where each ends."""
        count = len(self._block_starts)
        return self._block_sums.first(count), self._block_stops.first(count)

    def rows_sum(self, count: int) -> int | None:
        """Give one checksum over the first ``count`` rows, by those of their blocks."""
        stops = self._block_stops.first(len(self._block_stops))
        blocks = int(np.searchsorted(stops, count, side="right"))
        if count > 0 and (blocks == 0 or stops[blocks - 1] != count):
            return None
        return zlib.crc32(self._block_sums.first(blocks).astype("<u4").tobytes())

    def cut(self, count: int) -> None:
        """Refuse: rows in a file are taken back by its writer."""
        raise GalleryError(f"{self.path} holds {self._num_rows} committed rows, not {count}.")

    def check_all(self) -> list[str]:
        """Read every block again; give a line for each that is not what was written."""
        problems = []
        chunks = self._mapped(self._num_rows)
        for block in range(len(self._block_starts)):
            try:
                self._check_block(block, chunks, again=True)
            except GalleryError as error:
                problems.append(str(error))
        return problems

    def _check(self, start: int, stop: int) -> None:
        if stop <= self._all_checked:
            return
        starts = self._block_starts.first(len(self._block_starts))
        first = int(np.searchsorted(starts, start, side="right")) - 1
        last = int(np.searchsorted(starts, stop, side="left"))
        chunks = self._mapped(self._num_rows)
        for block in range(first, last):
            self._check_block(block, chunks)
        if start <= self._all_checked:
            end = int(self._block_stops.first(len(starts))[last - 1])
            self._all_checked = max(self._all_checked, end)

    def _check_block(
        self, block: int, chunks: list[NDArray[np.float32]], *, again: bool = False
    ) -> None:
        count = len(self._block_starts)
        if self._checked.first(count)[block] and not again:
            return
        first = start = int(self._block_starts.first(count)[block])
        stop = int(self._block_stops.first(count)[block])
        total = 0
        while start < stop:  # a block may cross the border of two chunks
            place, inside = divmod(start, self._rows_per_chunk)
            end = min(stop, (place + 1) * self._rows_per_chunk)
            total = zlib.crc32(chunks[place][inside : inside + end - start].data, total)
            start = end
        if total != int(self._block_sums.first(count)[block]):
            raise GalleryError(
                f"{self.path} is damaged: the checksum of rows {first} to {stop - 1}"
                " does not agree. Restore the gallery from a copy."
            )
        self._checked.first(count)[block] = True

    def _mapped(self, stop: int) -> list[NDArray[np.float32]]:
        """Give the chunks, mapped at least up to row ``stop``."""
        chunks = self._chunks
        if chunks and (len(chunks) - 1) * self._rows_per_chunk + len(chunks[-1]) >= stop:
            return chunks
        with self._lock:
            full = [chunk for chunk in self._chunks if len(chunk) == self._rows_per_chunk]
            row_bytes = self.dim * 4
            for first in range(
                len(full) * self._rows_per_chunk, self._num_rows, self._rows_per_chunk
            ):
                count = min(self._rows_per_chunk, self._num_rows - first)
                mapped = mmap.mmap(
                    self._fd, count * row_bytes, access=mmap.ACCESS_READ, offset=first * row_bytes
                )
                rows = np.frombuffer(mapped, dtype="<f4").reshape(count, self.dim)
                full.append(rows)
            self._chunks = full
            return full
