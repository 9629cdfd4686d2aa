"""The rows of a gallery in columns, append-only, so that a snapshot is two numbers.

A row is written once and never changed: an update writes a new row and deletes the old one, a
removal deletes it. ``deleted_at`` holds the version that deleted a row, so a snapshot of version
v sees exactly the rows below its length that were deleted after v, whatever is written meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.gallery.index.normalization import Normalization
from sanreid.gallery.storage.camera_terms import CameraTerms
from sanreid.gallery.storage.columns import (
    Column,
    MetadataColumn,
    MetadataDictionary,
    pack_metadata,
)
from sanreid.gallery.storage.selection import DictionaryColumn
from sanreid.gallery.storage.vectors import AppendableVectors
from sanreid.gallery.store import Settings
from sanreid.gallery.validation import Pid

__all__ = ["Change", "Numbering", "Table"]

logger = logging.getLogger(__name__)

ALIVE = np.iinfo(np.int64).max
_NO_ROWS = np.empty(0, dtype=np.int64)
_MAX_DICTIONARIES = 16  # metadata keys that are kept dictionary-encoded for filters


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
    deleted_rows: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)

    @classmethod
    def without_rows(
        cls, dim: int, next_id: int, settings: Settings, deleted_rows: NDArray[np.int64] = _NO_ROWS
    ) -> Change:
        """Return a change that adds nothing."""
        nothing = np.empty((0, dim), np.float32)
        return cls(
            nothing, _NO_ROWS, [], _NO_ROWS, np.empty(0), [], next_id, settings, deleted_rows
        )


class Numbering:
    """Stands for one way of numbering rows: a fresh one for each table."""


class Table:
    """Columns of all rows, deleted ones too, and the vectors beside them."""

    def __init__(self, vectors: AppendableVectors) -> None:
        self.vectors = vectors
        self.numbering = Numbering()
        self.ids = Column(np.int64)
        self.pid_codes = Column(np.int32)
        self.camids = Column(np.int64)
        self.timestamps = Column(np.float64)
        self.deleted_at = Column(np.int64)
        self.pid_values: list[Pid] = [None]
        self.code_of_pid: dict[tuple[type, Pid], int] = {(type(None), None): 0}
        self.metadata = MetadataColumn()
        self.version = 0
        self.num_deleted = 0
        self.next_id = 0
        self.settings = Settings()
        self._row_of: dict[int, int] | None = None
        self._dictionaries: dict[str, MetadataDictionary] = {}
        self._camera_terms: WeakKeyDictionary[CameraNormalizer, CameraTerms] = WeakKeyDictionary()
        self._encoding = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def after_fork(self) -> None:
        """Forget, in a forked child, a lock that a thread of the parent may have held."""
        self._encoding = threading.Lock()
        self._dictionaries = {}
        self._camera_terms = WeakKeyDictionary()

    def apply(self, change: Change) -> None:
        """Write a change; the caller has appended its embeddings to the vectors."""
        self.extend(
            change.ids,
            self.encode_pids(change.pids),
            change.camids,
            change.timestamps,
            *pack_metadata(change.metadata),
        )
        self.finish(change.deleted_rows, change.next_id, change.settings)

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
        self.deleted_at.extend(np.full(len(ids), ALIVE))
        row_of, self._row_of = self._row_of, None  # an interrupt leaves none, not a wrong one
        self.ids.extend(ids)
        if row_of is not None:
            row_of.update(zip(ids.tolist(), range(first, len(self)), strict=True))
            self._row_of = row_of

    def finish(self, deleted_rows: NDArray[np.int64], next_id: int, settings: Settings) -> None:
        """Delete rows and count one version more: the last step of a change."""
        version = self.version + 1
        if len(deleted_rows):
            row_of, self._row_of = self._row_of, None
            self.deleted_at.first(len(self))[deleted_rows] = version
            self.num_deleted += len(deleted_rows)
            if row_of is not None:
                ids = self.ids.first(len(self))[deleted_rows].tolist()
                for row, number in zip(deleted_rows.tolist(), ids, strict=True):
                    if row_of.get(number) == row:
                        del row_of[number]
                self._row_of = row_of
        self.next_id, self.settings = next_id, settings
        self.version = version

    def undo(self, size: int, version: int, settings: Settings, next_id: int) -> None:
        """Go back to an earlier state after a change that was cut off."""
        self._row_of = None
        self._camera_terms = WeakKeyDictionary()
        columns = (self.ids, self.pid_codes, self.camids, self.timestamps, self.deleted_at)
        for column in columns:
            column.cut(size)
        self.metadata.cut(size)
        self.vectors.cut(size)
        deleted_at = self.deleted_at.first(size)
        deleted_at[deleted_at > version] = ALIVE
        self.num_deleted = int((deleted_at != ALIVE).sum())
        self.version, self.settings, self.next_id = version, settings, next_id

    def encode_pids(self, pids: Sequence[Pid]) -> NDArray[np.int32]:
        """Return each pid's code, its index in ``pid_values``; new pids are appended there."""
        known, values = self.code_of_pid, self.pid_values
        codes = np.empty(len(pids), dtype=np.int32)
        for row, pid in enumerate(pids):
            code = known.get((type(pid), pid))
            if code is None:
                values.append(pid)  # before its code is known: a reader may follow at once
                code = known[type(pid), pid] = len(values) - 1
            codes[row] = code
        return codes

    def row_of(self) -> dict[int, int]:
        """Return the row of each id that is in the gallery now; only for the writer."""
        if self._row_of is None:
            count = len(self)
            alive = np.flatnonzero(self.deleted_at.first(count) > self.version)
            ids = self.ids.first(count)[alive]
            self._row_of = dict(zip(ids.tolist(), alive.tolist(), strict=True))
        return self._row_of

    def metadata_codes(self, key: str, count: int) -> DictionaryColumn:
        """Return a metadata key's distinct values and the codes of the first ``count`` rows."""
        with self._encoding:
            dictionary = self._dictionaries.pop(key, None) or MetadataDictionary()
            if len(dictionary.column) < count:
                dictionary.extend(self.metadata, key, count)
            if count and len(dictionary.values) == 1 and not dictionary.is_missed:
                dictionary.is_missed = True
                logger.warning("No entry has the metadata key %r, which where compares.", key)
            self._dictionaries[key] = dictionary  # the key used last stands last
            while len(self._dictionaries) > _MAX_DICTIONARIES:
                del self._dictionaries[next(iter(self._dictionaries))]
            return dictionary.first(count)

    def normalization(self, normalizer: CameraNormalizer, count: int) -> Normalization:
        """Return what camera-normalised similarities need of the first ``count`` rows."""
        with self._encoding:
            terms = self._camera_terms.get(normalizer)
            if terms is None:
                terms = self._camera_terms[normalizer] = CameraTerms()
            terms.extend(normalizer, self.vectors, self.camids, count)
            return terms.first(normalizer, count)
