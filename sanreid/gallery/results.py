"""What a gallery returns: the ranked hits of a search, and entries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.validation import Pid
from sanreid.utils.extras import require_extra

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Entry", "Hit", "SearchResult"]

_KEPT_IMAGES = 10  # of queries: as many as are shown, and no batch is kept alive for them


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a gallery."""

    id: int
    embedding: NDArray[np.float32] = field(repr=False)  # (D,), L2 norm 1
    pid: Pid
    camid: int | str | None  # a text where cameras have names
    timestamp: float | None  # seconds
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry found by a search."""

    id: int
    similarity: float  # cosine, -1 to 1
    pid: Pid
    camid: int | str | None  # a text where cameras have names
    timestamp: float | None  # seconds
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SearchResult:
    """Up to k ranked hits of each of Q queries, from one state of the gallery.

    ``result[i]`` is the list of hits of query i, best first; columns beyond ``counts[i]`` hold
    fill values: id -1, similarity NaN, pid and camid None.

    Attributes:
        ids: (Q, k) int64.
        similarities: (Q, k) float32, cosine, falling.
        pids: (Q, k) object: int, str or None.
        camids: (Q, k) object: int, or str where cameras have names, or None.
        timestamps: (Q, k) float64 seconds, NaN where there is none.
        counts: (Q,) int64, hits of each query.
        query_pids: (Q,) the person of each query, if the search or :meth:`with_queries` got it.
        query_camids: (Q,) the camera of each query, likewise.
        query_images: Crops of the first queries, likewise.
    """

    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]
    pids: NDArray[np.object_]
    camids: NDArray[np.object_]
    timestamps: NDArray[np.float64]
    counts: NDArray[np.int64]
    _metadata: NDArray[np.object_]  # (Q, k) JSON as bytes, read when a hit is made
    query_pids: tuple[Pid, ...] | None = None
    query_camids: tuple[Pid, ...] | None = None
    query_images: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, query: int) -> list[Hit]:
        ids = self.ids[query]  # NumPy's IndexError names the index and the size
        if ids.ndim != 1:
            raise TypeError(f"A result is indexed by one query's number; got {query!r}.")
        return [self._hit(int(query), rank) for rank in range(int(self.counts[query]))]

    def __iter__(self) -> Iterator[list[Hit]]:
        return (self[query] for query in range(len(self)))

    def __repr__(self) -> str:
        queries = len(self)
        lines = [f"SearchResult({self.summary()})"]
        for query in range(min(queries, 3)):
            hits = [f"{hit.similarity:.3f} id={hit.id} pid={hit.pid!r}" for hit in self[query][:3]]
            more = ", ..." if self.counts[query] > 3 else ""
            lines.append(f"  [{query}] " + (", ".join(hits) + more if hits else "no hits"))
        if queries > 3:
            lines.append("  ...")
        return "\n".join(lines)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per hit: query, rank (from 1), and the hit's fields.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas: Any = require_extra("pandas", purpose="to_pandas()", install="sanreid[viz]")
        columns: dict[str, list[Any]] = {
            name: []
            for name in (
                "query", "rank", "id", "similarity", "pid", "camid", "timestamp", "metadata",
            )
        }  # fmt: skip
        for query, hits in enumerate(self):
            for rank, hit in enumerate(hits, start=1):
                row = (query, rank, hit.id, hit.similarity, hit.pid, hit.camid, hit.timestamp)
                for name, value in zip(columns, (*row, hit.metadata), strict=True):
                    columns[name].append(value)
        kept = {  # as they are: pandas would make 7 and None 7.0 and NaN
            name: pandas.Series(columns[name], dtype=object)
            for name in ("pid", "camid", "metadata")
        }
        kinds = dict.fromkeys(("query", "rank", "id"), "int64") | {"timestamp": "float64"}
        frame: pd.DataFrame = pandas.DataFrame(columns | kept).astype(kinds)
        return frame

    def with_queries(
        self,
        images: Sequence[Any] | None = None,
        *,
        pids: Sequence[Pid] | None = None,
        camids: Sequence[Any] | None = None,
    ) -> SearchResult:
        """Return the same result with more about its queries, which notebooks and pictures show.

        Args:
            images: (Q,) the query crops, anything that an encoder takes; the first few are kept.
            pids: (Q,) the person of each query; hits are then marked right or wrong.
            camids: (Q,) the camera of each query.

        Raises:
            InputError: There is not one value per query.
        """
        known: dict[str, Any] = {}
        for name, values in (("images", images), ("pids", pids), ("camids", camids)):
            if values is None:
                continue
            if len(values) != len(self):
                raise InputError(
                    f"{name} must have one value per query: {len(self)} queries, "
                    f"{len(values)} values."
                )
            kept = values[:_KEPT_IMAGES] if name == "images" else values
            known[f"query_{name}"] = tuple(kept)
        return replace(self, **known) if known else self

    def reordered(self, order: NDArray[np.int64]) -> SearchResult:
        """Return the hits in another order, or the first of them.

        Args:
            order: (Q, K) int, for each query the ranks, from 0, that its hits had.
        """
        columns = ("ids", "similarities", "pids", "camids", "timestamps", "_metadata")
        moved: dict[str, Any] = {
            name: np.take_along_axis(getattr(self, name), order, axis=1) for name in columns
        }
        return replace(self, **moved, counts=np.minimum(self.counts, order.shape[1]))

    def _repr_html_(self) -> str:
        """Return rows of crops for notebooks; every value is escaped."""
        from sanreid.viz.notebook import result_html  # noqa: PLC0415 - when one is shown

        return result_html(self)

    def summary(self) -> str:
        """Return a few words on how many queries, and how many hits."""
        queries, k = self.ids.shape
        hits = int(self.counts.sum())
        asked = "1 query" if queries == 1 else f"{queries} queries"
        return f"{asked}, k={k}, {hits} {'hit' if hits == 1 else 'hits'}"

    def _hit(self, query: int, rank: int) -> Hit:
        raw = self._metadata[query, rank]
        timestamp = float(self.timestamps[query, rank])
        return Hit(
            id=int(self.ids[query, rank]),
            similarity=float(self.similarities[query, rank]),
            pid=self.pids[query, rank],
            camid=self.camids[query, rank],
            timestamp=None if np.isnan(timestamp) else timestamp,
            metadata=json.loads(raw) if raw else {},
        )
