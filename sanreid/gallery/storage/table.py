"""The rows of a gallery in columns, append-only, so that a snapshot is two numbers.

A row is written once and never changed: an update writes a new row and ends the old one, a
removal ends it. ``died`` holds the version at which a row ended, so a snapshot of version v sees
exactly the rows below its length that ended after v, however much is written meanwhile.
"""

from __future__ import annotations

import bisect
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.filters import MISSING, DictionaryColumn
from sanreid.gallery.storage.vectors import Vectors
from sanreid.gallery.validation import Pid

__all__ = ["Change", "Column", "MetadataBlobs", "Settings", "Table"]

ALIVE = np.iinfo(np.int64).max
_NO_ROWS = np.empty(0, dtype=np.int64)
_MAX_CODED_KEYS = 16  # metadata keys whose values are kept coded for filters


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gallery knows besides its entries."""

    encoder_fingerprint: str | None = None
    calibration: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a gallery's life, applied whole or not at all."""

    embeddings: NDArray[np.float32]  # (N, D), norm 1
    ids: NDArray[np.int64]  # (N,)
    pids: Sequence[Pid]
    camids: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    metadata: Sequence[bytes]
    next_id: int
    settings: Settings
    ended: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)  # row numbers


class Column:
    """A growing array; what was read before stays valid while it grows."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._array = np.empty(0, dtype=dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, values: NDArray[Any]) -> None:
        """Put values after the last."""
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
        """Give a view of the first ``count`` values."""
        return self._array[:count]


class MetadataBlobs:
    """Each row's metadata as JSON bytes: one run of bytes and its borders per batch."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._borders: list[NDArray[np.int64]] = []
        self._blobs: list[Any] = []  # bytes, or a memoryview of a mapped file
        self._any = False

    def __bool__(self) -> bool:
        return self._any  # whether any row has metadata

    def extend(self, borders: NDArray[np.int64], blob: Any, first_row: int) -> None:  # noqa: ANN401 - bytes-like
        """Put a batch's rows after the last; row i is ``blob[borders[i] : borders[i + 1]]``."""
        self._any = self._any or len(blob) > 0
        self._blobs.append(blob)
        self._borders.append(borders)
        self._starts.append(first_row)

    def cut(self, count: int) -> None:
        """Drop the batches that start at row ``count`` or behind."""
        while self._starts and self._starts[-1] >= count:
            self._starts.pop()
        del self._borders[len(self._starts) :], self._blobs[len(self._starts) :]

    def __getitem__(self, row: int) -> bytes:
        place = bisect.bisect_right(self._starts, row) - 1
        borders, inside = self._borders[place], row - self._starts[place]
        return bytes(self._blobs[place][borders[inside] : borders[inside + 1]])

    def runs(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Yield (row, bytes) of the rows that have metadata."""
        for place, first in enumerate(list(self._starts)):
            borders, blob = self._borders[place], self._blobs[place]
            last = first + len(borders) - 1
            if last <= start or first >= stop or borders[-1] == borders[0]:
                continue
            for row in range(max(first, start), min(last, stop)):
                low, high = borders[row - first], borders[row - first + 1]
                if high > low:
                    yield row, bytes(blob[low:high])


class Codes:
    """The distinct values of one metadata key, and each row's place among them."""

    def __init__(self) -> None:
        self.values: list[Any] = [MISSING]
        self.column = Column(np.int32)
        self.places: dict[tuple[type, Any], int] = {}

    def extend(self, blobs: MetadataBlobs, key: str, stop: int) -> None:
        """Read the rows up to ``stop`` that were not read yet."""
        start = len(self.column)
        codes = np.zeros(stop - start, dtype=np.int32)
        for row, raw in blobs.runs(start, stop):
            value = _look_up(json.loads(raw), key)
            if value is not MISSING:
                codes[row - start] = self._place(value)
        self.column.extend(codes)

    def _place(self, value: Any) -> int:  # noqa: ANN401 - any JSON value
        mark: tuple[type, Any]
        if isinstance(value, (dict, list)):
            mark = (type(value), json.dumps(value, sort_keys=True))
        else:
            mark = (type(value), value)
        place = self.places.get(mark)
        if place is None:
            place = self.places[mark] = len(self.values)
            self.values.append(value)
        return place


def _look_up(metadata: Any, key: str) -> Any:  # noqa: ANN401 - any JSON value
    """The key of this very name, else the path its dots spell, else MISSING."""
    if key in metadata:
        return metadata[key]
    for part in key.split("."):
        if not isinstance(metadata, dict) or part not in metadata:
            return MISSING
        metadata = metadata[part]
    return metadata


class Table:
    """Columns of all rows, dead ones too, and the vectors beside them."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.ids = Column(np.int64)
        self.pid_codes = Column(np.int32)
        self.camids = Column(np.int64)
        self.timestamps = Column(np.float64)
        self.died = Column(np.int64)
        self.pid_values: list[Pid] = [None]
        self.pid_places: dict[tuple[type, Pid], int] = {(type(None), None): 0}
        self.metadata = MetadataBlobs()
        self.version = 0
        self.num_dead = 0
        self.next_id = 0
        self.settings = Settings()
        self._row_of: dict[int, int] | None = None
        self._coded: dict[str, Codes] = {}
        self._coding = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def apply(self, change: Change) -> None:
        """Write a change; its embeddings are taken into the vectors by the caller."""
        self.extend(
            change.ids,
            self.coded(change.pids),
            change.camids,
            change.timestamps,
            *joined(change.metadata),
        )
        self.close(change.ended, change.next_id, change.settings)

    def extend(
        self,
        ids: NDArray[np.int64],
        pid_codes: NDArray[np.int32],
        camids: NDArray[np.int64],
        timestamps: NDArray[np.float64],
        borders: NDArray[np.int64],
        blob: Any,  # noqa: ANN401 - bytes-like
    ) -> None:
        """Write the rows of one change."""
        if not len(ids):
            return
        first = len(self)
        self.metadata.extend(borders, blob, first)
        self.pid_codes.extend(pid_codes)
        self.camids.extend(camids)
        self.timestamps.extend(timestamps)
        self.died.extend(np.full(len(ids), ALIVE))
        self.ids.extend(ids)
        if self._row_of is not None:
            self._row_of.update(zip(ids.tolist(), range(first, len(self)), strict=True))

    def close(self, ended: NDArray[np.int64], next_id: int, settings: Settings) -> None:
        """End rows and count one version more: the last step of a change."""
        version = self.version + 1
        if len(ended):
            self.died.first(len(self))[ended] = version
            self.num_dead += len(ended)
            if self._row_of is not None:
                for row, number in zip(
                    ended.tolist(), self.ids.first(len(self))[ended].tolist(), strict=True
                ):
                    if self._row_of.get(number) == row:
                        del self._row_of[number]
        self.next_id, self.settings = next_id, settings
        self.version = version

    def undo(self, size: int, ended: NDArray[np.int64]) -> None:
        """Go back to ``size`` rows after a change that was cut off."""
        columns = (self.ids, self.pid_codes, self.camids, self.timestamps, self.died)
        for column in columns:
            column.cut(size)
        self.metadata.cut(size)
        self.vectors.cut(size)
        self.died.first(size)[ended] = ALIVE
        self.num_dead = int((self.died.first(size) != ALIVE).sum())
        self._row_of = None

    def coded(self, pids: Sequence[Pid]) -> NDArray[np.int32]:
        """Give each pid's place among all pids seen so far, new ones added."""
        places, values = self.pid_places, self.pid_values
        codes = np.empty(len(pids), dtype=np.int32)
        for row, pid in enumerate(pids):
            place = places.get((type(pid), pid))
            if place is None:
                values.append(pid)  # before its place is known: a reader may follow at once
                place = places[type(pid), pid] = len(values) - 1
            codes[row] = place
        return codes

    def row_of(self) -> dict[int, int]:
        """Give the row of each id that is in the gallery now; for the writer alone."""
        if self._row_of is None:
            count = len(self)
            alive = np.flatnonzero(self.died.first(count) == ALIVE)
            ids = self.ids.first(count)[alive]
            self._row_of = dict(zip(ids.tolist(), alive.tolist(), strict=True))
        return self._row_of

    def metadata_codes(self, key: str, count: int) -> DictionaryColumn:
        """Give a metadata key's distinct values and the codes of the first ``count`` rows."""
        with self._coding:
            codes = self._coded.pop(key, None) or Codes()
            if len(codes.column) < count:
                codes.extend(self.metadata, key, count)
            self._coded[key] = codes  # the key used last stands last
            while len(self._coded) > _MAX_CODED_KEYS:
                del self._coded[next(iter(self._coded))]
            return DictionaryColumn(codes.values, codes.column.first(count), codes.places)


def joined(metadata: Sequence[bytes]) -> tuple[NDArray[np.int64], bytes]:
    """Give the borders and the one run of bytes of a batch's metadata."""
    borders = np.zeros(len(metadata) + 1, dtype=np.int64)
    np.cumsum([len(raw) for raw in metadata], out=borders[1:])
    return borders, b"".join(metadata)
