"""Search on a server, equal to the definition.

The server ranks by a float32 product whose error is bounded, filters by an expression that may
admit too much, and knows no rule that differs from query to query. So it is asked for more than k
rows per query, all queries in one call; what comes back is filtered and scored again here, in
float64. A query is done when its k-th admitted row beats whatever the server may have kept back;
the others are asked again for twice as many. What no limit of the server suffices for, and
camera-normalised similarities, which it cannot rank, are read page by page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.gallery.camera_means import normalized
from sanreid.gallery.milvus.collections import EXACT
from sanreid.gallery.milvus.connection import MAX_LIMIT, Connection
from sanreid.gallery.milvus.expressions import compiled
from sanreid.gallery.milvus.rows import LABELS, Row
from sanreid.gallery.results import SearchResult
from sanreid.gallery.store import SearchRequest
from sanreid.gallery.validation import NO_CAMID

__all__ = ["Searcher", "as_result"]

_COLUMNS = (*LABELS, "embedding")
_MARGIN = 8  # rows asked for beyond k
_CALL_BYTES = 16 << 20  # of one answer
_LABEL_BYTES = 512  # of a row, about
_MOST_QUERIES = 1024  # of one call


class Scored(NamedTuple):
    """A row and its similarity to a query."""

    similarity: np.float32
    row: Row


class Searcher:
    """One search of a collection.

    Args:
        connection: The server.
        name: The collection.
        index_type: Milvus's name for its index.
        request: What is searched.
        normalizer: The gallery's, if it compares by cameras.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        index_type: str,
        request: SearchRequest,
        normalizer: CameraNormalizer | None,
    ) -> None:
        self._connection, self._name, self._index_type = connection, name, index_type
        self._request = request
        self._expression = compiled(request.condition)
        self._normalizer = normalizer
        own = None if request.is_normalized else normalizer
        self._queries = normalized(request.queries, request.query_camids, own)
        self._least = np.float32(-2 if request.min_similarity is None else request.min_similarity)
        self._slack = (self._queries.shape[1] + 8) * 2.0**-23  # of a float32 product, twice

    def ranked(self) -> list[list[Scored]]:
        """Return up to k rows for each query, best first."""
        found: list[list[Scored]] = [[] for _ in self._queries]
        if self._expression.maybe is False or not found:
            return found
        pending = list(range(len(found)))
        if self._normalizer is None:
            limit = self._request.k + _MARGIN
            if self._request.exclude_camids is not None or self._request.travel is not None:
                limit += self._request.k
            while pending and limit <= MAX_LIMIT:
                pending = self._ask(pending, limit, found)
                limit = 2 * limit if limit == MAX_LIMIT else min(2 * limit, MAX_LIMIT)
        if pending:
            self.scan(pending, found)
        return found

    def scan(self, pending: Sequence[int], found: list[list[Scored]]) -> None:
        """Compare these queries with every row of the collection that the filter lets through."""
        queries = self._queries[list(pending)].astype(np.float64)
        for query in pending:
            found[query] = []
        for page in self._connection.pages(self._name, self._text, _COLUMNS):
            rows = [row for row in map(Row.of, page) if self._matches(row)]
            if not rows:
                continue
            stored = np.stack([row.embedding for row in rows if row.embedding is not None])
            if self._normalizer is not None:
                stored = self._normalizer(stored, np.array([row.camid for row in rows]))
            similarities = np.clip(queries @ stored.astype(np.float64).T, -1, 1)
            for query, near in zip(pending, similarities.astype(np.float32), strict=True):
                held = found[query]
                floor = held[-1].similarity if len(held) >= self._request.k else self._least
                close = np.flatnonzero(near >= floor).tolist()
                fresh = [Scored(near[place], rows[place]) for place in close]
                found[query] = self._best(query, [*held, *fresh])

    def _ask(self, pending: list[int], limit: int, found: list[list[Scored]]) -> list[int]:
        """Ask for ``limit`` rows per query; return the queries that need more."""
        size = limit * (4 * self._queries.shape[1] + _LABEL_BYTES)
        step = max(1, min(_MOST_QUERIES, _CALL_BYTES // size))
        unfinished = []
        for start in range(0, len(pending), step):
            part = pending[start : start + step]
            answers = self._connection.call(
                "search",
                self._name,
                data=list(self._queries[part]),
                filter=self._text,
                limit=limit,
                output_fields=list(_COLUMNS),
                search_params={"metric_type": "IP", "params": self._parameters(limit)},
                consistency_level=self._connection.address.consistency,
            )
            for query, hits in zip(part, answers, strict=True):
                rows = [
                    row for row in (Row.of(hit["entity"]) for hit in hits) if self._matches(row)
                ]
                found[query] = self._best(query, self._scored(query, rows))
                last = float(hits[-1]["distance"]) if len(hits) else -2.0
                if not self._is_done(found[query], len(hits) < limit, last):
                    unfinished.append(query)
        return unfinished

    def _is_done(self, held: list[Scored], drained: bool, last: float) -> bool:
        """Return whether no row beyond those returned can belong to the k best."""
        full = len(held) >= self._request.k
        if self._index_type != EXACT:
            return full
        bound = last + self._slack  # of every row that was not returned
        return drained or bound < self._least or (full and held[-1].similarity > bound)

    def _scored(self, query: int, rows: list[Row]) -> list[Scored]:
        if not rows:
            return []
        stored = np.stack([row.embedding for row in rows if row.embedding is not None])
        asked = self._queries[query].astype(np.float64)
        similarities = np.einsum("j,ij->i", asked, stored.astype(np.float64))
        return list(map(Scored, np.clip(similarities, -1, 1).astype(np.float32), rows))

    def _best(self, query: int, scored: Iterable[Scored]) -> list[Scored]:
        kept = [
            one
            for one in scored
            if one.similarity >= self._least and not self._is_excluded(query, one.row)
        ]
        travel = self._request.travel
        if travel is not None and kept:
            impossible = travel.excluded(
                np.full(len(kept), query),
                np.array([one.row.camid for one in kept], dtype=np.int64),
                np.array([one.row.seconds for one in kept]),
            )
            kept = [one for one, is_out in zip(kept, impossible, strict=True) if not is_out]
        kept.sort(key=lambda one: (-one.similarity, one.row.id))
        return kept[: self._request.k]

    def _is_excluded(self, query: int, row: Row) -> bool:
        camids, pids = self._request.exclude_camids, self._request.exclude_pids
        if camids is None or camids[query] == NO_CAMID or row.camid != camids[query]:
            return False
        if pids is None:
            return True
        pid = pids[query]
        return pid is not None and type(pid) is type(row.pid) and pid == row.pid

    def _matches(self, row: Row) -> bool:
        return self._expression.is_exact or row.matches(self._request.condition)

    @property
    def _text(self) -> str:
        maybe = self._expression.maybe
        return "" if isinstance(maybe, bool) else maybe

    def _parameters(self, limit: int) -> dict[str, Any]:
        match self._index_type:
            case "HNSW":
                return {"ef": max(2 * limit, 64)}
            case "DISKANN":
                return {"search_list": max(2 * limit, 64)}
            case "IVF_FLAT" | "IVF_SQ8":
                return {"nprobe": 64}
        return {}


def as_result(ranked: Sequence[Sequence[Scored]], k: int) -> SearchResult:
    """Lay ranked rows out, k ranks per query, with fills after the last."""
    shape = (len(ranked), k)
    ids, near = np.full(shape, -1, np.int64), np.full(shape, np.nan, np.float32)
    pids, camids = np.full(shape, None, dtype=object), np.full(shape, None, dtype=object)
    seconds, metadata = np.full(shape, np.nan), np.full(shape, b"", dtype=object)
    counts: NDArray[np.int64] = np.array([len(hits) for hits in ranked], dtype=np.int64)
    for query, hits in enumerate(ranked):
        for rank, (similarity, row) in enumerate(hits):
            at = query, rank
            ids[at], near[at], pids[at] = row.id, similarity, row.pid
            camids[at] = None if row.camid == NO_CAMID else row.camid
            seconds[at], metadata[at] = row.seconds, row.metadata
    return SearchResult(ids, near, pids, camids, seconds, counts, metadata)
