"""How good an index is, and how wide its search must be to be good enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.exact import exact_search
from sanreid.gallery.index.rows import Candidates, Rows, RowSearch

__all__ = ["RecallProbe", "tune"]

_MAX_OVERFETCH = 256


class Tunable(Protocol):
    """The two numbers that a search's cost and recall depend on."""

    width: int
    overfetch: int


class RecallProbe:
    """Stored rows drawn at random as queries, with their true neighbours.

    Args:
        rows: The gallery's.
        k: Neighbours per query, the row itself not counted.
        sample: Rows drawn.
        rng: Draws them.

    Attributes:
        search: What to search for; :meth:`recall` judges the answer.
    """

    def __init__(self, rows: Rows, k: int, sample: int, rng: np.random.Generator) -> None:
        alive = rows.alive_numbers()
        self._chosen = np.sort(rng.choice(alive, min(sample, len(alive)), replace=False))
        self.search = RowSearch(
            rows,
            rows.take(self._chosen),
            min(k + 1, len(alive)),
            admitted=rows.alive,
        )
        self._neighbours = [
            similarities[: self.search.k - 1]
            for similarities in self._others(exact_search(self.search))
        ]

    def recall(self, found: Candidates | None) -> float:
        """Return the share of the true neighbours among what was found for :attr:`search`.

        A row as near as the exact k-th neighbour counts, whichever of equal ones it is. None
        stands for an exact answer.
        """
        if found is None or self.search.k < 2:
            return 1.0
        shares = [
            min(int((got >= true[-1]).sum()), len(true)) / len(true)
            for got, true in zip(self._others(found), self._neighbours, strict=True)
        ]
        return float(np.mean(shares))

    def _others(self, found: Candidates) -> list[NDArray[np.float32]]:
        """Return the similarities of each query's rows except itself, descending."""
        queries, rows, similarities = found
        other = rows != self._chosen[queries]
        queries, similarities = queries[other], similarities[other]
        borders = np.searchsorted(queries, np.arange(1, len(self._chosen)))
        return np.split(similarities, borders)


def tune(index: Tunable, recall: Callable[[], float], target: float, max_width: int) -> None:
    """Set the overfetch and the width of an index to the least that reach a recall.

    A neighbour is missed because the index never looked there, or because its code of the row is
    too coarse to rank it among the candidates. First the overfetch is raised, looking everywhere,
    until the second kind is at most half of what may be missed; then the width is lowered as far
    as it goes.

    Args:
        index: Changed in place.
        recall: Measures it as it stands.
        target: Recall to reach.
        max_width: The width at which a search is exhaustive.
    """
    index.width = max_width
    while recall() < (1 + target) / 2 and index.overfetch < _MAX_OVERFETCH:
        index.overfetch *= 2
    for index.width in _widths(max_width):
        if recall() >= target:
            return


def _widths(max_width: int) -> list[int]:
    """Return 1, 2, 3, 4, 6, 8, 12, ... up to the largest."""
    powers = [2**power for power in range(max_width.bit_length())]
    steps = sorted({*powers, *(3 * power // 2 for power in powers), max_width})
    return [step for step in steps if step <= max_width]
