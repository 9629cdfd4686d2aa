"""The pairs of entries whose answer, one person or two, would teach most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.results import SearchResult
from sanreid.gallery.store import EntryBatch, SearchRequest, Store
from sanreid.gallery.validation import NO_CAMID, Pid

__all__ = ["DoubtfulPair", "doubtful_pairs"]

_THRESHOLD = 0.475  # where nothing is calibrated: that of clustering, measured on three data sets
_ASKED = 20_000  # entries whose neighbours are searched at most
_NEIGHBORS = 8
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class DoubtfulPair:
    """Two entries that may or may not show one person.

    Attributes:
        ids: The two entries, the smaller id first.
        pids: Their people; None for an entry without.
        similarity: Of the two.
        is_same: Whether they have one person now: then the question is whether that is wrong.
    """

    ids: tuple[int, int]
    pids: tuple[Pid, Pid]
    similarity: float
    is_same: bool


def doubtful_pairs(store: Store, k: int, threshold: float | None) -> list[DoubtfulPair]:
    """Find the pairs of near entries whose similarity is closest to the threshold.

    For each entry, its nearest entry of another person and its nearest of its own are considered,
    if they are among its nearest few; crops of one camera and one timestamp are two people and
    not asked about. Each pair of people is asked about once; an entry without a person stands for
    itself.

    Args:
        store: The gallery's.
        k: Pairs wanted at most.
        threshold: Between one person and two; the calibrated one, or 0.475, when None.
    """
    settings = store.settings
    if threshold is None:
        calibration = settings.calibration
        threshold = _THRESHOLD if calibration is None else float(calibration["threshold"])
    closest: dict[object, tuple[float, DoubtfulPair]] = {}
    for pair in _near_pairs(store):
        doubt = abs(pair.similarity - threshold)
        people = [
            ("entry", number) if pid is None else ("person", type(pid), pid)
            for number, pid in zip(pair.ids, pair.pids, strict=True)
        ]
        question = frozenset(people)
        known = closest.get(question)
        if known is None or (doubt, pair.ids) < (known[0], known[1].ids):
            closest[question] = doubt, pair
    ranked = sorted(closest.values(), key=lambda one: (one[0], one[1].ids))
    return [pair for _, pair in ranked[:k]]


def _near_pairs(store: Store) -> Iterator[DoubtfulPair]:
    """Yield each entry with its nearest of another person, and its nearest of its own."""
    share = min(1.0, _ASKED / max(1, len(store)))
    rng = np.random.default_rng(0)
    for batch in store.scan(_BATCH):
        assert batch.ids is not None  # noqa: S101 - stored entries have ids
        asked = np.flatnonzero(rng.random(len(batch.ids)) < share)
        if not len(asked):
            continue
        yield from _pairs_of(store, batch, batch.ids, asked)


def _pairs_of(
    store: Store, batch: EntryBatch, ids: NDArray[np.int64], asked: NDArray[np.int64]
) -> Iterator[DoubtfulPair]:
    result = store.search(
        SearchRequest(
            queries=batch.embeddings[asked],
            k=_NEIGHBORS + 1,  # the entry itself is one of them
            condition=None,
            exclude_pids=None,
            exclude_camids=None,
            min_similarity=None,
            query_camids=batch.camids[asked],
        )
    )
    for row, query in enumerate(asked.tolist()):
        own, pid = int(ids[query]), batch.pids[query]
        seen: set[bool] = set()
        for rank in range(int(result.counts[row])):
            other, other_pid = int(result.ids[row, rank]), result.pids[row, rank]
            same = pid is not None and (type(pid), pid) == (type(other_pid), other_pid)
            if other == own or same in seen:
                continue
            if not same and _in_one_frame(batch, query, result, (row, rank)):
                continue  # two people for certain
            seen.add(same)
            first, second = sorted([(own, pid), (other, other_pid)], key=lambda one: one[0])
            yield DoubtfulPair(
                ids=(first[0], second[0]),
                pids=(first[1], second[1]),
                similarity=float(result.similarities[row, rank]),
                is_same=same,
            )


def _in_one_frame(
    batch: EntryBatch, query: int, result: SearchResult, position: tuple[int, int]
) -> bool:
    """Return whether a query and one of the hits have one camera and one timestamp."""
    camid = int(batch.camids[query])
    one_camera = camid != NO_CAMID and result.camids[position] == camid
    return bool(one_camera and result.timestamps[position] == batch.timestamps[query])
