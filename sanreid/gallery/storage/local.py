"""The store that ships: columns and vectors of this process, in memory or over a directory.

One lock orders the writers; a search takes a snapshot under it and then runs without it, so
searches from many threads see only states that existed.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError, InputError, UnknownIdError
from sanreid.gallery.filters import Condition
from sanreid.gallery.index.approximate import ApproximateIndex, searched
from sanreid.gallery.index.cache import cache_path, cache_problem, read_index, write_index
from sanreid.gallery.index.manager import INDEX_KINDS, IndexKeeper
from sanreid.gallery.index.tuning import Truth
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.commit_log import Directory
from sanreid.gallery.storage.disk import Disk
from sanreid.gallery.storage.filenames import LOCK
from sanreid.gallery.storage.locks import WriterLock
from sanreid.gallery.storage.rewriting import write_snapshot
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Change, Settings, Table, joined
from sanreid.gallery.storage.vectors import MemoryVectors
from sanreid.gallery.store import NewRows, Revision, SearchRequest
from sanreid.gallery.validation import check_encoder

__all__ = ["LocalStore"]

_LAST_ID = np.iinfo(np.int64).max
_WASTE_ROWS = 4096  # dead rows below this number are never worth moving the others


class LocalStore:
    """Entries in this process; with a folder, each change is on disk before it is seen."""

    def __init__(
        self,
        dim: int,
        *,
        settings: Settings | None = None,
        folder: Path | None = None,
        write: bool = True,
        disk: Disk | None = None,
        index: str = "auto",
    ) -> None:
        self.dim = dim
        self.keeper = IndexKeeper(index)
        self.folder = folder
        self.write = write
        self._mutex = threading.RLock()
        self._disk = disk or Disk()
        self._writer: WriterLock | None = None
        self._directory: Directory | None = None
        self._closed = False
        if folder is None:
            self._table = Table(MemoryVectors(dim))
            self._table.settings = settings or Settings()
            self._publish()
        else:
            if write:
                self._writer = WriterLock(folder / LOCK)
            try:
                self._reopen()
            except BaseException:
                if self._writer is not None:
                    self._writer.release()
                raise

    @property
    def settings(self) -> Settings:
        """The encoder's fingerprint and the calibration."""
        return self._published.settings

    def __len__(self) -> int:
        return self.snapshot().num_entries

    def snapshot(self) -> Snapshot:
        """Give the state now."""
        self._check_open()
        return self._published  # replaced whole by the writer, so no lock is needed

    def ids(self) -> NDArray[np.int64]:
        """Ids of all entries, rising."""
        snapshot = self.snapshot()
        return np.sort(snapshot.table.ids.first(snapshot.num_rows)[snapshot.alive_rows()])

    def add(self, rows: NewRows) -> NDArray[np.int64]:
        """Add rows, all or none; give their ids."""
        with self._mutex:
            self._check_writable()
            table = self._table
            settings = self._with_fingerprint(rows.encoder_fingerprint)
            count, next_id = len(rows.embeddings), table.next_id
            if rows.ids is None:
                if next_id > _LAST_ID - count:
                    raise InputError(f"No {count} ids are left above {next_id - 1}; give ids.")
                ids = np.arange(next_id, next_id + count)
            else:
                ids = rows.ids
                self._check_new(ids)
            if not count and settings == table.settings:
                return ids
            self._commit(
                Change(
                    embeddings=rows.embeddings,
                    ids=ids,
                    pids=rows.pids,
                    camids=rows.camids,
                    timestamps=rows.timestamps,
                    metadata=rows.metadata,
                    next_id=max(next_id, int(ids.max()) + 1 if count else 0),
                    settings=settings,
                )
            )
            return ids

    def revise(self, revision: Revision) -> None:
        """Change entries, all or none: new rows take the place of the old."""
        with self._mutex:
            self._check_writable()
            old = self._rows(revision.ids)
            settings = self._with_fingerprint(revision.encoder_fingerprint)
            if not len(old):
                return
            table = self._table
            count = len(table)
            pids = [table.pid_values[code] for code in table.pid_codes.first(count)[old]]
            self._commit(
                Change(
                    embeddings=_or(revision.embeddings, lambda: table.vectors.take(old)),
                    ids=revision.ids,
                    pids=_or(revision.pids, lambda: pids),
                    camids=_or(revision.camids, lambda: table.camids.first(count)[old]),
                    timestamps=_or(
                        revision.timestamps, lambda: table.timestamps.first(count)[old]
                    ),
                    metadata=_or(
                        revision.metadata, lambda: [table.metadata[row] for row in old.tolist()]
                    ),
                    next_id=table.next_id,
                    settings=settings,
                    ended=old,
                )
            )

    def remove(self, which: NDArray[np.int64] | Condition) -> int:
        """Remove entries by ids or condition, all or none; give how many."""
        with self._mutex:
            self._check_writable()
            if isinstance(which, np.ndarray):
                ended = np.unique(self._rows(which))
            else:
                ended = np.flatnonzero(self._published.matching(which))
            if len(ended):
                self._commit(self._plain_change(self._table.settings, ended))
            return len(ended)

    def set_settings(self, settings: Settings) -> None:
        """Put other settings in place."""
        with self._mutex:
            self._check_writable()
            self._commit(self._plain_change(settings, np.empty(0, np.int64)))

    def select(self, condition: Condition) -> NDArray[np.int64]:
        """Ids of the entries that match, rising."""
        snapshot = self.snapshot()
        chosen = snapshot.matching(condition)
        return np.sort(snapshot.table.ids.first(snapshot.num_rows)[chosen])

    def entries(self, ids: NDArray[np.int64]) -> list[Entry]:
        """The entries of these ids, in their order."""
        with self._mutex:
            self._check_open()
            rows, snapshot = self._rows(ids), self._published
        return snapshot.entries(rows)

    def __contains__(self, number: int) -> bool:
        with self._mutex:
            self._check_open()
            return number in self._table.row_of()

    def search(self, request: SearchRequest) -> SearchResult:
        """Find each query's nearest admitted entries."""
        snapshot = self.snapshot()
        found = self.keeper.search(snapshot, request, self)
        return snapshot.result(found, len(request.queries), request.k)

    def build_index(self, *, progress: bool | None) -> None:
        """Train and fill the index now."""
        self.keeper.build(self.snapshot(), self, progress=progress)

    def recall(self, k: int, sample: int, seed: int) -> float:
        """Measure the index against exact search."""
        snapshot = self.snapshot()
        index = self.keeper.ready(snapshot, self, wait=True)
        if index is None:
            return 1.0
        truth = Truth(snapshot, k, sample, np.random.default_rng(seed))
        return truth.recall(searched(index, snapshot, truth.request))

    def is_current(self, snapshot: Snapshot) -> bool:
        """Tell whether a snapshot's rows are numbered as the store's are now."""
        return snapshot.table is self._table

    def read_index(self, snapshot: Snapshot) -> ApproximateIndex | None:
        """Give the index kept beside the entries, if there is one that fits."""
        with self._mutex:
            if self._directory is None or not self.is_current(snapshot):
                return None
            return read_index(self.keeper.kind, snapshot.num_rows, self._directory)

    def keep_index(self, index: ApproximateIndex, snapshot: Snapshot) -> None:
        """Keep an index beside the entries, unless they were compacted meanwhile."""
        with self._mutex:
            if self._directory is not None and self.write and self.is_current(snapshot):
                write_index(index, self._directory)

    def compact(self) -> None:
        """Drop removed rows: from memory, and from the files without a trace."""
        with self._mutex:
            self._check_writable()
            snapshot = self._published
            if self._directory is None or self.folder is None:
                self._table = _copied(snapshot)
                self._publish()
                return
            self._directory.broken = True  # until it is known which generation is current
            try:
                write_snapshot(self.folder, snapshot, self.dim, self._disk)
            except GalleryError:
                self._directory.broken = self._directory.is_outdated()
                raise
            self._directory.close()
            self._reopen()
            del snapshot
            left = self._directory.sweep()
            if left:
                raise GalleryError(
                    "The gallery is compacted, but its old files are in use and could not be "
                    f"deleted: {', '.join(map(str, left))}. Close their readers, compact again."
                )

    def verify(self) -> None:
        """Read every stored byte again.

        Raises:
            GalleryError: Some are not what was written; the message lists where.
        """
        with self._mutex:
            self._check_open()
            directory = self._directory
            found = [] if directory is None else directory.problems()
            if directory is not None:
                caches = [cache_path(directory, kind) for kind in INDEX_KINDS]
                damage = [cache_problem(path) for path in caches if path.is_file()]
                found += [problem for problem in damage if problem is not None]
        if found:
            more = f"\n  ... {len(found) - 20} more" if len(found) > 20 else ""
            raise GalleryError(
                f"The gallery {self.folder} is damaged:\n  " + "\n  ".join(found[:20]) + more
            )

    def refresh(self) -> None:
        """Take in what the writer has committed since."""
        with self._mutex:
            self._check_open()
            if self._directory is None or self.write:
                return
            if self._directory.refresh():
                self._publish()
            else:
                self._directory.close()
                self._reopen()

    def close(self) -> None:
        """Close the files and let the next writer in."""
        with self._mutex:
            if self._directory is not None:
                self._directory.close()
                self._closed = True
            if self._writer is not None:
                self._writer.release()

    def _reopen(self) -> None:
        assert self.folder is not None  # noqa: S101 - only a stored gallery is opened
        self._directory = Directory(self.folder, self._disk, write=self.write)
        if self.write and self._directory.merge(Snapshot.of(self._directory.table)):
            self._directory.close()
            self._directory = Directory(self.folder, self._disk, write=self.write)
        self._table = self._directory.table
        self.dim = self._directory.description.dim
        self._publish()

    def _commit(self, change: Change) -> None:
        if self._directory is not None:
            self._directory.append(change)
            self._publish()
            return
        size = len(self._table)
        try:
            self._table.vectors.append(change.embeddings)
            self._table.apply(change)
        except BaseException:  # out of memory, Ctrl-C: nothing has happened
            self._table.undo(size, change.ended)
            raise
        if self._table.num_dead > max(_WASTE_ROWS, len(self._table) // 2):
            self._table = _copied(Snapshot.of(self._table))
        self._publish()

    def _publish(self) -> None:
        """Let searches see what the writer has done; it stands still now."""
        self._published = Snapshot.of(self._table)

    def _plain_change(self, settings: Settings, ended: NDArray[np.int64]) -> Change:
        nothing = np.empty(0, np.int64)
        return Change(
            embeddings=np.empty((0, self.dim), np.float32),
            ids=nothing,
            pids=[],
            camids=nothing,
            timestamps=np.empty(0),
            metadata=[],
            next_id=self._table.next_id,
            settings=settings,
            ended=ended,
        )

    def _rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        row_of = self._table.row_of()
        rows = [row_of.get(number, -1) for number in ids.tolist()]
        unknown = [number for number, row in zip(ids.tolist(), rows, strict=True) if row < 0]
        if unknown:
            shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            raise UnknownIdError(
                f"The gallery has no entry {shown} ({len(unknown)} of {len(rows)} ids are "
                "unknown). Nothing was changed."
            )
        return np.array(rows, dtype=np.int64)

    def _check_new(self, ids: NDArray[np.int64]) -> None:
        values, counts = np.unique(ids, return_counts=True)
        if len(values) < len(ids):
            raise InputError(f"ids must differ; {values[counts > 1][0]} is given more than once.")
        if not len(ids) or int(values[0]) >= self._table.next_id:
            return
        row_of = self._table.row_of()
        for number in ids.tolist():
            if number in row_of:
                raise InputError(
                    f"The id {number} is in the gallery already. Use update() to change it."
                )

    def _with_fingerprint(self, fingerprint: str | None) -> Settings:
        """Settings that know the encoder: the first fingerprint given is kept."""
        settings = self._table.settings
        check_encoder(settings.encoder_fingerprint, fingerprint)
        if fingerprint is None or settings.encoder_fingerprint is not None:
            return settings
        return replace(settings, encoder_fingerprint=fingerprint)

    def _check_open(self) -> None:
        if self._closed:
            raise GalleryError("The gallery is closed; open it again.")

    def _check_writable(self) -> None:
        self._check_open()
        if not self.write:
            raise GalleryError('The gallery is open with mode="r"; open it with mode="rw".')
        if self._writer is not None and not self._writer.is_held:
            raise GalleryError("The gallery was opened by another process; open it here again.")


def _or(value: Any, otherwise: Any) -> Any:  # noqa: ANN401 - any column
    return otherwise() if value is None else value


def _copied(snapshot: Snapshot) -> Table:
    """Give a fresh table in memory with a snapshot's entries alone."""
    old, rows, count = snapshot.table, snapshot.alive_rows(), snapshot.num_rows
    vectors = MemoryVectors(old.vectors.dim)
    table = Table(vectors)
    for start in range(0, len(rows), 65536):
        vectors.append(old.vectors.take(rows[start : start + 65536]))
    codes = old.pid_codes.first(count)[rows]
    places, local = np.unique(codes, return_inverse=True)
    fresh = table.coded([old.pid_values[place] for place in places.tolist()])
    table.extend(
        old.ids.first(count)[rows],
        fresh[local] if len(rows) else codes,
        old.camids.first(count)[rows],
        old.timestamps.first(count)[rows],
        *joined([old.metadata[row] for row in rows.tolist()]),
    )
    table.close(np.empty(0, np.int64), snapshot.next_id, snapshot.settings)
    return table


def in_memory(snapshot: Snapshot, *, index: str) -> LocalStore:
    """Give a store in memory with a snapshot's entries."""
    store = LocalStore(snapshot.table.vectors.dim, index=index)
    store._table = _copied(snapshot)  # noqa: SLF001 - this module's own class
    store._publish()  # noqa: SLF001 - as above
    return store
