"""The seam between a gallery and whatever keeps and searches its entries.

:class:`Store` is all that :class:`sanreid.Gallery` needs: ids, a filter tree and a search request
go in, entries and results come out. The one that ships is
:class:`sanreid.gallery.storage.local.LocalStore`; a gallery too large for one machine can put a
vector database behind the same calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.filters import Condition
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.table import Settings
from sanreid.gallery.validation import Pid

__all__ = ["NewRows", "Revision", "SearchRequest", "Store"]


@dataclass(frozen=True, slots=True)
class NewRows:
    """Checked rows to add; ``ids`` None asks for new ones."""

    embeddings: NDArray[np.float32]
    pids: Sequence[Pid]
    camids: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    metadata: Sequence[bytes]
    ids: NDArray[np.int64] | None
    encoder_fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Revision:
    """Checked columns to put in place of entries'; None leaves a column as it is."""

    ids: NDArray[np.int64]
    embeddings: NDArray[np.float32] | None
    pids: Sequence[Pid] | None
    camids: NDArray[np.int64] | None
    timestamps: NDArray[np.float64] | None
    metadata: Sequence[bytes] | None
    encoder_fingerprint: str | None


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A checked search.

    ``exclude_camids`` with ``exclude_pids`` leaves out a query's person under its camera, alone
    its camera; the value None of a query leaves out nothing.
    """

    queries: NDArray[np.float32]  # (Q, D), norm 1
    k: int
    condition: Condition | None
    exclude_pids: Sequence[Pid] | None
    exclude_camids: NDArray[np.int64] | None
    min_similarity: float | None


class Store(Protocol):
    """Keeps entries and searches them."""

    @property
    def settings(self) -> Settings:
        """The encoder's fingerprint and the calibration."""
        ...

    def __len__(self) -> int:
        """Entries now."""
        ...

    def ids(self) -> NDArray[np.int64]:
        """Ids of all entries, rising."""
        ...

    def add(self, rows: NewRows) -> NDArray[np.int64]:
        """Add rows, all or none; give their ids."""
        ...

    def revise(self, revision: Revision) -> None:
        """Change entries, all or none."""
        ...

    def remove(self, which: NDArray[np.int64] | Condition) -> int:
        """Remove entries by ids or condition, all or none; give how many."""
        ...

    def select(self, condition: Condition) -> NDArray[np.int64]:
        """Ids of the entries that match, rising."""
        ...

    def entries(self, ids: NDArray[np.int64]) -> list[Entry]:
        """The entries of these ids, in their order."""
        ...

    def search(self, request: SearchRequest) -> SearchResult:
        """Find each query's nearest admitted entries."""
        ...
