"""Identity or unknown: people ranked by their entries, under a threshold.

A person's similarity is that of the best entry, or the mean over the best few. The ranking is
exact for an exact index. Work and memory do not depend on how the entries are shared among
people: a first search of a few entries settles most queries; where one person fills it, the next
search leaves that person out; where it holds too few entries of a leading person, those are
searched for separately.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from sanreid.gallery.filters import And, Condition, Leaf
from sanreid.gallery.store import SearchRequest, Store
from sanreid.gallery.validation import Pid

__all__ = ["Group", "Identification", "identify"]

Group = Literal["best", "mean"]
_FIRST_K = 32  # entries of the first search, for each entry that a person is ranked by
_RESULT_SIZE = 1 << 18  # entries that the results of one search hold


@dataclass(frozen=True, slots=True)
class Identification:
    """The person a query shows.

    Attributes:
        pid: The person, or None for unknown.
        similarity: That of the nearest person; NaN in an empty gallery.
        margin: Its lead over the second nearest person; NaN if there is none.
        candidate: The nearest person, even below the threshold; None in an empty gallery.
        entry_ids: The nearest person's entries that were compared, best first.
    """

    pid: Pid
    similarity: float
    margin: float
    candidate: Pid
    entry_ids: tuple[int, ...]


def identify(
    store: Store, request: SearchRequest, *, threshold: float, group: Group, top: int
) -> list[Identification]:
    """Rank people for each query; see :meth:`sanreid.Gallery.identify`."""
    num_entries = len(store)
    depth = max(1, min(top, num_entries)) if group == "mean" else 1
    first_k = _FIRST_K * min(depth, _FIRST_K) + depth
    rankings = [_Ranking(depth, first_k) for _ in request.queries]
    named: Condition = Leaf("pid", "$ne", None)
    if request.condition is not None:
        named = And((request.condition, named))
    while True:
        steps: dict[_Step, list[int]] = {}
        for query, ranking in enumerate(rankings):
            step = ranking.next_step()
            if step is not None:
                steps.setdefault(step, []).append(query)
        if not steps:
            return [ranking.answer(threshold) for ranking in rankings]
        for step, queries in steps.items():
            condition = named
            if step.operator == "$in" or step.pids:
                condition = And((named, Leaf("pid", step.operator, tuple(step.pids))))
            k = min(step.k, num_entries + 1)  # one more than there are: then all were seen
            part = replace(request, condition=condition, k=k)
            for query, hits in _search(store, part, queries):
                rankings[query].take(step, hits, all_seen=len(hits) < k)


class _Hit(NamedTuple):
    pid: Pid
    similarity: float
    id: int


class _Step(NamedTuple):
    """A search that a ranking needs: the best ``k`` entries in or not in ``pids``."""

    operator: Literal["$in", "$nin"]
    pids: frozenset[Pid]
    k: int


class _Ranking:
    """What is known of the people nearest to one query.

    Args:
        depth: Entries that a person is ranked by, at most.
        k: Entries of the first search.
    """

    def __init__(self, depth: int, k: int) -> None:
        self._depth, self._k = depth, k
        self._entries: dict[Pid, list[_Hit]] = {}  # the best found of each person, best first
        self._complete: set[Pid] = set()  # people of whom no more entries are needed
        self._bound = np.inf  # entries not seen of people not complete are at most this similar
        self._all_seen = False

    def next_step(self) -> _Step | None:
        """Return the search that may change the first two people; None if nothing can.

        A mean over fewer than ``depth`` entries can only fall, so people who are not complete
        are ranked at least as high as they belong.
        """
        leading = self._ranked()[:2]
        for pid in leading:
            if pid not in self._complete:
                return _Step("$in", frozenset([pid]), self._depth)
        if self._all_seen or (len(leading) == 2 and self._mean(leading[1]) >= self._bound):
            return None
        return _Step("$nin", frozenset(self._complete), self._k)

    def take(self, step: _Step, hits: list[_Hit], *, all_seen: bool) -> None:
        """Take in the hits of a step."""
        found: dict[Pid, list[_Hit]] = {}
        for hit in hits:
            found.setdefault(hit.pid, []).append(hit)
        self._entries |= {pid: own[: self._depth] for pid, own in found.items()}
        if step.operator == "$in":
            self._complete |= step.pids
            return
        self._complete |= {
            pid for pid, own in found.items() if all_seen or len(own) >= self._depth
        }
        self._all_seen = all_seen
        self._bound = hits[-1].similarity if hits else -np.inf
        self._k *= 4

    def answer(self, threshold: float) -> Identification:
        """Return who it is, once nothing can change."""
        ranked = self._ranked()
        if not ranked:
            return Identification(None, float("nan"), float("nan"), None, ())
        best, mean = ranked[0], self._mean(ranked[0])
        return Identification(
            pid=best if mean >= threshold else None,
            similarity=mean,
            margin=mean - self._mean(ranked[1]) if len(ranked) > 1 else float("nan"),
            candidate=best,
            entry_ids=tuple(hit.id for hit in self._entries[best]),
        )

    def _ranked(self) -> list[Pid]:
        def key(pid: Pid) -> tuple[float, float, int]:
            first = self._entries[pid][0]
            return -self._mean(pid), -first.similarity, first.id

        return sorted(self._entries, key=key)

    def _mean(self, pid: Pid) -> float:
        return float(np.mean([hit.similarity for hit in self._entries[pid]]))


def _search(
    store: Store, request: SearchRequest, queries: list[int]
) -> Iterator[tuple[int, list[_Hit]]]:
    """Yield the hits of some queries of a request, a few queries at a time."""
    size = max(1, _RESULT_SIZE // request.k)
    pids, camids, cameras = request.exclude_pids, request.exclude_camids, request.query_camids
    travel = request.travel
    for start in range(0, len(queries), size):
        chosen = queries[start : start + size]
        result = store.search(
            replace(
                request,
                queries=request.queries[chosen],
                exclude_pids=None if pids is None else [pids[query] for query in chosen],
                exclude_camids=None if camids is None else camids[chosen],
                query_pids=None,
                query_camids=None if cameras is None else cameras[chosen],
                travel=None if travel is None else travel.of(np.array(chosen)),
            )
        )
        for row, query in enumerate(chosen):
            count = int(result.counts[row])
            columns = (result.pids, result.similarities, result.ids)
            hits = zip(*(column[row, :count].tolist() for column in columns), strict=True)
            yield query, [_Hit(*hit) for hit in hits]
