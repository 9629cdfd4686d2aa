"""Where a query meets a FAISS index: candidates quickly, then scored again exactly.

An index holds the rows along the few axes that matter, plain or coded, up to some row; later rows
are searched exactly until there are enough of them to be added. Whatever FAISS proposes is scored
with the stored vectors, so similarities are exact and only the choice of candidates is
approximate. A query for which it proposes fewer than k admitted rows is answered exactly.

Source: Douze et al., "The Faiss library", arXiv:2401.08281.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.exact import exact_search, nearly_best, rank_candidates
from sanreid.gallery.index.faiss_module import load_faiss
from sanreid.gallery.index.kinds import KINDS
from sanreid.gallery.index.reduction import principal_axes, project
from sanreid.gallery.index.rows import Candidates, Rows, RowSearch
from sanreid.gallery.index.tuning import RecallProbe, tune
from sanreid.utils.progress import progress_bar

__all__ = ["FaissIndex"]

logger = logging.getLogger(__name__)

_TRAIN_ROWS = 100_000  # enough for 256 centroids of a quantiser
_AXES_SHARE = 0.9  # of the rows' squared length that the axes of an index hold
_ADD_ROWS = 65_536
_TAIL_SHARE = 0.05  # rows not yet covered, as a share of the covered, that are searched exactly
_SPARSE = 0.03  # below this share of admitted rows, exact search of only those is faster
_TARGET_RECALL = 0.98
_TUNING_QUERIES, _TUNING_K = 256, 10


class FaissIndex:
    """A trained FAISS index over the first ``covered`` rows of a gallery.

    Args:
        kind: A key of :data:`~sanreid.gallery.index.kinds.KINDS`.
        index: The trained FAISS index, by inner product.
        axes: (D, d) that rows and queries are projected on; None for the rows as they are.
        covered: Rows in it.
        width: Lists or neighbours visited in a search.
        overfetch: Candidates requested per row wanted.
    """

    def __init__(
        self,
        kind: str,
        index: Any,  # noqa: ANN401 - FAISS has no types
        axes: NDArray[np.float32] | None,
        *,
        covered: int = 0,
        width: int = 1,
        overfetch: int = 1,
    ) -> None:
        self.kind, self.index, self.axes, self.covered = kind, index, axes, covered
        self.width, self.overfetch = width, overfetch
        self._lock = _SharedLock()

    @classmethod
    def build(cls, kind: str, rows: Rows, *, progress: bool | None) -> FaissIndex:
        """Train on a sample of the rows, add all, and set the width by measuring recall."""
        faiss, chosen = load_faiss(), KINDS[kind]
        count = len(rows)
        rng = np.random.default_rng(0)
        sample = min(count, max(_TRAIN_ROWS, chosen.min_training_rows(count)))
        training = rows.take(np.sort(rng.choice(count, sample, replace=False)))
        axes = principal_axes(training, _AXES_SHARE)
        training = project(training, axes)
        recipe = chosen.recipe(training.shape[1], count)
        index = faiss.index_factory(training.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
        _fix_training(faiss, index)
        with progress_bar(progress, total=count, doing=f"Building {kind}", unit="row") as bar:
            if not index.is_trained:
                index.train(training)
            del training
            built = cls(kind, index, axes)
            built._add_new(rows, bar.update)
        probe = RecallProbe(rows, _TUNING_K, _TUNING_QUERIES, rng)
        max_width = chosen.max_width(index)
        tune(
            built,
            lambda: probe.recall(built.unaided(probe.search)),
            _TARGET_RECALL,
            max_width,
        )
        logger.info(
            "Built a %s index over %d rows: %d of %d axes, width %d of %d, %d candidates per "
            "entry wanted.",
            kind, count, index.d, rows.vectors.dim, built.width, max_width, built.overfetch,
        )  # fmt: skip
        return built

    def search(self, search: RowSearch) -> Candidates | None:
        """Answer a search; None where exact search is as quick.

        Queries that got fewer than k admitted rows are answered exactly.
        """
        rows, queries = search.rows, search.queries
        wanted = len(rows) if search.admitted is None else int(np.count_nonzero(search.admitted))
        if wanted < max(_SPARSE * len(rows), 4 * self._num_candidates(search.k)):
            return None
        numbers, found = self._nearest(search)
        short = np.bincount(numbers, minlength=len(queries)) < search.k
        kept = ~short[numbers]
        ranked = rank_candidates(
            queries, numbers[kept], found[kept], rows, search.k, search.min_similarity
        )  # fmt: skip
        if not short.any():
            return ranked
        again = np.flatnonzero(short)
        exact = exact_search(
            replace(
                search,
                queries=queries[again],
                exclusion=None if search.exclusion is None else search.exclusion.of(again),
            )
        )
        numbers = np.concatenate([ranked.queries, again[exact.queries]])
        order = np.argsort(numbers, kind="stable")
        return Candidates(
            numbers[order],
            np.concatenate([ranked.rows, exact.rows])[order],
            np.concatenate([ranked.similarities, exact.similarities])[order],
        )

    def unaided(self, search: RowSearch) -> Candidates:
        """Return what the index finds by itself, where an exact search would help it too."""
        numbers, found = self._nearest(search)
        return rank_candidates(search.queries, numbers, found, search.rows, search.k, None)

    def lags(self, rows: Rows) -> bool:
        """Return whether many rows have been added since."""
        return len(rows) - self.covered > max(1024, _TAIL_SHARE * self.covered)

    def extend(self, rows: Rows) -> None:
        """Add all rows that are new since."""
        with self._lock.exclusive():
            self._add_new(rows, lambda _: None)

    def propose(
        self, queries: NDArray[np.float32], count: int, admitted: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return (query, row) pairs of about ``count`` rows per query, and the rows covered."""
        faiss = load_faiss()
        projected = project(queries, self.axes)
        with self._lock.shared():
            covered = self.covered
            selector = None
            if admitted is not None:
                bits = np.packbits(_fitted(admitted, covered), bitorder="little")
                selector = faiss.IDSelectorBitmap(bits)
            parameters = KINDS[self.kind].parameters(self.width, count, selector)
            _, rows = self.index.search(projected, min(count, covered), params=parameters)
        numbers, ranks = np.nonzero(rows >= 0)
        return numbers, rows[numbers, ranks], covered

    def _nearest(self, search: RowSearch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (query, row) pairs that may be among the k best: FAISS's, and later rows."""
        rows, queries, k = search.rows, search.queries, search.k
        numbers, found, covered = self.propose(queries, self._num_candidates(k), search.admitted)
        known = found < len(rows)
        numbers, found = numbers[known], found[known]
        if search.exclusion is not None:
            allowed = ~search.exclusion.pairs(numbers, found)
            numbers, found = numbers[allowed], found[allowed]
        numbers, found = nearly_best(queries, numbers, found, rows, k)
        if covered < len(rows):
            tail = exact_search(replace(search, min_similarity=None), start=covered)
            numbers = np.concatenate([numbers, tail.queries])
            found = np.concatenate([found, tail.rows])
        return numbers, found

    def _num_candidates(self, k: int) -> int:
        """Return the candidates requested of FAISS per query."""
        return k * self.overfetch + 8

    def _add_new(self, rows: Rows, update: Callable[[int], Any]) -> None:
        for start in range(self.covered, len(rows), _ADD_ROWS):
            numbers = np.arange(start, min(len(rows), start + _ADD_ROWS))
            self.index.add(project(rows.take(numbers), self.axes))
            self.covered = int(numbers[-1]) + 1
            update(len(numbers))


class _SharedLock:
    """Many searches at once, or one writer."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: self._inside == 0)
            yield


def _fix_training(faiss: Any, index: Any) -> None:  # noqa: ANN401 - FAISS has no types
    """Make training short, repeatable, and free of warnings on standard error."""
    lists = faiss.extract_index_ivf(index).cp if isinstance(index, faiss.IndexIVF) else None
    parts = [] if lists is None else [lists]
    for owner in (index, getattr(index, "storage", None)):
        inner = None if owner is None else faiss.downcast_index(owner)
        quantiser = getattr(inner, "pq", None)
        if quantiser is not None:
            parts.append(quantiser.cp)
        if inner is not None and hasattr(inner, "do_polysemous_training"):
            # Seconds per part of a code, for an order of centroids that no search here uses.
            inner.do_polysemous_training = False
    for parameters in parts:
        parameters.min_points_per_centroid = 1
        parameters.max_points_per_centroid = 256
        parameters.niter = 6 if parameters is lists else 10
        parameters.seed = 1234


def _fitted(admitted: NDArray[np.bool_], covered: int) -> NDArray[np.bool_]:
    """Return the mask of the covered rows; rows that it does not know are not admitted."""
    if covered <= len(admitted):
        return admitted[:covered]
    return np.concatenate([admitted, np.zeros(covered - len(admitted), dtype=bool)])
