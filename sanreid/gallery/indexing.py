"""The index of a store: which kind it is, when it is built, and its use in a search."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any, Protocol

from sanreid.gallery import approximate
from sanreid.gallery.approximate import ApproximateIndex
from sanreid.gallery.exact import Candidates
from sanreid.gallery.snapshot import Snapshot
from sanreid.gallery.store import SearchRequest
from sanreid.gallery.table import Table

__all__ = ["INDEX_KINDS", "IndexKeeper", "IndexOwner"]

logger = logging.getLogger(__name__)

INDEX_KINDS = ("auto", "flat", *approximate.KINDS)
_MANY = 1_000_000


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
        self._index: ApproximateIndex | None = None
        self._table: weakref.ref[Table] | None = None
        self._mutex = threading.Lock()
        self._told = False

    @property
    def covered(self) -> int:
        """Rows the index holds."""
        return 0 if self._index is None else self._index.covered

    def facts(self, snapshot: Snapshot) -> dict[str, Any]:
        """Say how a search would be answered now."""
        exact = self.kind in ("auto", "flat") or snapshot.num_entries < approximate.MIN_ROWS
        used = "flat" if exact else self.kind
        return {
            "index": self.kind,
            "index_in_use": used,
            "exact": exact,
            "indexed_rows": self.covered,
        }

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
        if not self._mutex.acquire(blocking=wait):
            return None
        try:
            known = None if self._table is None else self._table()
            if self._index is None or known is not snapshot.table:
                if not owner.is_current(snapshot):
                    return None  # compacted meanwhile: not worth an index
                self._index = owner.read_index(snapshot)
                if self._index is None:
                    self._build(snapshot, owner, progress=None)
                self._table = weakref.ref(snapshot.table)
            assert self._index is not None  # noqa: S101 - built just above
            self._index.extend(snapshot)
            return self._index
        finally:
            self._mutex.release()

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
            self._build(snapshot, owner, progress=progress)
            self._table = weakref.ref(snapshot.table)

    def _build(self, snapshot: Snapshot, owner: IndexOwner, *, progress: bool | None) -> None:
        self._index = ApproximateIndex.build(self.kind, snapshot, progress=progress)
        owner.keep_index(self._index, snapshot)
