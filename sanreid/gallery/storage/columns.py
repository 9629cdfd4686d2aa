"""Columns of a table: growing arrays, dictionary-encoded values, and metadata as JSON."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.filters import MISSING
from sanreid.gallery.storage.selection import DictionaryColumn

__all__ = ["Column", "MetadataColumn", "MetadataDictionary", "look_up", "pack_metadata"]


class Column:
    """A growing array; what was read before stays valid while it grows."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._array = np.empty(0, dtype=dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, values: NDArray[Any]) -> None:
        """Append values."""
        end = self._size + len(values)
        if end > len(self._array):
            grown = np.empty(max(end, end + end // 2 if self._size else end), self._array.dtype)
            grown[: self._size] = self._array[: self._size]
            self._array = grown
        self._array[self._size : end] = values
        self._size = end

    def cut(self, count: int) -> None:
        """Drop all values but the first ``count``."""
        self._size = min(self._size, count)

    def first(self, count: int) -> NDArray[Any]:
        """Return a view of the first ``count`` values."""
        return self._array[:count]


class MetadataColumn:
    """Each row's metadata as JSON bytes: one run of bytes and its borders per batch."""

    def __init__(self) -> None:
        # First rows, borders and blobs of the batches; replaced whole, or appended to.
        self._batches: tuple[list[int], list[NDArray[np.int64]], list[Any]] = ([], [], [])
        self._any = False

    def __bool__(self) -> bool:
        return self._any  # whether any row has metadata

    def extend(self, borders: NDArray[np.int64], blob: Any, first_row: int) -> None:  # noqa: ANN401 - bytes-like
        """Append a batch; its row i is ``blob[borders[i] : borders[i + 1]]``."""
        self._any = self._any or len(blob) > 0
        starts, all_borders, blobs = self._batches
        blobs.append(blob)
        all_borders.append(borders)
        starts.append(first_row)

    def replace(self, borders: NDArray[np.int64], blob: Any) -> None:  # noqa: ANN401 - bytes-like
        """Hold all rows as one batch, which is what many small ones amount to."""
        self._batches = ([0], [borders], [blob])

    def cut(self, count: int) -> None:
        """Drop the batches that start at row ``count`` or later."""
        starts, all_borders, blobs = self._batches
        while starts and starts[-1] >= count:
            starts.pop()
        del all_borders[len(starts) :], blobs[len(starts) :]

    def __getitem__(self, row: int) -> bytes:
        starts, all_borders, blobs = self._batches
        batch = bisect.bisect_right(starts, row) - 1
        borders, inside = all_borders[batch], row - starts[batch]
        return bytes(blobs[batch][borders[inside] : borders[inside + 1]])

    def take(self, rows: NDArray[np.int64]) -> list[bytes]:
        """Return the bytes of many rows, in their order."""
        if not self._any or not len(rows):
            return [b""] * len(rows)
        starts, all_borders, blobs = self._batches
        if len(starts) > 1:
            return [self[row] for row in rows.tolist()]
        borders, blob = all_borders[0], blobs[0]  # more may be appended meanwhile
        inside = rows - starts[0]
        ends = zip(borders[inside].tolist(), borders[inside + 1].tolist(), strict=True)
        return [bytes(blob[low:high]) for low, high in ends]

    def runs(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Yield (row, bytes) of the rows that have metadata."""
        starts, all_borders, blobs = self._batches
        for batch, first in enumerate(list(starts)):
            borders, blob = all_borders[batch], blobs[batch]
            last = first + len(borders) - 1
            if last <= start or first >= stop or borders[-1] == borders[0]:
                continue
            for row in range(max(first, start), min(last, stop)):
                low, high = borders[row - first], borders[row - first + 1]
                if high > low:
                    yield row, bytes(blob[low:high])


class MetadataDictionary:
    """A metadata key, dictionary-encoded as far as it was read: distinct values, and codes."""

    def __init__(self) -> None:
        self.values: list[Any] = [MISSING]
        self.column = Column(np.int32)
        self.code_of: dict[tuple[type, Any], int] = {}
        self.is_missed = False  # whether it was said that no row has the key

    def first(self, count: int) -> DictionaryColumn:
        """Return the first ``count`` rows as a column."""
        return DictionaryColumn(self.values, self.column.first(count), self.code_of)

    def extend(self, metadata: MetadataColumn, key: str, stop: int) -> None:
        """Encode the rows up to ``stop`` that were not encoded yet."""
        start = len(self.column)
        codes = np.zeros(stop - start, dtype=np.int32)
        for row, raw in metadata.runs(start, stop):
            value = look_up(json.loads(raw), key)
            if value is not MISSING:
                codes[row - start] = self._encode(value)
        self.column.extend(codes)

    def _encode(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        key: tuple[type, Any]
        if isinstance(value, (dict, list)):
            key = (type(value), json.dumps(value, sort_keys=True))
        else:
            key = (type(value), value)
        code = self.code_of.get(key)
        if code is None:
            code = self.code_of[key] = len(self.values)
            self.values.append(value)
        return code


def pack_metadata(metadata: Sequence[bytes]) -> tuple[NDArray[np.int64], bytes]:
    """Return the borders and the one run of bytes of a batch's metadata."""
    borders = np.zeros(len(metadata) + 1, dtype=np.int64)
    np.cumsum([len(raw) for raw in metadata], out=borders[1:])
    return borders, b"".join(metadata)


def look_up(metadata: Any, key: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of this very key, else of the path its dots spell, else MISSING."""
    if key in metadata:
        return metadata[key]
    for part in key.split("."):
        if not isinstance(metadata, dict) or part not in metadata:
            return MISSING
        metadata = metadata[part]
    return metadata
