"""What a gallery gives back: ranked hits of a search, and entries."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import MissingExtraError
from sanreid.gallery.checks import Pid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Entry", "Hit", "SearchResult"]

_SHOWN_QUERIES = 10
_SHOWN_HITS = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a gallery."""

    id: int
    embedding: NDArray[np.float32] = field(repr=False)  # (D,), L2 norm 1
    pid: Pid
    camid: int | None
    timestamp: float | None  # seconds
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry found by a search."""

    id: int
    similarity: float  # cosine, -1 to 1
    pid: Pid
    camid: int | None
    timestamp: float | None  # seconds
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SearchResult:
    """Ranked hits of Q queries, k places wide, as the gallery was at one moment.

    ``result[i]`` is the list of hits of query i, best first; places beyond ``counts[i]`` hold
    the fills: id -1, similarity NaN, pid and camid None.

    Attributes:
        ids: (Q, k) int64.
        similarities: (Q, k) float32, cosine, falling.
        pids: (Q, k) object: int, str or None.
        camids: (Q, k) object: int or None.
        timestamps: (Q, k) float64 seconds, NaN where there is none.
        counts: (Q,) int64, hits of each query.
    """

    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]
    pids: NDArray[np.object_]
    camids: NDArray[np.object_]
    timestamps: NDArray[np.float64]
    counts: NDArray[np.int64]
    _metadata: NDArray[np.object_]  # (Q, k) JSON as bytes, read when a hit is made

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, query: int) -> list[Hit]:
        ids = self.ids[query]  # an IndexError of NumPy's names the place and the size
        if ids.ndim != 1:
            raise TypeError(f"A result is indexed by one query's number; got {query!r}.")
        return [self._hit(int(query), place) for place in range(int(self.counts[query]))]

    def __iter__(self) -> Iterator[list[Hit]]:
        return (self[query] for query in range(len(self)))

    def __repr__(self) -> str:
        queries = len(self)
        lines = [f"SearchResult({self._size()})"]
        for query in range(min(queries, 3)):
            hits = [f"{hit.similarity:.3f} id={hit.id} pid={hit.pid!r}" for hit in self[query][:3]]
            more = ", ..." if self.counts[query] > 3 else ""
            lines.append(f"  [{query}] " + (", ".join(hits) + more if hits else "no hits"))
        if queries > 3:
            lines.append("  ...")
        return "\n".join(lines)

    def to_pandas(self) -> pd.DataFrame:
        """Give one line a hit: query, rank (from 1), and the hit's fields.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtraError(
                "to_pandas() needs pandas: install it with pip install 'sanreid[viz]'."
            ) from error
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
        frame = pd.DataFrame(columns)
        frame["pid"] = frame["pid"].astype(object)
        return frame.astype({"query": "int64", "rank": "int64", "id": "int64"})

    def _repr_html_(self) -> str:
        """Give a table for notebooks; every value is escaped."""
        rows = []
        for query in range(min(len(self), _SHOWN_QUERIES)):
            hits = self[query][:_SHOWN_HITS]
            for rank, hit in enumerate(hits, start=1):
                similarity, metadata = f"{hit.similarity:.4f}", hit.metadata or ""
                place = (query, rank, hit.id, similarity)
                cells = (*place, hit.pid, hit.camid, hit.timestamp, metadata)
                rows.append(
                    "<tr>"
                    + "".join(
                        f"<td>{'' if cell is None else html.escape(str(cell))}</td>"
                        for cell in cells
                    )
                    + "</tr>"
                )
            if not hits:
                rows.append(f'<tr><td>{query}</td><td colspan="7">no hits</td></tr>')
        head = "".join(
            f"<th>{name}</th>"
            for name in (
                "query", "rank", "id", "similarity", "pid", "camid", "timestamp", "metadata",
            )
        )  # fmt: skip
        queries, k = self.ids.shape
        caption = self._size()
        if queries > _SHOWN_QUERIES or k > _SHOWN_HITS:
            caption += f"; the first {_SHOWN_QUERIES} queries and {_SHOWN_HITS} hits are shown"
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
        )

    def _size(self) -> str:
        queries, k = self.ids.shape
        hits = int(self.counts.sum())
        asked = "1 query" if queries == 1 else f"{queries} queries"
        return f"{asked}, k={k}, {hits} {'hit' if hits == 1 else 'hits'}"

    def _hit(self, query: int, place: int) -> Hit:
        raw = self._metadata[query, place]
        timestamp = float(self.timestamps[query, place])
        return Hit(
            id=int(self.ids[query, place]),
            similarity=float(self.similarities[query, place]),
            pid=self.pids[query, place],
            camid=self.camids[query, place],
            timestamp=None if np.isnan(timestamp) else timestamp,
            metadata=json.loads(raw) if raw else {},
        )
