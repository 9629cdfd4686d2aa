"""One state of a gallery, fixed while others write: selection, search and entries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.camera_means import normalized
from sanreid.gallery.filters import Condition
from sanreid.gallery.index.exclusion import Exclusion, Exclusions, Rule, TravelExclusion
from sanreid.gallery.index.rows import Candidates, Rows, RowSearch
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.selection import DictionaryColumn, select
from sanreid.gallery.storage.table import Table
from sanreid.gallery.store import EntryBatch, SearchRequest, Settings
from sanreid.gallery.validation import NO_CAMID

__all__ = ["Snapshot"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of ``table`` as they were at ``version``."""

    table: Table
    num_rows: int
    version: int
    num_deleted: int
    next_id: int
    settings: Settings

    @classmethod
    def of(cls, table: Table) -> Snapshot:
        """Return the state of ``table`` now; nobody may write to it meanwhile."""
        return cls(
            table, len(table), table.version, table.num_deleted, table.next_id, table.settings
        )

    def __len__(self) -> int:
        """Return the number of rows, deleted ones too: the length of every mask."""
        return self.num_rows

    @property
    def num_entries(self) -> int:
        """Entries: rows that are alive."""
        return self.num_rows - self.num_deleted

    def rows(self) -> Rows:
        """Return the rows as an index sees them."""
        table, normalizer = self.table, self.settings.camera_normalizer
        ids, alive = table.ids.first(self.num_rows), self.alive()
        if normalizer is None:
            return Rows(table.vectors, ids, alive, table.numbering)
        normalization = table.normalization(normalizer, self.num_rows)
        return Rows(table.vectors, ids, alive, normalization.key, normalization)

    def alive(self) -> NDArray[np.bool_] | None:
        """Return the mask of the rows that are alive; None when all are."""
        if not self.num_deleted:
            return None
        return np.asarray(self.table.deleted_at.first(self.num_rows) > self.version)

    def alive_rows(self) -> NDArray[np.int64]:
        """Return the row numbers of the entries."""
        alive = self.alive()
        return np.arange(self.num_rows) if alive is None else np.flatnonzero(alive)

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of the entries, ascending."""
        return np.sort(self.table.ids.first(self.num_rows)[self.alive_rows()])

    def row_of(self) -> dict[int, int]:
        """Return the row of each entry's id."""
        rows = self.alive_rows()
        ids = self.table.ids.first(self.num_rows)[rows]
        return dict(zip(ids.tolist(), rows.tolist(), strict=True))

    def numbers(self, field: str) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """Return a numeric column and where it has a value; None for other fields."""
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
        """Return the distinct values and codes of the pids or of a metadata key."""
        if field == "pid":
            codes = self.table.pid_codes.first(self.num_rows)
            return DictionaryColumn(self.table.pid_values, codes, self.table.code_of_pid)
        return self.table.metadata_codes(field.removeprefix("metadata."), self.num_rows)

    def matching(self, condition: Condition) -> NDArray[np.bool_]:
        """Return the mask of the rows that are alive and match."""
        alive, chosen = self.alive(), select(condition, self)
        return chosen if alive is None else chosen & alive

    def selected_ids(self, condition: Condition) -> NDArray[np.int64]:
        """Return the ids of the entries that match, ascending."""
        return np.sort(self.table.ids.first(self.num_rows)[self.matching(condition)])

    def row_search(self, request: SearchRequest) -> RowSearch:
        """Return a request as a search among rows."""
        rows = self.rows()
        admitted = rows.alive if request.condition is None else self.matching(request.condition)
        if admitted is not None and admitted.all():  # masks cost time at each block
            admitted = None
        return RowSearch(
            rows,
            self._normalized(request),
            request.k,
            admitted,
            self._rule(request),
            request.min_similarity,
        )

    def _normalized(self, request: SearchRequest) -> NDArray[np.float32]:
        """Return the queries, normalised by their cameras if the gallery is."""
        normalizer = None if request.is_normalized else self.settings.camera_normalizer
        return normalized(request.queries, request.query_camids, normalizer)

    def _rule(self, request: SearchRequest) -> Rule | None:
        """Return the rules for single queries as one."""
        exclusion = self._exclusion(request)
        if request.travel is None:
            return exclusion
        camids = self.table.camids.first(self.num_rows)
        seconds = self.table.timestamps.first(self.num_rows)
        travel = TravelExclusion(request.travel, camids, seconds)
        return travel if exclusion is None else Exclusions([exclusion, travel])

    def _exclusion(self, request: SearchRequest) -> Exclusion | None:
        if request.exclude_camids is None:
            return None
        camids = self.table.camids.first(self.num_rows)
        if request.exclude_pids is None:
            return Exclusion(camids, request.exclude_camids)
        known = self.table.code_of_pid
        codes = [
            -1 if pid is None else known.get((type(pid), pid), -1) for pid in request.exclude_pids
        ]
        return Exclusion(
            camids,
            request.exclude_camids,
            self.table.pid_codes.first(self.num_rows),
            np.array(codes, dtype=np.int32),
        )

    def result(self, found: Candidates, num_queries: int, k: int) -> SearchResult:
        """Lay ranked rows out, k ranks per query, with fills after the last."""
        queries, rows, similarities = found
        table, count, shape = self.table, self.num_rows, (num_queries, k)
        counts = np.bincount(queries, minlength=num_queries).astype(np.int64)
        at = None  # where each hit goes; None where every rank of every query has one
        if len(queries) < num_queries * k:
            at = queries, np.arange(len(queries)) - (np.cumsum(counts) - counts)[queries]

        def laid_out(values: NDArray[Any], fill: Any) -> NDArray[Any]:  # noqa: ANN401 - of any type
            if at is None:
                return values.reshape(shape)
            filled = np.full(shape, fill, dtype=values.dtype)
            filled[at] = values
            return filled

        codes = table.pid_codes.first(count)[rows].tolist()
        camids = table.camids.first(count)[rows]
        plain = camids.astype(object)
        plain[camids == NO_CAMID] = None
        return SearchResult(
            ids=laid_out(table.ids.first(count)[rows], -1),
            similarities=laid_out(similarities, np.nan),
            pids=laid_out(_objects([table.pid_values[code] for code in codes]), None),
            camids=laid_out(plain, None),
            timestamps=laid_out(table.timestamps.first(count)[rows], np.nan),
            counts=counts,
            _metadata=laid_out(_objects(table.metadata.take(rows)), b""),
        )

    def entries(self, rows: NDArray[np.int64]) -> list[Entry]:
        """Return the entries of these rows."""
        batch = self.batch(rows)
        assert batch.ids is not None  # noqa: S101 - stored rows have ids
        columns = (
            batch.ids.tolist(), batch.embeddings, batch.pids, batch.camids.tolist(),
            batch.timestamps.tolist(), batch.metadata,
        )  # fmt: skip
        return [
            Entry(
                id=number,
                embedding=embedding.copy(),
                pid=pid,
                camid=None if camid == NO_CAMID else camid,
                timestamp=None if np.isnan(seconds) else seconds,
                metadata=json.loads(raw) if raw else {},
            )
            for number, embedding, pid, camid, seconds, raw in zip(*columns, strict=True)
        ]

    def scan(self, batch_size: int) -> Iterator[EntryBatch]:
        """Yield the entries in row order, ``batch_size`` at a time."""
        rows = self.alive_rows()
        for start in range(0, len(rows), batch_size):
            yield self.batch(rows[start : start + batch_size])

    def batch(
        self, rows: NDArray[np.int64], embeddings: NDArray[np.float32] | None = None
    ) -> EntryBatch:
        """Return the columns of these rows, with other embeddings if they are given."""
        table, count = self.table, self.num_rows
        codes = table.pid_codes.first(count)[rows].tolist()
        return EntryBatch(
            embeddings=table.vectors.take(rows) if embeddings is None else embeddings,
            pids=[table.pid_values[code] for code in codes],
            camids=table.camids.first(count)[rows],
            timestamps=table.timestamps.first(count)[rows],
            metadata=table.metadata.take(rows),
            ids=table.ids.first(count)[rows],
            encoder_fingerprint=self.settings.encoder_fingerprint,
        )


def _objects(values: list[Any]) -> NDArray[np.object_]:
    """Return a (N,) array of these very objects."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
