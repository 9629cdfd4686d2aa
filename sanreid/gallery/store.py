"""The seam between a gallery and whatever keeps and searches its entries.

:class:`Store` is all that :class:`sanreid.Gallery` uses: ids, a filter tree and a search request
go in, entries and results come out; nothing in it is about files or rows of this process. Those
that ship are :class:`~sanreid.gallery.storage.memory_store.MemoryStore`,
:class:`~sanreid.gallery.storage.directory_store.DirectoryStore` and, for a gallery too large for
one machine, :class:`~sanreid.gallery.milvus.store.MilvusStore`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.gallery.filters import Condition
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.travel import TravelTimes
from sanreid.gallery.validation import Pid, check_encoder

__all__ = ["EntryBatch", "EntryUpdate", "SearchRequest", "Settings", "Store", "settings_with"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gallery knows besides its entries."""

    encoder_fingerprint: str | None = None
    calibration: dict[str, Any] | None = None
    camera_normalizer: CameraNormalizer | None = None
    camera_names: Mapping[int, str] = field(default_factory=dict)  # by the numbers kept for them


@dataclass(frozen=True, slots=True)
class EntryBatch:
    """Checked columns of N entries, to add or as they are stored.

    Attributes:
        embeddings: (N, D) float32, of L2 norm 1.
        pids: (N,) int, str or None.
        camids: (N,) int64; :data:`~sanreid.gallery.validation.NO_CAMID` stands for None.
        timestamps: (N,) float64 seconds; NaN stands for None.
        metadata: (N,) JSON objects as UTF-8 bytes; the empty string for none.
        ids: (N,) int64; None to assign new ones.
        encoder_fingerprint: The encoder's, if known.
        camera_names: The names of cameras that have one, by the numbers that stand for them.
    """

    embeddings: NDArray[np.float32]
    pids: Sequence[Pid]
    camids: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    metadata: Sequence[bytes]
    ids: NDArray[np.int64] | None
    encoder_fingerprint: str | None
    camera_names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryUpdate:
    """Checked new columns of existing entries; None leaves a column as it is."""

    ids: NDArray[np.int64]
    embeddings: NDArray[np.float32] | None
    pids: Sequence[Pid] | None
    camids: NDArray[np.int64] | None
    timestamps: NDArray[np.float64] | None
    metadata: Sequence[bytes] | None
    encoder_fingerprint: str | None
    camera_names: Mapping[int, str] = field(default_factory=dict)


def settings_with(settings: Settings, rows: EntryBatch | EntryUpdate) -> Settings:
    """Return settings that know the encoder and the cameras' names of rows as well.

    The first fingerprint is kept. Settings that know both already are returned as they are.

    Raises:
        GalleryError: The rows come from another encoder.
    """
    check_encoder(settings.encoder_fingerprint, rows.encoder_fingerprint)
    if settings.encoder_fingerprint is None and rows.encoder_fingerprint is not None:
        settings = replace(settings, encoder_fingerprint=rows.encoder_fingerprint)
    if rows.camera_names.keys() - settings.camera_names.keys():
        names = {**settings.camera_names, **rows.camera_names}
        settings = replace(settings, camera_names=names)
    return settings


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A checked search.

    ``exclude_camids`` with ``exclude_pids`` excludes a query's person under its camera, without
    it the whole camera; the value None of a query excludes nothing. ``query_pids`` and
    ``query_camids`` are what is known of the queries; in a gallery that normalises by cameras,
    they are normalised by theirs. ``travel`` excludes entries that a query's person cannot have
    been at in the time between the two; see :class:`~sanreid.gallery.travel.TravelTimes`, whose
    ``excluded`` answers for pairs. Like ``condition``, these rules act before ranking: k entries
    are found whenever that many are left.
    """

    queries: NDArray[np.float32]  # (Q, D), norm 1
    k: int
    condition: Condition | None
    exclude_pids: Sequence[Pid] | None
    exclude_camids: NDArray[np.int64] | None
    min_similarity: float | None
    query_pids: Sequence[Pid] | None = None
    query_camids: NDArray[np.int64] | None = None
    is_normalized: bool = False  # whether the queries are normalised by their cameras already
    travel: TravelTimes | None = None


class Store(Protocol):
    """Keeps entries and searches them.

    A change happens whole or not at all, and is kept as durably as the store can when the call
    returns. Every call raises :class:`~sanreid.errors.GalleryError` on a closed or damaged store.
    """

    @property
    def dim(self) -> int:
        """D, the width of the embeddings."""
        ...

    @property
    def location(self) -> str | None:
        """Where the entries are kept, for people to read; None in memory."""
        ...

    @property
    def index(self) -> str:
        """The kind of index that was requested."""
        ...

    @property
    def settings(self) -> Settings:
        """The encoder's fingerprint, the calibration and the camera normalizer."""
        ...

    def __len__(self) -> int:
        """Return the number of entries."""
        ...

    def __contains__(self, number: int) -> bool:
        """Return whether an entry has this id."""
        ...

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of all entries, ascending."""
        ...

    def add(self, batch: EntryBatch) -> NDArray[np.int64]:
        """Add entries and return their ids."""
        ...

    def update(self, update: EntryUpdate) -> None:
        """Change entries."""
        ...

    def remove(self, which: NDArray[np.int64] | Condition) -> int:
        """Remove entries by ids or condition and return how many."""
        ...

    def change_settings(self, change: Callable[[Settings], Settings]) -> None:
        """Replace the settings by what ``change`` makes of them; nobody else changes them then."""
        ...

    def select(self, condition: Condition) -> NDArray[np.int64]:
        """Return the ids of the entries that match, ascending."""
        ...

    def entries(self, ids: NDArray[np.int64]) -> list[Entry]:
        """Return the entries of these ids, in their order."""
        ...

    def scan(self, batch_size: int) -> Iterator[EntryBatch]:
        """Yield all entries of one state in the order of adding, ``batch_size`` at a time.

        An updated entry counts as added then. A server may yield them by rising id instead, and
        while others write.
        """
        ...

    def counts(self, field: Literal["pid", "camid"]) -> dict[Pid, int]:
        """Return the number of entries by person or camera, most first."""
        ...

    def stats(self) -> dict[str, Any]:
        """Return counts, how entries are kept and searched, how far the camera means moved."""
        ...

    def search(self, request: SearchRequest) -> SearchResult:
        """Find each query's nearest admitted entries."""
        ...

    def build_index(self, *, progress: bool | None) -> None:
        """Train and fill the index now."""
        ...

    def recall(self, k: int, sample: int, seed: int) -> float:
        """Measure the index against exact search."""
        ...

    def save(self, path: Path) -> None:
        """Write one state to a directory; a gallery there is replaced in one step."""
        ...

    def compact(self) -> None:
        """Drop what was removed or replaced, without a trace."""
        ...

    def verify(self) -> None:
        """Check everything that is kept against its checksums."""
        ...

    def refresh(self) -> None:
        """Let a reader see what the writer has committed since; a writer whether it is there."""
        ...

    def close(self) -> None:
        """Let go of files, locks and connections."""
        ...
