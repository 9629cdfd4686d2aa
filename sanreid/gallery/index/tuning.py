"""How good an index is, and how wide its search must be to be good enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.exact import Candidates, exact_search
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.store import SearchRequest

__all__ = ["Truth", "tune"]

_MOST_CANDIDATES = 256  # for each entry wanted


class Tunable(Protocol):
    """The two numbers that a search's cost and recall depend on."""

    width: int
    overfetch: int


class Truth:
    """Stored rows drawn at random, and who their neighbours are.

    Args:
        snapshot: The entries.
        k: Neighbours of each, itself left out.
        sample: Entries asked for theirs.
        rng: Of the draw.
    """

    def __init__(self, snapshot: Snapshot, k: int, sample: int, rng: np.random.Generator) -> None:
        alive = snapshot.alive_rows()
        self._chosen = np.sort(rng.choice(alive, min(sample, len(alive)), replace=False))
        self.request = SearchRequest(
            queries=snapshot.table.vectors.take(self._chosen),
            k=min(k + 1, len(alive)),
            condition=None,
            exclude_pids=None,
            exclude_camids=None,
            min_similarity=None,
        )
        exact = exact_search(
            self.request.queries,
            snapshot.table.vectors,
            snapshot.num_rows,
            snapshot.table.ids.first(snapshot.num_rows),
            self.request.k,
            admitted=snapshot.alive(),
        )
        self._neighbours = [
            similarities[: self.request.k - 1] for similarities in self._others(exact)
        ]

    def recall(self, found: Candidates | None) -> float:
        """The share of the neighbours among what was found for :attr:`request`.

        A neighbour as near as the exact k-th counts, whichever of equal ones it is. None stands
        for an exact answer.
        """
        if found is None or self.request.k < 2:
            return 1.0
        shares = [
            min(int((got >= true[-1]).sum()), len(true)) / len(true)
            for got, true in zip(self._others(found), self._neighbours, strict=True)
        ]
        return float(np.mean(shares))

    def _others(self, found: Candidates) -> list[NDArray[np.float32]]:
        """Similarities of each query's finds but itself, falling."""
        queries, rows, similarities = found
        other = rows != self._chosen[queries]
        queries, similarities = queries[other], similarities[other]
        borders = np.searchsorted(queries, np.arange(1, len(self._chosen)))
        return np.split(similarities, borders)


def tune(index: Tunable, recall: Callable[[], float], target: float, widest: int) -> None:
    """Set the candidates and the width of an index to the least that reach a recall.

    What is missed is missed because the index never looked there, or because what it keeps of a
    row is too coarse to place it among the candidates. First candidates are added, looking
    everywhere, until the second is at most half of what may be missed; then the width is taken
    as small as it may be.

    Args:
        index: Changed in place.
        recall: Measures it as it stands.
        target: Recall to reach.
        widest: The width at which it looks everywhere.
    """
    index.width = widest
    while recall() < (1 + target) / 2 and index.overfetch < _MOST_CANDIDATES:
        index.overfetch *= 2
    for index.width in _widths(widest):
        if recall() >= target:
            return


def _widths(widest: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, ... up to the widest."""
    powers = [2**power for power in range(widest.bit_length())]
    steps = sorted({*powers, *(3 * power // 2 for power in powers), widest})
    return [step for step in steps if step <= widest]
