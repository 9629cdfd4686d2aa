"""Entries in the memory of this process: one table, which one writer at a time appends to.

A lock orders the writers; a search takes a snapshot and then runs without the lock, so searches
from many threads see only states that existed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.camera_means import means_moved
from sanreid.gallery.filters import Condition
from sanreid.gallery.index.faiss_index import FaissIndex
from sanreid.gallery.index.manager import IndexManager
from sanreid.gallery.index.rows import Rows
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.columns import pack_metadata
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.files.folder import Folder
from sanreid.gallery.storage.files.rewriting import save_snapshot
from sanreid.gallery.storage.forking import watch_forks
from sanreid.gallery.storage.ids import check_distinct, check_free, check_known
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.statistics import count_by, statistics
from sanreid.gallery.storage.table import Change, Numbering, Table
from sanreid.gallery.storage.vectors import MemoryVectors
from sanreid.gallery.store import EntryBatch, EntryUpdate, SearchRequest, Settings, settings_with
from sanreid.gallery.validation import Pid

__all__ = ["MAX_WASTE_ROWS", "MemoryStore"]

MAX_WASTE_ROWS = 4096  # fewer deleted rows are never worth moving the others
_LAST_ID = np.iinfo(np.int64).max
_COPY_ROWS = 65_536


class MemoryStore:
    """A :class:`~sanreid.gallery.store.Store` in memory.

    Args:
        dim: D, the width of the embeddings.
        settings: To begin with.
        index: The kind of index to search with.
        disk: What :meth:`save` writes with.

    Raises:
        InputError: The kind of index is unknown.
    """

    def __init__(
        self,
        dim: int,
        *,
        settings: Settings | None = None,
        index: str = "auto",
        disk: Disk | None = None,
    ) -> None:
        self._index = IndexManager(index, self)
        self._disk = disk or Disk()
        self._mutex = threading.RLock()
        self._table = Table(MemoryVectors(dim))
        self._table.settings = settings or Settings()
        self._moved: tuple[tuple[Numbering, int], float | None] | None = None
        self._publish()
        watch_forks(self)

    @classmethod
    def of(cls, snapshot: Snapshot, *, index: str) -> MemoryStore:
        """Return a store with a snapshot's entries."""
        store = cls(snapshot.table.vectors.dim, index=index)
        store._table = _copied(snapshot)
        store._publish()
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the entries; an index is built again when it is needed."""
        snapshot = self.snapshot()
        entries = snapshot.batch(snapshot.alive_rows())
        return _restored, (self.dim, self.index, entries, snapshot.next_id, snapshot.settings)

    @property
    def dim(self) -> int:
        """D, the width of the embeddings."""
        return self._table.vectors.dim

    @property
    def location(self) -> str | None:
        """Where the entries are kept; None in memory."""
        return None

    @property
    def index(self) -> str:
        """The kind of index that was requested."""
        return self._index.kind

    @property
    def settings(self) -> Settings:
        """The encoder's fingerprint and the calibration."""
        return self._published.settings

    def __len__(self) -> int:
        return self.snapshot().num_entries

    def __contains__(self, number: int) -> bool:
        with self._mutex:
            self.snapshot()
            return number in self._published_row_of()

    def snapshot(self) -> Snapshot:
        """Return the state now."""
        return self._published  # replaced whole by the writer, so no lock is needed

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of all entries, ascending."""
        return self.snapshot().ids()

    def add(self, batch: EntryBatch) -> NDArray[np.int64]:
        """Add entries and return their ids."""
        with self._mutex:
            self._check_writable()
            table = self._table
            settings = settings_with(self._table.settings, batch)
            count, next_id = len(batch.embeddings), table.next_id
            if batch.ids is None:
                if next_id > _LAST_ID - count:
                    raise InputError(f"No {count} ids are left above {next_id - 1}; pass ids.")
                ids = np.arange(next_id, next_id + count)
            else:
                ids = batch.ids
                self._check_new(ids)
            if not count and settings == table.settings:
                return ids
            self._commit(
                Change(
                    embeddings=batch.embeddings,
                    ids=ids,
                    pids=batch.pids,
                    camids=batch.camids,
                    timestamps=batch.timestamps,
                    metadata=batch.metadata,
                    next_id=max(next_id, int(ids.max()) + 1 if count else 0),
                    settings=settings,
                )
            )
            return ids

    def update(self, update: EntryUpdate) -> None:
        """Change entries: new rows take over from the old."""
        with self._mutex:
            self._check_writable()
            old_rows = self._rows(self._table.row_of(), update.ids)
            settings = settings_with(self._table.settings, update)
            if not len(old_rows):
                return
            old = self._published.batch(old_rows, update.embeddings)
            self._commit(
                Change(
                    embeddings=old.embeddings,
                    ids=update.ids,
                    pids=old.pids if update.pids is None else update.pids,
                    camids=old.camids if update.camids is None else update.camids,
                    timestamps=old.timestamps if update.timestamps is None else update.timestamps,
                    metadata=old.metadata if update.metadata is None else update.metadata,
                    next_id=self._table.next_id,
                    settings=settings,
                    deleted_rows=old_rows,
                )
            )

    def remove(self, which: NDArray[np.int64] | Condition) -> int:
        """Remove entries by ids or condition and return how many."""
        with self._mutex:
            self._check_writable()
            if isinstance(which, np.ndarray):
                rows = np.unique(self._rows(self._table.row_of(), which))
            else:
                rows = np.flatnonzero(self._published.matching(which))
            if len(rows):
                self._commit(self._change_without_rows(self._table.settings, rows))
            return len(rows)

    def change_settings(self, change: Callable[[Settings], Settings]) -> None:
        """Replace the settings by what ``change`` makes of them."""
        with self._mutex:
            self._check_writable()
            settings = change(self._table.settings)
            self._commit(self._change_without_rows(settings, np.empty(0, np.int64)))

    def select(self, condition: Condition) -> NDArray[np.int64]:
        """Return the ids of the entries that match, ascending."""
        return self.snapshot().selected_ids(condition)

    def entries(self, ids: NDArray[np.int64]) -> list[Entry]:
        """Return the entries of these ids, in their order."""
        with self._mutex:
            snapshot = self.snapshot()
            rows = self._rows(self._published_row_of(), ids)
        return snapshot.entries(rows)

    def scan(self, batch_size: int) -> Iterator[EntryBatch]:
        """Yield all entries of one state in the order of adding, ``batch_size`` at a time."""
        return self.snapshot().scan(batch_size)

    def counts(self, field: Literal["pid", "camid"]) -> dict[Pid, int]:
        """Return the number of entries by person or camera, most first."""
        return count_by(self.snapshot(), field)

    def stats(self) -> dict[str, Any]:
        """Return counts, and how entries are kept and searched."""
        snapshot = self.snapshot()
        return {
            **statistics(snapshot),
            **self._index.facts(snapshot.rows(), snapshot.num_entries),
            "path": self.location,
            "camera_means_moved": self._means_moved(snapshot),
        }

    def search(self, request: SearchRequest) -> SearchResult:
        """Find each query's nearest admitted entries."""
        snapshot = self.snapshot()
        found = self._index.search(snapshot.row_search(request), snapshot.num_entries)
        return snapshot.result(found, len(request.queries), request.k)

    def build_index(self, *, progress: bool | None) -> None:
        """Train and fill the index now."""
        snapshot = self.snapshot()
        self._index.build(snapshot.rows(), snapshot.num_entries, progress=progress)

    def recall(self, k: int, sample: int, seed: int) -> float:
        """Measure the index against exact search."""
        snapshot, rng = self.snapshot(), np.random.default_rng(seed)
        return self._index.recall(
            snapshot.rows(), snapshot.num_entries, k=k, sample=sample, rng=rng
        )

    def save(self, path: Path) -> None:
        """Write one state to a directory; a gallery there is replaced in one step."""
        save_snapshot(path, self.snapshot(), self._disk, self._own_folder())

    def compact(self) -> None:
        """Drop removed rows from memory."""
        with self._mutex:
            self._table = _copied(self._published)
            self._publish()

    def verify(self) -> None:
        """Do nothing: memory has no checksums."""

    def refresh(self) -> None:
        """Do nothing: nobody else writes."""

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def is_current(self, rows: Rows) -> bool:
        """Return whether rows are numbered, and normalised, as the store's are now."""
        return rows.numbering is self._published.rows().numbering

    def read_index(self, kind: str, rows: Rows) -> FaissIndex | None:
        """Return None: no index is stored in memory."""
        del kind, rows
        return None

    def save_index(self, index: FaissIndex, rows: Rows) -> None:
        """Do nothing: the index manager holds the index already."""

    def after_fork(self) -> None:
        """Forget, in a forked child, locks that threads of the parent may have held."""
        self._mutex = threading.RLock()
        self._index.after_fork()
        self._table.after_fork()

    def _commit(self, change: Change) -> None:
        table = self._table
        before = len(table), table.version, table.settings, table.next_id
        try:
            table.vectors.append(change.embeddings)
            table.apply(change)
            self._publish()
        except BaseException:  # out of memory, Ctrl-C: nothing has happened
            table.undo(*before)
            self._publish()
            raise
        if self._is_wasteful():
            self.compact()

    def _means_moved(self, snapshot: Snapshot) -> float | None:
        """Return how far the means of cameras have moved; they are fitted once a state."""
        state = snapshot.table.numbering, snapshot.version
        known = self._moved  # replaced whole, so that it is read without the lock
        if known is None or known[0] != state:
            known = self._moved = state, means_moved(self)
        return known[1]

    def _publish(self) -> None:
        """Let searches see what the writer has done; nobody writes now."""
        self._published = Snapshot.of(self._table)

    def _is_wasteful(self) -> bool:
        return self._table.num_deleted > max(MAX_WASTE_ROWS, len(self._table) // 2)

    def _own_folder(self) -> Folder | None:
        return None

    def _check_writable(self) -> None:
        """Raise GalleryError unless this store may be changed."""

    def _change_without_rows(self, settings: Settings, deleted: NDArray[np.int64]) -> Change:
        return Change.without_rows(self.dim, self._table.next_id, settings, deleted)

    def _published_row_of(self) -> dict[int, int]:
        """Return the row of each id as published, though a change may have been cut off."""
        table, snapshot = self._table, self._published
        whole = table.version == snapshot.version and len(table) == snapshot.num_rows
        return table.row_of() if snapshot.table is table and whole else snapshot.row_of()

    def _rows(self, row_of: dict[int, int], ids: NDArray[np.int64]) -> NDArray[np.int64]:
        check_known(ids, row_of)
        return np.array([row_of[number] for number in ids.tolist()], dtype=np.int64)

    def _check_new(self, ids: NDArray[np.int64]) -> None:
        check_distinct(ids)
        if len(ids) and int(ids.min()) < self._table.next_id:
            check_free(ids, self._table.row_of())


def _copied(snapshot: Snapshot) -> Table:
    """Return a new table in memory with only a snapshot's entries."""
    old, rows, count = snapshot.table, snapshot.alive_rows(), snapshot.num_rows
    vectors = MemoryVectors(old.vectors.dim)
    table = Table(vectors)
    for start in range(0, len(rows), _COPY_ROWS):
        vectors.append(old.vectors.take(rows[start : start + _COPY_ROWS]))
    codes = old.pid_codes.first(count)[rows]
    used, local = np.unique(codes, return_inverse=True)
    fresh = table.encode_pids([old.pid_values[code] for code in used.tolist()])
    table.extend(
        old.ids.first(count)[rows],
        fresh[local] if len(rows) else codes,
        old.camids.first(count)[rows],
        old.timestamps.first(count)[rows],
        *pack_metadata([old.metadata[row] for row in rows.tolist()]),
    )
    table.finish(np.empty(0, np.int64), snapshot.next_id, snapshot.settings)
    return table


def _restored(
    dim: int, index: str, entries: EntryBatch, next_id: int, settings: Settings
) -> MemoryStore:
    """Return the store of which these were pickled."""
    store = MemoryStore(dim, index=index)
    store.add(entries)
    store._commit(Change.without_rows(dim, next_id, settings))  # noqa: SLF001 - this module's own
    return store
