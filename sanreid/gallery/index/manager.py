"""The index of a store: which kind it is, when it is built, and its use in a search."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any, Protocol

from sanreid.errors import InputError
from sanreid.gallery.index import approximate
from sanreid.gallery.index.approximate import ApproximateIndex
from sanreid.gallery.index.exact import Candidates
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Table
from sanreid.gallery.store import SearchRequest

__all__ = ["INDEX_KINDS", "IndexKeeper", "IndexOwner", "as_index_kind"]

logger = logging.getLogger(__name__)

INDEX_KINDS = ("auto", "flat", *approximate.KINDS)
_MANY = 1_000_000


def as_index_kind(index: object) -> str:
    """Return ``index`` if it is one of :data:`INDEX_KINDS`.

    Raises:
        InputError: It is not.
    """
    if not isinstance(index, str) or index not in INDEX_KINDS:
        raise InputError(f"index must be one of {', '.join(INDEX_KINDS)}; got {index!r}.")
    return index


class IndexOwner(Protocol):
    """What the keeper asks of its store."""

    def is_current(self, snapshot: Snapshot) -> bool:
        """Tell whether a snapshot's rows are numbered as the store's are now."""
        ...

    def read_index(self, snapshot: Snapshot) -> ApproximateIndex | None:
        """Give the index kept beside the entries, if there is one that fits."""
        ...

    def keep_index(self, index: ApproximateIndex, snapshot: Snapshot) -> None:
        """Keep an index beside the entries."""
        ...


class IndexKeeper:
    """Builds, extends, keeps and uses the index of one store."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._held: tuple[ApproximateIndex, weakref.ref[Table]] | None = None
        self._mutex = threading.Lock()
        self._told = False

    @property
    def covered(self) -> int:
        """Rows the index holds."""
        return 0 if self._held is None else self._held[0].covered

    def facts(self, snapshot: Snapshot) -> dict[str, Any]:
        """Say how a search would be answered now."""
        exact = self.kind in ("auto", "flat") or snapshot.num_entries < approximate.MIN_ROWS
        used = "flat" if exact else self.kind
        facts = {
            "index": self.kind,
            "index_in_use": used,
            "exact": exact,
            "indexed_rows": self.covered,
        }
        index = None if exact else self._of(snapshot.table)
        if index is not None:
            facts |= {
                "index_axes": index.index.d,
                "index_width": index.width,
                "candidates_per_entry": index.overfetch,
            }
        return facts

    def search(self, snapshot: Snapshot, request: SearchRequest, owner: IndexOwner) -> Candidates:
        """Answer a search by the index where there is one, else exactly."""
        index = self.ready(snapshot, owner)
        found = None if index is None else approximate.searched(index, snapshot, request)
        return snapshot.search(request) if found is None else found

    def ready(
        self, snapshot: Snapshot, owner: IndexOwner, *, wait: bool = False
    ) -> ApproximateIndex | None:
        """Give an index for the snapshot's table, built or read if need be; None for exact.

        While another thread builds it, searches are answered exactly unless told to ``wait``.
        """
        if self.facts(snapshot)["exact"]:
            self._tell(snapshot)
            return None
        index = self._of(snapshot.table)
        if index is not None and not index.lags(snapshot):
            return index
        if not self._mutex.acquire(blocking=wait):
            return None
        try:
            index = self._of(snapshot.table)
            if index is None:
                if not owner.is_current(snapshot):
                    return None  # compacted meanwhile: not worth an index
                index = owner.read_index(snapshot)
                if index is None:
                    index = self._build(snapshot, owner, progress=None)
                self._held = index, weakref.ref(snapshot.table)
            if index.lags(snapshot):
                index.extend(snapshot)
            return index
        finally:
            self._mutex.release()

    def _of(self, table: Table) -> ApproximateIndex | None:
        """Give the index held, if its rows are numbered as the table's are."""
        held = self._held  # replaced whole, so that it is read without the lock
        return held[0] if held is not None and held[1]() is table else None

    def _tell(self, snapshot: Snapshot) -> None:
        """Say once that an approximate index would be quicker."""
        if self.kind == "auto" and snapshot.num_entries >= _MANY and not self._told:
            self._told = True
            logger.info(
                'index="auto" searches %d entries exactly; index="ivf" is quicker and '
                "approximate.",
                snapshot.num_entries,
            )

    def build(self, snapshot: Snapshot, owner: IndexOwner, *, progress: bool | None) -> None:
        """Train and fill the index now; exact search needs none."""
        if self.facts(snapshot)["exact"]:
            return
        with self._mutex:
            index = self._build(snapshot, owner, progress=progress)
            self._held = index, weakref.ref(snapshot.table)

    def _build(
        self, snapshot: Snapshot, owner: IndexOwner, *, progress: bool | None
    ) -> ApproximateIndex:
        index = ApproximateIndex.build(self.kind, snapshot, progress=progress)
        owner.keep_index(index, snapshot)
        return index
