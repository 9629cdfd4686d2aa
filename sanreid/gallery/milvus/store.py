"""A :class:`~sanreid.gallery.store.Store` on Milvus.

One object writes: whoever opened the gallery for writing last. What a server does not promise is
listed in docs/howto/milvus.md: a change of many rows is several insertions, which are taken back
as far as the server allows when one of them fails; readers see changes as they come; there are no
checksums to verify.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError, InputError, UnsupportedError
from sanreid.gallery.camera_means import means_moved
from sanreid.gallery.filters import Condition
from sanreid.gallery.milvus.collections import EXACT, KINDS, index_in_use, index_parameters
from sanreid.gallery.milvus.compaction import compact
from sanreid.gallery.milvus.connection import PAGE, Connection
from sanreid.gallery.milvus.expressions import compiled
from sanreid.gallery.milvus.rows import LABELS, Row, as_batch, as_rows, in_parts
from sanreid.gallery.milvus.search import Searcher, as_result
from sanreid.gallery.milvus.settings import SettingsTable
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.ids import check_distinct, check_free, check_known
from sanreid.gallery.storage.memory_store import MemoryStore
from sanreid.gallery.store import EntryBatch, EntryUpdate, SearchRequest, Settings, settings_with
from sanreid.gallery.validation import NO_CAMID, Pid

__all__ = ["MilvusStore"]

_COLUMNS = (*LABELS, "embedding")
_LAST_ID = np.iinfo(np.int64).max
_UNSEEN = 8192  # new ids until the head is told: opening looks for those after it
_IDS = 4096  # ids named in one expression


class MilvusStore:
    """Entries in a collection of Milvus.

    Args:
        connection: The server; closed with the store.
        name: The collection, which exists.
        dim: D, the width of the embeddings.
        write: Whether to take changes, from now on instead of any other writer.
        index: The kind of index to search with.

    Raises:
        GalleryError: The settings are missing or damaged.
    """

    def __init__(
        self, connection: Connection, name: str, dim: int, *, write: bool, index: str = "auto"
    ) -> None:
        self._connection, self._name, self._dim = connection, name, dim
        self._write, self._kind = write, index
        self._mutex = threading.RLock()
        self._texts = SettingsTable(connection, settings_name(name))
        self._head, self._settings = self._texts.read()
        if self._head.dim != dim:
            raise GalleryError(
                f"The gallery {self.location} has dim {dim}, its settings say {self._head.dim}."
            )
        self._index_type = index_in_use(connection, name)
        if write:
            self._head = self._texts.claim(self._head)
        self._count: int | None = None
        self._changes = 0  # of the number of entries, by this object
        self._catch_up()
        self._next_id = self._head.next_id
        if write:
            for page in connection.pages(name, "", ("id",), first=self._head.next_id):
                self._next_id = int(page[-1]["id"]) + 1

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: a connection belongs to one process.

        Raises:
            GalleryError: Always.
        """
        raise GalleryError(
            f"The gallery {self.location} is on a server and cannot be pickled or copied. Pass "
            'its address and open it there with mode="r".'
        )

    @property
    def dim(self) -> int:
        """D, the width of the embeddings."""
        return self._dim

    @property
    def location(self) -> str:
        """The address, without its token."""
        return self._connection.address.shown

    @property
    def index(self) -> str:
        """The kind of index that was requested."""
        return self._kind

    @property
    def settings(self) -> Settings:
        """The encoder's fingerprint, the calibration and the camera normalizer."""
        return self._settings

    def __len__(self) -> int:
        count, changes = self._count, self._changes
        if count is None:
            count = self._count_rows()
            if self._write and changes == self._changes:  # nobody changed it meanwhile
                self._count = count
        return count

    def __contains__(self, number: int) -> bool:
        return abs(number) <= _LAST_ID and bool(self._present(np.array([number])))

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of all entries, ascending."""
        return self._selected_ids("")

    def add(self, batch: EntryBatch) -> NDArray[np.int64]:
        """Add entries and return their ids.

        Raises:
            GalleryError: The server refuses; the rows that it took are removed again, and the
                message says so where that fails too.
        """
        with self._mutex:
            self._check_writable()
            settings = settings_with(self._settings, batch)
            count = len(batch.embeddings)
            if batch.ids is None:
                if self._next_id > _LAST_ID - count:
                    raise InputError(
                        f"No {count} ids are left above {self._next_id - 1}; pass ids."
                    )
                ids = np.arange(self._next_id, self._next_id + count)
            else:
                ids = batch.ids
                check_distinct(ids)
                check_free(ids, self._present(ids[ids <= self._next_id]))
            rows = as_rows(replace(batch, ids=ids))
            self._set_settings(settings)
            if not count:
                return ids
            self._next_id = max(self._next_id, min(int(ids.max()) + 1, _LAST_ID))
            if self._next_id - self._head.next_id > _UNSEEN:
                self._keep_next_id()
            self._insert(rows, ids)
            return ids

    def update(self, update: EntryUpdate) -> None:
        """Change entries."""
        with self._mutex:
            self._check_writable()
            settings = settings_with(self._settings, update)
            held = self._rows(update.ids)
            check_known(update.ids, held)
            changed = []
            for start in range(0, len(update.ids), PAGE):
                part = slice(start, start + PAGE)
                ids = update.ids[part]
                old = as_batch([held[number] for number in ids.tolist()], None, self._dim)
                changed += as_rows(
                    EntryBatch(
                        old.embeddings if update.embeddings is None else update.embeddings[part],
                        old.pids if update.pids is None else update.pids[part],
                        old.camids if update.camids is None else update.camids[part],
                        old.timestamps if update.timestamps is None else update.timestamps[part],
                        old.metadata if update.metadata is None else update.metadata[part],
                        ids,
                        None,
                    )
                )
            self._set_settings(settings)
            done = 0
            for rows in in_parts(changed):
                try:
                    self._connection.call("upsert", self._name, rows)
                except GalleryError as error:
                    raise GalleryError(
                        f"{error}. {done} of {len(changed)} entries were changed before; call "
                        "update() again."
                    ) from error
                done += len(rows)

    def remove(self, which: NDArray[np.int64] | Condition) -> int:
        """Remove entries by ids or condition and return how many."""
        with self._mutex:
            self._check_writable()
            if isinstance(which, np.ndarray):
                check_known(which, self._present(which))
                ids = np.unique(which)
            else:
                ids = self.select(which)
            if len(ids):
                self._keep_next_id()  # an id is never used again
                self._delete(ids)
            return len(ids)

    def change_settings(self, change: Callable[[Settings], Settings]) -> None:
        """Replace the settings by what ``change`` makes of them."""
        with self._mutex:
            self._check_writable()
            self._set_settings(change(self._settings))

    def select(self, condition: Condition) -> NDArray[np.int64]:
        """Return the ids of the entries that match, ascending."""
        expression = compiled(condition)
        if isinstance(expression.maybe, bool):
            return self.ids() if expression.maybe else np.empty(0, np.int64)
        if expression.is_exact:
            return self._selected_ids(expression.maybe)
        found = [
            row.id
            for page in self._connection.pages(self._name, expression.maybe, LABELS)
            for row in map(Row.of, page)
            if row.matches(condition)
        ]
        return np.array(found, dtype=np.int64)

    def entries(self, ids: NDArray[np.int64]) -> list[Entry]:
        """Return the entries of these ids, in their order."""
        held = self._rows(ids)
        check_known(ids, held)
        return [held[number].entry() for number in ids.tolist()]

    def scan(self, batch_size: int) -> Iterator[EntryBatch]:
        """Yield all entries by rising id, ``batch_size`` at a time."""
        held: list[Row] = []
        fingerprint = self._settings.encoder_fingerprint
        for page in self._connection.pages(self._name, "", _COLUMNS):
            held += map(Row.of, page)
            while len(held) >= batch_size:
                yield as_batch(held[:batch_size], fingerprint, self._dim)
                held = held[batch_size:]
        if held:
            yield as_batch(held, fingerprint, self._dim)

    def counts(self, field: Literal["pid", "camid"]) -> dict[Pid, int]:
        """Return the number of entries by person or camera, most first."""
        rows = (row for page in self._connection.pages(self._name, "", LABELS[:3]) for row in page)
        numbers: Counter[Pid] = Counter({None: 0})
        if field == "pid":
            numbers.update(Row.pid_of(row) for row in rows)
        else:
            by_camera = Counter(int(row["camid"]) for row in rows)
            numbers.update({None: by_camera.pop(NO_CAMID, 0)} | dict(sorted(by_camera.items())))
        return {value: count for value, count in numbers.most_common() if count}

    def stats(self) -> dict[str, Any]:
        """Return counts, how entries are kept and searched, how far the camera means moved."""
        pids, camids = self.counts("pid"), self.counts("camid")
        count = sum(pids.values())
        self._index_type = index_in_use(self._connection, self._name)
        return {
            "entries": count,
            "removed_rows": None,  # a server does not tell
            "dim": self._dim,
            "pids": len(pids.keys() - {None}),
            "camids": len(camids.keys() - {None}),
            "encoder_fingerprint": self._settings.encoder_fingerprint,
            "vector_bytes": count * self._dim * 4,
            "index": self._kind,
            "index_in_use": self._index_type.lower(),
            "exact": self._index_type == EXACT,
            "indexed_rows": 0 if self._index_type == EXACT else count,
            "path": self.location,
            "camera_means_moved": means_moved(self),
            "server": self._connection.call("get_server_version"),
        }

    def search(self, request: SearchRequest) -> SearchResult:
        """Find each query's nearest admitted entries."""
        return as_result(self._searcher(request).ranked(), request.k)

    def build_index(self, *, progress: bool | None) -> None:
        """Have the server build the requested index; "auto" leaves the one that is there."""
        del progress  # the server does not tell
        with self._mutex:
            self._check_writable()
            if self._kind == "auto" or KINDS[self._kind][0] == self._index_type:
                return
            call, name = self._connection.call, self._name
            call("release_collection", name)
            call("drop_index", name, "embedding")
            call("create_index", name, index_parameters(self._connection, self._kind))
            call("load_collection", name)
            self._index_type = index_in_use(self._connection, name)

    def recall(self, k: int, sample: int, seed: int) -> float:
        """Measure the index against exact search."""
        if self._index_type == EXACT:
            return 1.0
        ids = self.ids()
        chosen = np.random.default_rng(seed).choice(ids, min(sample, len(ids)), replace=False)
        rows = self._rows(np.sort(chosen))
        if len(ids) < 2:
            return 1.0
        queries = as_batch(list(rows.values()), None, self._dim).embeddings
        searcher = self._searcher(SearchRequest(queries, k + 1, None, None, None, None))
        exact: list[list[Any]] = [[] for _ in rows]
        searcher.scan(range(len(rows)), exact)
        shares = [
            len(wanted & {one.row.id for one in hits}) / len(wanted)
            for own, hits, best in zip(rows, searcher.ranked(), exact, strict=True)
            if (wanted := {one.row.id for one in best} - {own})
        ]
        return float(np.mean(shares))

    def save(self, path: Path) -> None:
        """Write the entries to a directory, by way of this process's memory."""
        copy = MemoryStore(self._dim, settings=self._settings)
        for batch in self.scan(PAGE):
            copy.add(batch)
        copy.save(path)

    def compact(self) -> None:
        """Have the server drop what was removed or replaced, and wait until it has.

        Entries may be added, changed and removed meanwhile; only their counting waits for those.
        """
        with self._mutex:
            self._check_writable()
        for name in (self._name, settings_name(self._name)):
            compact(self._connection, name, self._mutex)

    def verify(self) -> None:
        """Refuse: a server shows no checksums.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(
            f"The gallery {self.location} cannot be verified: Milvus shows no checksums of what "
            "it keeps. save() writes a copy to a directory, which can be."
        )

    def refresh(self) -> None:
        """See, from now on, at least what is committed by now; a writer asks for an answer only.

        Raises:
            GalleryError: The server does not answer, or the gallery is gone.
        """
        if self._write:  # which waits for no change that is under way
            self._texts.head()
            return
        with self._mutex:
            self._head, self._settings = self._texts.read()
            self._index_type = index_in_use(self._connection, self._name)
            self._catch_up()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _searcher(self, request: SearchRequest) -> Searcher:
        return Searcher(
            self._connection,
            self._name,
            self._index_type,
            request,
            self._settings.camera_normalizer,
        )

    def _catch_up(self) -> None:
        """Wait until the server answers with all that is committed by now."""
        self._count_rows(consistency="Strong")

    def _count_rows(self, consistency: str | None = None) -> int:
        rows = self._connection.query(self._name, "", ("count(*)",), consistency=consistency)
        return int(rows[0]["count(*)"])

    def _selected_ids(self, expression: str) -> NDArray[np.int64]:
        pages = self._connection.pages(self._name, expression, ("id",))
        found = [int(row["id"]) for page in pages for row in page]
        return np.array(found, dtype=np.int64)

    def _present(self, ids: NDArray[np.int64]) -> set[int]:
        """Return which of these ids are in the gallery."""
        found: set[int] = set()
        for part in _named(ids):
            found.update(
                int(row["id"]) for row in self._connection.query(self._name, part, ("id",))
            )
        return found

    def _rows(self, ids: NDArray[np.int64]) -> dict[int, Row]:
        """Return the rows of those of these ids that are in the gallery, by rising id."""
        found = {}
        for part in _named(ids, PAGE):
            for fields in self._connection.query(self._name, part, _COLUMNS):
                row = Row.of(fields)
                found[row.id] = row
        return dict(sorted(found.items()))

    def _insert(self, rows: list[dict[str, Any]], ids: NDArray[np.int64]) -> None:
        try:
            for part in in_parts(rows):
                self._connection.call("insert", self._name, part)
        except GalleryError as error:
            try:
                self._delete(ids)
            except GalleryError:
                raise GalleryError(
                    f"{error}. Some of the entries {ids.min()} to {ids.max()} may have been "
                    "added: remove them when the server is back, and add them again."
                ) from error
            raise GalleryError(f"{error}. Nothing was added.") from error
        finally:
            self._recount()

    def _delete(self, ids: NDArray[np.int64]) -> None:
        try:
            for part in _named(ids):
                self._connection.call("delete", self._name, filter=part)
            self._catch_up()  # a server tells no time of a deletion: wait until it is seen
        finally:
            self._recount()

    def _recount(self) -> None:
        self._count, self._changes = None, self._changes + 1

    def _keep_next_id(self) -> None:
        if self._next_id > self._head.next_id:
            head = replace(self._head, next_id=self._next_id)
            self._texts.write_head(head)
            self._head = head

    def _set_settings(self, settings: Settings) -> None:
        if settings is not self._settings:
            self._head = self._texts.replace(self._head, settings)
            self._settings = settings

    def _check_writable(self) -> None:
        if not self._write:
            raise GalleryError('The gallery is open with mode="r"; open it with mode="rw".')
        head = self._texts.head(consistency="Session")
        if head.writer != self._head.writer:
            raise GalleryError(
                f"The gallery {self.location} was opened for writing elsewhere since; open it "
                "here again."
            )


def settings_name(name: str) -> str:
    """Return the name of the collection of a gallery's settings."""
    return f"{name}__settings"


def _named(ids: NDArray[np.int64], step: int = _IDS) -> Iterator[str]:
    """Yield expressions that name these ids."""
    distinct = np.unique(ids)
    for start in range(0, len(distinct), step):
        yield f"id in [{', '.join(map(str, distinct[start : start + step].tolist()))}]"
