"""One state of a gallery, fixed while others write: selection, search and entries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.filters import Condition, DictionaryColumn, select
from sanreid.gallery.index.exact import Candidates, Exclusion, exact_search
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.table import Settings, Table
from sanreid.gallery.store import SearchRequest
from sanreid.gallery.validation import NO_CAMID

__all__ = ["Snapshot"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of ``table`` as they were at ``version``."""

    table: Table
    num_rows: int
    version: int
    num_dead: int
    next_id: int
    settings: Settings

    @classmethod
    def of(cls, table: Table) -> Snapshot:
        """Take the state of ``table`` now; its writer must stand still meanwhile."""
        return cls(table, len(table), table.version, table.num_dead, table.next_id, table.settings)

    def __len__(self) -> int:
        """Rows, dead ones too: the length of every mask."""
        return self.num_rows

    @property
    def num_entries(self) -> int:
        """Entries: rows that are alive."""
        return self.num_rows - self.num_dead

    def alive(self) -> NDArray[np.bool_] | None:
        """Give the mask of living rows; None when all are."""
        if not self.num_dead:
            return None
        return np.asarray(self.table.died.first(self.num_rows) > self.version)

    def alive_rows(self) -> NDArray[np.int64]:
        """Give the row numbers of the entries."""
        alive = self.alive()
        return np.arange(self.num_rows) if alive is None else np.flatnonzero(alive)

    def numbers(self, field: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """Give a numeric column and where it has a value."""
        match field:
            case "id":
                return self.table.ids.first(self.num_rows), np.ones(self.num_rows, dtype=bool)
            case "camid":
                camids = self.table.camids.first(self.num_rows)
                return camids, camids != NO_CAMID
            case "timestamp":
                seconds = self.table.timestamps.first(self.num_rows)
                return seconds, ~np.isnan(seconds)
        return None

    def codes(self, field: str) -> DictionaryColumn:
        """Give the distinct values and codes of the pids or of a metadata key."""
        if field == "pid":
            codes = self.table.pid_codes.first(self.num_rows)
            return DictionaryColumn(self.table.pid_values, codes, self.table.pid_places)
        return self.table.metadata_codes(field.removeprefix("metadata."), self.num_rows)

    def admitted(self, condition: Condition | None) -> NDArray[np.bool_] | None:
        """Give the mask of living rows that match; None when every row does."""
        if condition is None:
            return self.alive()
        return self.matching(condition)

    def matching(self, condition: Condition) -> NDArray[np.bool_]:
        """Give the mask of living rows that match."""
        alive, chosen = self.alive(), select(condition, self)
        return chosen if alive is None else chosen & alive

    def entries(self, rows: NDArray[np.int64]) -> list[Entry]:
        """Give the entries of these rows."""
        table = self.table
        embeddings = table.vectors.take(rows)
        made = []
        for row, embedding in zip(rows.tolist(), embeddings, strict=True):
            camid, seconds = int(table.camids.first(row + 1)[row]), self._seconds(row)
            raw = table.metadata[row]
            made.append(
                Entry(
                    id=int(table.ids.first(row + 1)[row]),
                    embedding=embedding.copy(),
                    pid=table.pid_values[table.pid_codes.first(row + 1)[row]],
                    camid=None if camid == NO_CAMID else camid,
                    timestamp=None if np.isnan(seconds) else seconds,
                    metadata=json.loads(raw) if raw else {},
                )
            )
        return made

    def search(self, request: SearchRequest) -> Candidates:
        """Find each query's nearest admitted rows, exactly."""
        admitted = self.admitted(request.condition)
        return exact_search(
            request.queries,
            self.table.vectors,
            self.num_rows,
            self.table.ids.first(self.num_rows),
            min(request.k, self.num_rows),
            admitted=admitted,
            exclusion=self.exclusion(request),
            min_similarity=request.min_similarity,
        )

    def exclusion(self, request: SearchRequest) -> _Exclusions | None:
        """Give what leaves out rows for each query; None when nothing is left out."""
        if request.exclude_camids is None:
            return None
        camids = self.table.camids.first(self.num_rows)
        if request.exclude_pids is None:
            return _Exclusions(camids, request.exclude_camids, None, None)
        places = self.table.pid_places
        asked = [
            -1 if pid is None else places.get((type(pid), pid), -1) for pid in request.exclude_pids
        ]
        codes = self.table.pid_codes.first(self.num_rows)
        return _Exclusions(camids, request.exclude_camids, codes, np.array(asked, dtype=np.int32))

    def result(self, found: Candidates, num_queries: int, k: int) -> SearchResult:
        """Lay ranked rows out, k places a query, with fills behind."""
        queries, rows, similarities = found
        table = self.table
        counts = np.bincount(queries, minlength=num_queries).astype(np.int64)
        places = np.arange(len(queries)) - (np.cumsum(counts) - counts)[queries]
        shape = (num_queries, k)
        ids, near = np.full(shape, -1, np.int64), np.full(shape, np.nan, np.float32)
        pids, camids = np.full(shape, None, dtype=object), np.full(shape, None, dtype=object)
        seconds, metadata = np.full(shape, np.nan), np.full(shape, b"", dtype=object)
        at = (queries, places)
        ids[at] = table.ids.first(self.num_rows)[rows]
        near[at] = similarities
        codes, inverse = np.unique(table.pid_codes.first(self.num_rows)[rows], return_inverse=True)
        people = np.empty(len(codes), dtype=object)
        people[:] = [table.pid_values[code] for code in codes.tolist()]
        pids[at] = people[inverse]
        found_camids = table.camids.first(self.num_rows)[rows]
        plain = found_camids.astype(object)
        plain[found_camids == NO_CAMID] = None
        camids[at] = plain
        if table.metadata:
            raw = np.empty(len(rows), dtype=object)
            raw[:] = [table.metadata[row] for row in rows.tolist()]
            metadata[at] = raw
        seconds[at] = table.timestamps.first(self.num_rows)[rows]
        return SearchResult(ids, near, pids, camids, seconds, counts, metadata)

    def _seconds(self, row: int) -> float:
        return float(self.table.timestamps.first(row + 1)[row])


class _Exclusions:
    """The Market-1501 rule: a query's own person under its own camera is left out."""

    def __init__(
        self,
        camids: NDArray[np.int64],
        asked_camids: NDArray[np.int64],
        pid_codes: NDArray[np.int32] | None,
        asked_codes: NDArray[np.int32] | None,
    ) -> None:
        self._camids, self._asked_camids = camids, asked_camids
        self._pid_codes, self._asked_codes = pid_codes, asked_codes

    def of(self, queries: NDArray[np.int64]) -> _Exclusions:
        """Give the rule for some of the queries."""
        codes = None if self._asked_codes is None else self._asked_codes[queries]
        return _Exclusions(self._camids, self._asked_camids[queries], self._pid_codes, codes)

    def pairs(self, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for (query, row) pairs whether the row is left out."""
        asked = self._asked_camids[queries]
        mask = (self._camids[rows] == asked) & (asked != NO_CAMID)
        if self._asked_codes is not None and self._pid_codes is not None:
            mask &= self._pid_codes[rows] == self._asked_codes[queries]
        return np.asarray(mask)

    def __call__(self, part: slice) -> Exclusion:
        """Give the rule of some queries."""
        asked_camids = self._asked_camids[part]
        nothing = asked_camids == NO_CAMID
        asked_codes = None if self._asked_codes is None else self._asked_codes[part]

        def left_out(rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
            mask = self._camids[rows][:, None] == asked_camids
            if nothing.any():
                mask &= ~nothing
            if asked_codes is not None and self._pid_codes is not None:
                mask &= self._pid_codes[rows][:, None] == asked_codes
            return np.asarray(mask)

        return left_out
