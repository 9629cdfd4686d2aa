"""Approximate indexes by FAISS: candidates quickly, then scored again with the stored vectors.

An index holds the rows along the few axes that matter, plain or coded, up to some row; rows behind
it are searched exactly until there are enough of them to be taken in. Whatever an index proposes
is scored with the stored vectors, so similarities are exact and only the choice of candidates is
approximate. A query for which it proposes fewer than k admissible rows is answered exactly.

Sources: Sivic and Zisserman, "Video Google", ICCV 2003 (inverted lists); Malkov and Yashunin,
arXiv:1603.09320 (HNSW); Jegou et al., "Product Quantization for Nearest Neighbor Search",
TPAMI 2011; the implementation is FAISS, Douze et al., arXiv:2401.08281.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.exact import Candidates, exact_search, nearly_best, rank_candidates
from sanreid.gallery.index.reduction import centres, nearest_centres, principal_axes, projected
from sanreid.gallery.index.tuning import Truth, tune
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.store import SearchRequest
from sanreid.utils.progress import progress_bar

__all__ = ["KINDS", "ApproximateIndex", "load_faiss", "searched"]

logger = logging.getLogger(__name__)

KINDS = (
    "flat-sq8", "flat-pq", "ivf", "ivf-sq8", "ivf-pq", "hnsw", "hnsw-sq8", "hnsw-pq",
)  # fmt: skip
MIN_ROWS = 10_000  # below, exact search is quick and an index would be badly trained
_TRAIN_PER_LIST = 32
_TRAIN_ROWS = 100_000  # enough for 256 centroids of a quantiser
_AXES_SHARE = 0.9  # of the rows' squared length that the axes of an index hold
_ADD_ROWS = 65_536
_TAIL_SHARE = 0.05  # rows not yet covered, as a share of the covered, that are searched exactly
_SPARSE = 0.03  # below this share of admitted rows, exact search of those alone is quicker
_TARGET_RECALL = 0.98
_TUNING_QUERIES, _TUNING_K = 256, 10
_WIDEST_GRAPH = 1024  # neighbours an HNSW search holds at most


def load_faiss() -> Any:  # noqa: ANN401 - its types do not know its Python layer
    """Import FAISS where it is used: it costs time, and exact search does without."""
    return import_module("faiss")


class ApproximateIndex:
    """A FAISS index over the first ``covered`` rows of one table.

    Args:
        kind: One of :data:`KINDS`.
        index: The trained FAISS index, by inner product.
        axes: (D, d) what rows and queries are projected on; None for the rows as they are.
        covered: Rows in it.
        width: Lists or neighbours looked at in a search.
        overfetch: Candidates taken for each entry wanted.
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
        self._gate = _Gate()

    @classmethod
    def build(cls, kind: str, snapshot: Snapshot, *, progress: bool | None) -> ApproximateIndex:
        """Train on a sample of the rows, take all in, and set the width by measuring recall."""
        faiss = load_faiss()
        count = snapshot.num_rows
        num_lists = _num_lists(count) if kind.startswith("ivf") else 1
        rng = np.random.default_rng(0)
        sample = min(count, max(_TRAIN_ROWS, _TRAIN_PER_LIST * num_lists))
        training = snapshot.table.vectors.take(np.sort(rng.choice(count, sample, replace=False)))
        axes = principal_axes(training, _AXES_SHARE)
        training = projected(training, axes)
        recipe = _recipe(kind, training.shape[1], num_lists)
        index = faiss.index_factory(training.shape[1], recipe, faiss.METRIC_INNER_PRODUCT)
        _calm(faiss, index)
        with progress_bar(progress, total=count, doing=f"Building {kind}", unit="row") as bar:
            if not index.is_trained:
                if _is_ivf(kind):  # FAISS keeps the centres it finds there
                    index.quantizer.add(centres(training, num_lists, rng))
                index.train(training)
            del training
            own = cls(kind, index, axes)
            own._take_in(snapshot, bar.update)
        truth = Truth(snapshot, _TUNING_K, _TUNING_QUERIES, rng)
        widest = _WIDEST_GRAPH if kind.startswith("hnsw") else num_lists
        tune(
            own, lambda: truth.recall(found_by(own, snapshot, truth.request)),
            _TARGET_RECALL, widest,
        )  # fmt: skip
        logger.info(
            "Built a %s index over %d rows: %d of %d axes, width %d of %d, %d candidates for "
            "each entry.",
            kind, count, index.d, snapshot.table.vectors.dim, own.width, widest, own.overfetch,
        )  # fmt: skip
        return own

    def lags(self, snapshot: Snapshot) -> bool:
        """Tell whether many rows were added since."""
        return snapshot.num_rows - self.covered > max(1024, _TAIL_SHARE * self.covered)

    def extend(self, snapshot: Snapshot) -> None:
        """Take in all rows added since."""
        with self._gate.alone():
            self._take_in(snapshot, lambda _: None)

    def propose(
        self, queries: NDArray[np.float32], count: int, admitted: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Give (query, row) pairs of about ``count`` candidates a query, and the rows covered."""
        faiss = load_faiss()
        asked = projected(queries, self.axes)
        with self._gate.shared():
            covered = self.covered
            selector = None
            if admitted is not None:
                bits = np.packbits(_padded(admitted, covered), bitorder="little")
                selector = faiss.IDSelectorBitmap(bits)
            if self.kind.startswith("hnsw"):
                parameters = faiss.SearchParametersHNSW(
                    efSearch=max(self.width, count), sel=selector
                )
            elif self.kind == "flat-sq8":
                parameters = faiss.SearchParameters(sel=selector)
            else:
                parameters = faiss.SearchParametersIVF(nprobe=self.width, sel=selector)
            _, rows = self.index.search(asked, min(count, covered), params=parameters)
        places, ranks = np.nonzero(rows >= 0)
        return places, rows[places, ranks], covered

    def _take_in(self, snapshot: Snapshot, update: Any) -> None:  # noqa: ANN401 - a bar's method
        for start in range(self.covered, snapshot.num_rows, _ADD_ROWS):
            rows = np.arange(start, min(snapshot.num_rows, start + _ADD_ROWS))
            self._add(projected(snapshot.table.vectors.take(rows), self.axes))
            self.covered = int(rows[-1]) + 1
            update(len(rows))

    def _add(self, rows: NDArray[np.float32]) -> None:
        if not _is_ivf(self.kind):
            self.index.add(rows)
            return
        faiss = load_faiss()
        lists = nearest_centres(rows, self.index.quantizer.reconstruct_n(0, self.index.nlist))
        self.index.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(lists))


def searched(
    index: ApproximateIndex, snapshot: Snapshot, request: SearchRequest
) -> Candidates | None:
    """Answer a search with an index; None where exact search is as quick.

    Queries that got fewer than k admissible rows are answered exactly.
    """
    admitted = snapshot.admitted(request.condition)
    wanted = snapshot.num_rows if admitted is None else int(np.count_nonzero(admitted))
    if wanted < max(_SPARSE * snapshot.num_rows, 4 * _candidates(index, request)):
        return None
    queries, vectors, num_rows = request.queries, snapshot.table.vectors, snapshot.num_rows
    ids, exclusion = snapshot.table.ids.first(num_rows), snapshot.exclusion(request)
    places, rows = _nearest(index, snapshot, request, admitted)
    short = np.bincount(places, minlength=len(queries)) < request.k
    kept = ~short[places]
    found = rank_candidates(
        queries, places[kept], rows[kept], vectors, ids, request.k, request.min_similarity
    )
    if not short.any():
        return found
    again = np.flatnonzero(short)
    more = exact_search(
        queries[again], vectors, num_rows, ids, min(request.k, num_rows),
        admitted=admitted,
        exclusion=None if exclusion is None else exclusion.of(again),
        min_similarity=request.min_similarity,
    )  # fmt: skip
    places = np.concatenate([found[0], again[more[0]]])
    order = np.argsort(places, kind="stable")
    return (
        places[order],
        np.concatenate([found[1], more[1]])[order],
        np.concatenate([found[2], more[2]])[order],
    )


def found_by(index: ApproximateIndex, snapshot: Snapshot, request: SearchRequest) -> Candidates:
    """What the index finds by itself, where an exact search would help it too."""
    places, rows = _nearest(index, snapshot, request, snapshot.alive())
    return rank_candidates(
        request.queries, places, rows, snapshot.table.vectors,
        snapshot.table.ids.first(snapshot.num_rows), request.k, None,
    )  # fmt: skip


def _nearest(
    index: ApproximateIndex,
    snapshot: Snapshot,
    request: SearchRequest,
    admitted: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give (query, row) pairs that may be among the k best: of the index, and of its tail."""
    queries, vectors, num_rows = request.queries, snapshot.table.vectors, snapshot.num_rows
    exclusion = snapshot.exclusion(request)
    places, rows, covered = index.propose(queries, _candidates(index, request), admitted)
    inside = rows < num_rows
    places, rows = places[inside], rows[inside]
    if exclusion is not None:
        allowed = ~exclusion.pairs(places, rows)
        places, rows = places[allowed], rows[allowed]
    places, rows = nearly_best(queries, places, rows, vectors, request.k)
    if covered < num_rows:
        tail = exact_search(
            queries, vectors, num_rows, snapshot.table.ids.first(num_rows), request.k,
            admitted=admitted, exclusion=exclusion, start=covered,
        )  # fmt: skip
        places, rows = np.concatenate([places, tail[0]]), np.concatenate([rows, tail[1]])
    return places, rows


def _candidates(index: ApproximateIndex, request: SearchRequest) -> int:
    """Candidates asked of the index for each query."""
    return request.k * index.overfetch + 8


class _Gate:
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
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: self._inside == 0)
            yield


def _is_ivf(kind: str) -> bool:
    """Inverted lists, those of a flat product quantiser being one list."""
    return kind.startswith("ivf") or kind == "flat-pq"


def _num_lists(count: int) -> int:
    return int(min(65_536, max(1, round(4 * math.sqrt(count)))))


def _recipe(kind: str, dim: int, num_lists: int) -> str:
    """FAISS's name for an index."""
    family, _, code = kind.partition("-")
    part = {"": "Flat", "sq8": "SQ8", "pq": f"PQ{_sub_vectors(dim)}"}[code]
    if family == "flat":
        return "SQ8" if code == "sq8" else f"IVF1,{part}"  # plain PQ knows no filters
    return f"HNSW32,{part}" if family == "hnsw" else f"IVF{num_lists},{part}"


def _sub_vectors(dim: int) -> int:
    """The most parts, of at least four numbers if there are as many, that divide ``dim``."""
    return max(parts for parts in range(1, max(1, dim // 4) + 1) if dim % parts == 0)


def _calm(faiss: Any, index: Any) -> None:  # noqa: ANN401 - FAISS has no types
    """Short trainings without warnings on standard error, the same each time."""
    inner = faiss.extract_index_ivf(index) if isinstance(index, faiss.IndexIVF) else None
    parts = [] if inner is None else [inner.cp]
    for owner in (index, getattr(index, "storage", None)):
        quantiser = getattr(faiss.downcast_index(owner) if owner is not None else None, "pq", None)
        if quantiser is not None:
            parts.append(quantiser.cp)
    for parameters in parts:
        parameters.min_points_per_centroid = 1
        parameters.max_points_per_centroid = 256
        parameters.niter = 10
        parameters.seed = 1234


def _padded(admitted: NDArray[np.bool_], covered: int) -> NDArray[np.bool_]:
    """The mask of the covered rows; rows the snapshot does not know are not admitted."""
    if covered <= len(admitted):
        return admitted[:covered]
    return np.concatenate([admitted, np.zeros(covered - len(admitted), dtype=bool)])
