"""Identity or unknown: people ranked by their entries, under a threshold.

A person's similarity is that of the best entry, or the mean over the best few. The ranking is
exact: searches go deeper until the first two people cannot change.

Source of the rates: Phillips, Grother and Micheals, "Evaluation Methods in Face Recognition",
Handbook of Face Recognition, 2nd ed., 2011 (detection and identification rate).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.filters import And, Condition, Leaf
from sanreid.gallery.results import SearchResult
from sanreid.gallery.store import SearchRequest, Store
from sanreid.gallery.validation import Pid

__all__ = ["Identification", "OpenSetReport", "identify", "open_set_report"]

Group = Literal["best", "mean"]
_FIRST_K = 32


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


@dataclass(frozen=True, slots=True)
class OpenSetReport:
    """Detection and identification rates; fractions, one per false-alarm rate.

    Attributes:
        false_alarm_rates: The requested shares of non-enrolled queries given an identity.
        thresholds: The lowest thresholds with at most those rates.
        measured_false_alarm_rates: The rates at those thresholds.
        identification_rates: Shares of enrolled queries whose person ranks first, at or above
            the threshold.
        num_enrolled: Number of queries of people in the gallery.
        num_non_enrolled: Number of queries of people who are not.
    """

    false_alarm_rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    measured_false_alarm_rates: tuple[float, ...]
    identification_rates: tuple[float, ...]
    num_enrolled: int
    num_non_enrolled: int

    @property
    def num_strangers(self) -> int:
        """Former name of ``num_non_enrolled``."""
        return self.num_non_enrolled


def identify(
    store: Store, request: SearchRequest, *, threshold: float, group: Group, top: int
) -> list[Identification]:
    """Rank people for each query; see :meth:`sanreid.Gallery.identify`."""
    named = Leaf("pid", "$ne", None)
    condition: Condition = named
    if request.condition is not None:
        condition = And((request.condition, named))
    depth = top if group == "mean" else 1
    totals: dict[Pid, int] = {}

    def total(pid: Pid) -> int:
        if pid not in totals:
            of_person = And((condition, Leaf("pid", "$eq", pid)))
            totals[pid] = len(store.select(of_person))
        return totals[pid]

    answers: list[Identification | None] = [None] * len(request.queries)
    k = min(_FIRST_K * depth, len(store) + 1)  # one more than there are: then all were seen
    while open_queries := [query for query, answer in enumerate(answers) if answer is None]:
        part = replace(
            request,
            queries=request.queries[open_queries],
            condition=condition,
            k=k,
            exclude_pids=_some(request.exclude_pids, open_queries),
            exclude_camids=(
                None if request.exclude_camids is None else request.exclude_camids[open_queries]
            ),
        )
        result = store.search(part)
        for row, query in enumerate(open_queries):
            answers[query] = _answer(result, row, k, depth, threshold, total)
        k *= 8
    return [answer for answer in answers if answer is not None]


def open_set_report(
    found: Sequence[Identification],
    pids: Sequence[Pid],
    enrolled: Sequence[bool],
    false_alarm_rates: Sequence[float],
) -> OpenSetReport:
    """Count identifications and false alarms over thresholds.

    Args:
        found: The answer to each query, whatever its threshold.
        pids: The true person of each query.
        enrolled: For each query, whether its person has an entry that it may find.
        false_alarm_rates: Between 0 and 1.

    Raises:
        InputError: No query is of an enrolled person, or all are, or a rate is out of range.
    """
    inside = np.array(enrolled, dtype=bool)
    if not inside.any() or inside.all():
        raise InputError(
            f"Open-set evaluation needs queries of people in the gallery ({int(inside.sum())}) "
            f"and of people who are not enrolled ({int((~inside).sum())})."
        )
    similarity = np.array([one.similarity for one in found], dtype=np.float64)
    right = np.array([one.candidate == pid for one, pid in zip(found, pids, strict=True)])
    similarity[np.isnan(similarity)] = -np.inf  # nothing was left to compare with
    non_enrolled = np.sort(similarity[~inside])[::-1]
    thresholds, measured, rates = [], [], []
    if not isinstance(false_alarm_rates, Iterable):
        raise InputError(f"false_alarm_rates must be a list; got {false_alarm_rates!r}.")
    for rate in false_alarm_rates:
        if not isinstance(rate, (int, float, np.number)) or not 0 <= rate <= 1:
            raise InputError(f"false_alarm_rates must lie between 0 and 1; got {rate!r}.")
        allowed = int(np.floor(rate * len(non_enrolled) + 1e-9))
        threshold = _just_above(non_enrolled, allowed)
        thresholds.append(threshold)
        measured.append(float((non_enrolled >= threshold).mean()))
        rates.append(float((right & (similarity >= threshold))[inside].mean()))
    return OpenSetReport(
        false_alarm_rates=tuple(float(rate) for rate in false_alarm_rates),
        thresholds=tuple(thresholds),
        measured_false_alarm_rates=tuple(measured),
        identification_rates=tuple(rates),
        num_enrolled=int(inside.sum()),
        num_non_enrolled=int((~inside).sum()),
    )


def _answer(
    result: SearchResult,
    query: int,
    k: int,
    depth: int,
    threshold: float,
    total: Callable[[Pid], int],
) -> Identification | None:
    """Return the answer, or None if entries further down may change it."""
    count = int(result.counts[query])
    people: dict[Pid, list[int]] = {}
    for rank in range(count):
        people.setdefault(result.pids[query, rank], []).append(rank)
    similarities = result.similarities[query].astype(np.float64)
    means = {pid: float(similarities[ranks[:depth]].mean()) for pid, ranks in people.items()}
    # A mean over fewer than ``depth`` entries can only fall; whoever is not seen yet lies below
    # the last entry seen. So two settled people on top stay there.
    ranked = sorted(people, key=lambda pid: (-means[pid], people[pid][0]))
    settled = count < k or len(ranked) >= 2
    if count == k and settled:
        settled = all(len(people[pid]) >= min(depth, total(pid)) for pid in ranked[:2])
    if not settled:
        return None
    if not ranked:
        return Identification(None, float("nan"), float("nan"), None, ())
    best = ranked[0]
    margin = means[best] - means[ranked[1]] if len(ranked) > 1 else float("nan")
    return Identification(
        pid=best if means[best] >= threshold else None,
        similarity=means[best],
        margin=margin,
        candidate=best,
        entry_ids=tuple(result.ids[query, people[best][:depth]].tolist()),
    )


def _just_above(falling: NDArray[np.float64], allowed: int) -> float:
    """The lowest threshold that at most ``allowed`` of the similarities reach."""
    if allowed >= len(falling):
        return -1.0
    return float(max(np.nextafter(falling[allowed], np.inf), -1.0))


def _some(values: Sequence[Pid] | None, rows: list[int]) -> list[Pid] | None:
    return None if values is None else [values[row] for row in rows]
