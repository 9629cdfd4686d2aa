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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError
from sanreid.gallery.storage.columns import Column
from sanreid.gallery.storage.vectors import take_from

__all__ = ["Blocks", "MappedVectors", "block_sums", "rows_per_block"]

_BLOCK_BYTES = 1 << 20
_CHUNK_ROWS = 16384  # times four bytes: a multiple of every system's mapping granularity
_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Blocks:
    """Consecutive blocks of rows: where each ends, and its CRC-32."""

    stops: NDArray[np.int64]
    sums: NDArray[np.uint32]


def rows_per_block(dim: int) -> int:
    """Return the rows that one checksum covers."""
    return max(1, _BLOCK_BYTES // (4 * dim))


def block_sums(rows: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each block of one commit's rows."""
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
        self._table = _BlockTable()
        self._all_checked = 0  # rows below are all checked
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._num_rows

    def after_fork(self) -> None:
        """Forget, in a forked child, a lock that a thread of the parent may have held."""
        self._lock = threading.Lock()

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
            sums: One per block.
            stops: Where each block ends, counted from the first of the rows; None for blocks of
                the usual size.
            checked: The rows were written just now.

        Raises:
            GalleryError: The blocks do not make up the rows, or the file has too few.
        """
        step = rows_per_block(self.dim)
        if stops is None and 0 < count <= step:  # as in most commits: one block
            stops = np.array([count])
        elif stops is None:
            stops = np.minimum(np.arange(step, count + step, step), count)
        starts = np.zeros_like(stops)
        starts[1:] = stops[:-1]
        whole = int(stops[-1]) == count if len(stops) else count == 0
        if len(stops) != len(sums) or not whole or (starts >= stops).any():
            raise GalleryError(f"{self.path}: its blocks and checksums do not agree.")
        if self.missing_bytes(count) > 0:
            raise GalleryError(self._cut_short(count))
        with self._lock:
            self._table.extend(starts + self._num_rows, stops + self._num_rows, sums, checked)
            if checked and self._all_checked == self._num_rows:
                self._all_checked += count
            self._num_rows += count

    def missing_bytes(self, more_rows: int = 0) -> int:
        """Return how many bytes the file lacks; negative for bytes that follow the rows."""
        return (self._num_rows + more_rows) * self.dim * 4 - os.fstat(self._fd).st_size

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
        table = self._table  # before the chunks, which hold all of its blocks then
        chunks = self._mapped(stop)
        if self._all_checked < stop:
            for block in np.unique(table.block_of(rows)):
                self._check_block(table, int(block), chunks)
        if len(chunks) == 1:
            return chunks[0][rows]
        firsts = [index * self._rows_per_chunk for index in range(len(chunks))]
        return take_from(rows, firsts, chunks, self.dim)

    def cut(self, count: int) -> None:
        """Refuse: rows in a file are taken back by its writer."""
        raise GalleryError(f"{self.path} holds {self._num_rows} committed rows, not {count}.")

    def check_all(self) -> list[str]:
        """Read every block again; return a line for each that is not what was written."""
        if self.missing_bytes() > 0:
            return [self._cut_short(0)]
        problems = []
        table, chunks = self._table, self._mapped(self._num_rows)
        for block in range(len(table)):
            try:
                self._check_block(table, block, chunks, again=True)
            except GalleryError as error:
                problems.append(str(error))
        return problems

    def coalesced(self) -> Blocks:
        """Return blocks of about the usual size: small neighbours, as of small commits, merged.

        Raises:
            GalleryError: A block to merge is not what was written.
        """
        table, chunks = self._table, self._mapped(self._num_rows)
        step, count = rows_per_block(self.dim), len(table)
        starts, stops = table.starts.first(count).tolist(), table.stops.first(count).tolist()
        new_stops, new_sums, block = [], [], 0
        while block < count:
            first, last = block, block + 1
            while last < count and stops[last] - starts[first] <= step:
                last += 1
            total = int(table.sums.first(count)[first])
            if last > first + 1:
                for small in range(first, last):
                    self._check_block(table, small, chunks)
                total = self._sum(starts[first], stops[last - 1], chunks)
            new_stops.append(stops[last - 1])
            new_sums.append(total)
            block = last
        return Blocks(np.array(new_stops, np.int64), np.array(new_sums, np.uint32))

    def replace_blocks(self, blocks: Blocks, path: Path) -> None:
        """Use other blocks of the same rows; the file may have another name now."""
        table = _BlockTable()
        starts = np.append(0, blocks.stops[:-1])[: len(blocks.stops)].astype(np.int64)
        table.extend(starts, blocks.stops, blocks.sums, checked=False)
        with self._lock:
            table.checked.first(len(table))[:] = blocks.stops <= self._all_checked
            self._table = table
            self.path = path

    def map_all(self) -> None:
        """Map every row, so that readers no longer need the file's descriptor.

        Raises:
            GalleryError: They cannot be mapped.
        """
        self._mapped(self._num_rows)

    def release(self) -> None:
        """Forget the descriptor, which another file may get; what is mapped stays readable."""
        with self._lock:
            self._fd = -1

    def _check(self, start: int, stop: int) -> None:
        if stop <= self._all_checked:
            return
        table = self._table
        first, last = table.block_of(np.array([start, stop - 1]))
        chunks = self._mapped(self._num_rows)
        for block in range(first, last + 1):
            self._check_block(table, block, chunks)
        if start <= self._all_checked:
            end = int(table.stops.first(len(table))[last])
            self._all_checked = max(self._all_checked, end)

    def _check_block(
        self, table: _BlockTable, block: int, chunks: list[NDArray[np.float32]], *,
        again: bool = False,
    ) -> None:  # fmt: skip
        count = len(table)
        if table.checked.first(count)[block] and not again:
            return
        start, stop = int(table.starts.first(count)[block]), int(table.stops.first(count)[block])
        if self._sum(start, stop, chunks) != int(table.sums.first(count)[block]):
            raise GalleryError(
                f"{self.path} is damaged: the checksum of rows {start} to {stop - 1}"
                " does not agree. Restore the gallery from a copy."
            )
        table.checked.first(count)[block] = True

    def _sum(self, start: int, stop: int, chunks: list[NDArray[np.float32]]) -> int:
        """Return the CRC-32 of rows, which may cross the border of two chunks."""
        total = 0
        while start < stop:
            chunk, inside = divmod(start, self._rows_per_chunk)
            end = min(stop, (chunk + 1) * self._rows_per_chunk)
            total = zlib.crc32(chunks[chunk][inside : inside + end - start].data, total)
            start = end
        return total

    def _mapped(self, stop: int) -> list[NDArray[np.float32]]:
        """Return the chunks, mapped at least up to row ``stop``."""
        if self._num_mapped() >= stop:
            return self._chunks
        with self._lock:
            if self._num_mapped() >= stop:  # by another thread, while this one waited
                return self._chunks
            if self._fd < 0:
                raise GalleryError(f"{self.path} was closed; open the gallery again.")
            full = [chunk for chunk in self._chunks if len(chunk) == self._rows_per_chunk]
            row_bytes = self.dim * 4
            for first in range(
                len(full) * self._rows_per_chunk, self._num_rows, self._rows_per_chunk
            ):
                count = min(self._rows_per_chunk, self._num_rows - first)
                try:
                    mapped = mmap.mmap(
                        self._fd, count * row_bytes,
                        access=mmap.ACCESS_READ, offset=first * row_bytes,
                    )  # fmt: skip
                except (OSError, ValueError) as error:  # too many maps, or cut short just now
                    raise GalleryError(f"{self.path} cannot be read: {error}.") from error
                rows = np.frombuffer(mapped, dtype="<f4").reshape(count, self.dim)
                full.append(rows)
            self._chunks = full
            return full

    def _num_mapped(self) -> int:
        chunks = self._chunks
        return (len(chunks) - 1) * self._rows_per_chunk + len(chunks[-1]) if chunks else 0

    def _cut_short(self, more_rows: int) -> str:
        wanted = (self._num_rows + more_rows) * self.dim * 4
        have = wanted - self.missing_bytes(more_rows)
        return f"{self.path} is cut short: {have:,} bytes, {wanted:,} wanted."


class _BlockTable:
    """Blocks of rows, appended to by the writer while searches read."""

    def __init__(self) -> None:
        self.starts = Column(np.int64)
        self.stops = Column(np.int64)
        self.sums = Column(np.uint32)
        self.checked = Column(np.bool_)

    def __len__(self) -> int:
        return len(self.starts)

    def extend(
        self,
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
        sums: NDArray[np.uint32],
        checked: bool,
    ) -> None:
        """Append blocks; the starts come last, because they define how many there are."""
        self.sums.extend(sums)
        self.checked.extend(np.full(len(sums), checked))
        self.stops.extend(stops)
        self.starts.extend(starts)

    def block_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the block of each row."""
        starts = self.starts.first(len(self))
        return np.searchsorted(starts, rows, side="right") - 1
