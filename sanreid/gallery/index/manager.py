"""The index of one store: of which kind, when it is built, and its use in a search."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any, Protocol

import numpy as np

from sanreid.gallery.index.exact import exact_search
from sanreid.gallery.index.faiss_index import FaissIndex
from sanreid.gallery.index.kinds import EXACT_KINDS, as_index_kind
from sanreid.gallery.index.rows import Candidates, Rows, RowSearch
from sanreid.gallery.index.tuning import RecallProbe

__all__ = ["MIN_ROWS", "IndexFiles", "IndexManager"]

logger = logging.getLogger(__name__)

MIN_ROWS = 10_000  # below, exact search is quick and an index would be badly trained
_MANY = 1_000_000


class IndexFiles(Protocol):
    """Where a manager finds and keeps the index that fits a store's rows."""

    def is_current(self, rows: Rows) -> bool:
        """Return whether rows are numbered as the store's are now."""
        ...

    def read_index(self, kind: str, rows: Rows) -> FaissIndex | None:
        """Return the stored index, if there is one that fits."""
        ...

    def save_index(self, index: FaissIndex, rows: Rows) -> None:
        """Store an index."""
        ...


class IndexManager:
    """Builds, extends, stores and uses the index of one store.

    Args:
        kind: What to use; see :func:`~sanreid.gallery.index.kinds.index_kinds`.
        files: The store's.

    Raises:
        InputError: The kind is unknown.
    """

    def __init__(self, kind: str, files: IndexFiles) -> None:
        self.kind = as_index_kind(kind)
        self._files = weakref.proxy(files)  # else only the garbage collector ends the store
        self._held: tuple[FaissIndex, weakref.ref[object]] | None = None
        self._building = threading.Lock()
        self._hinted = False

    def after_fork(self) -> None:
        """Forget, in a forked child, a lock that a thread of the parent may have held."""
        self._building = threading.Lock()

    def search(self, search: RowSearch, num_entries: int) -> Candidates:
        """Answer a search by the index where there is one, else exactly."""
        index = self._ready(search.rows, num_entries)
        found = None if index is None else index.search(search)
        return exact_search(search) if found is None else found

    def facts(self, rows: Rows, num_entries: int) -> dict[str, Any]:
        """Describe how a search would be answered now."""
        exact = self._is_exact(num_entries)
        facts = {
            "index": self.kind,
            "index_in_use": "flat" if exact else self.kind,
            "exact": exact,
            "indexed_rows": 0 if self._held is None else self._held[0].covered,
        }
        index = None if exact else self._of(rows)
        if index is not None:
            facts |= {
                "index_axes": index.index.d,
                "index_width": index.width,
                "candidates_per_entry": index.overfetch,
            }
        return facts

    def build(self, rows: Rows, num_entries: int, *, progress: bool | None) -> None:
        """Train and fill the index now; exact search needs none."""
        if self._is_exact(num_entries):
            return
        with self._building:
            self._held = self._build(rows, progress=progress), weakref.ref(rows.numbering)

    def recall(
        self, rows: Rows, num_entries: int, *, k: int, sample: int, rng: np.random.Generator
    ) -> float:
        """Measure the index against exact search, waiting for it if it is being built."""
        index = self._ready(rows, num_entries, wait=True)
        if index is None:
            return 1.0
        probe = RecallProbe(rows, k, sample, rng)
        return probe.recall(index.search(probe.search))

    def _is_exact(self, num_entries: int) -> bool:
        return self.kind in EXACT_KINDS or num_entries < MIN_ROWS

    def _ready(self, rows: Rows, num_entries: int, *, wait: bool = False) -> FaissIndex | None:
        """Return an index for the rows, built or read if need be; None for exact search.

        While another thread builds it, searches are answered exactly unless ``wait`` is set.
        """
        if self._is_exact(num_entries):
            self._hint(num_entries)
            return None
        index = self._of(rows)
        if index is not None and not index.lags(rows):
            return index
        if not self._building.acquire(blocking=wait):
            return None
        try:
            index = self._of(rows)
            if index is None:
                if not self._files.is_current(rows):
                    return None  # compacted meanwhile: not worth an index
                index = self._files.read_index(self.kind, rows)
                if index is None:
                    index = self._build(rows, progress=None)
                self._held = index, weakref.ref(rows.numbering)
            if index.lags(rows):
                index.extend(rows)
            return index
        finally:
            self._building.release()

    def _of(self, rows: Rows) -> FaissIndex | None:
        """Return the index held, if its rows are numbered as these are."""
        held = self._held  # replaced whole, so that it is read without the lock
        return held[0] if held is not None and held[1]() is rows.numbering else None

    def _build(self, rows: Rows, *, progress: bool | None) -> FaissIndex:
        index = FaissIndex.build(self.kind, rows, progress=progress)
        self._files.save_index(index, rows)
        return index

    def _hint(self, num_entries: int) -> None:
        """Log once that an approximate index would be quicker."""
        if self.kind == "auto" and num_entries >= _MANY and not self._hinted:
            self._hinted = True
            logger.info(
                'index="auto" searches %d entries exactly; index="ivf" is quicker and '
                "approximate.",
                num_entries,
            )
