"""CMC, mAP and mINP of a set of queries against a gallery.

Sources: CMC and the Market-1501 rule, Zheng et al., "Scalable Person Re-identification: A
Benchmark", ICCV 2015; the single-gallery-shot rule, Li et al., "DeepReID", CVPR 2014, in
torchreid's form; mINP, Ye et al., "Deep Learning for Person Re-identification: A Survey and
Outlook", TPAMI 2021.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.metrics.checks import as_array, check_unmasked
from sanreid.metrics.labels import Labels
from sanreid.metrics.ranking import SingleShot, match_ranks
from sanreid.metrics.report import EvaluationReport
from sanreid.metrics.vectors import identical_rows, keep_rows, unit_rows_of_both
from sanreid.utils.arguments import as_count, as_seed, check_choice

__all__ = ["evaluate", "evaluate_distances"]

Protocol = Literal["market1501", "cuhk03"]

_BLOCK_BYTES = 64 * 2**20  # distances held at a time
_BLOCK_QUERIES = (128, 512)  # fewer waste the matrix product, more waste the cache
_MOST = 2**24  # ranks, and draws per query: more would fill the memory
_THREADS = min(8, os.cpu_count() or 1)


def evaluate(
    query_embeddings: ArrayLike,
    query_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_embeddings: ArrayLike,
    gallery_pids: ArrayLike,
    gallery_camids: ArrayLike,
    *,
    protocol: Protocol = "market1501",
    max_rank: int = 50,
    num_repeats: int = 10,
    seed: int = 0,
) -> EvaluationReport:
    """Rank the gallery for every query by cosine similarity and say how good the rankings are.

    Entries of the query's person under the query's camera are left out of its ranking. A gallery
    pid of -1 is junk and left out too; 0 is a distractor, as in Market-1501: ranked, nobody's
    match. (Where queries carry pid 0, as in data that count people from 0, it is a person like
    any other.) Queries without an admissible match are not counted. Equal similarities keep
    gallery order, and identical gallery rows have equal similarities.

    Memory beside the inputs: a float32 copy of them and a block of at most 64 MiB of distances
    (128 queries where the gallery is larger than 131,072).

    Args:
        query_embeddings: (Q, D) real numbers of any scale; normalised inside, in float32.
        query_pids: (Q,) int or str.
        query_camids: (Q,) int, or names such as "north gate"; one name is one camera in both.
        gallery_embeddings: (G, D).
        gallery_pids: (G,) int or str.
        gallery_camids: (G,) int or names.
        protocol: "market1501", or "cuhk03": the CMC is that of single-gallery-shot, each person
            shown by one entry drawn at random (distractors are nobody: all of them stay),
            averaged over ``num_repeats`` draws per query; mAP and mINP stay those of the whole
            gallery, as in torchreid.
        max_rank: Length of the CMC; past the end of a shorter gallery it keeps its last value.
        num_repeats: Draws a query, "cuhk03" only.
        seed: Of the draws, at least 0, "cuhk03" only.

    Returns:
        The report: fractions between 0 and 1.

    Raises:
        InputError: A row that is zero, NaN or infinite, shapes that do not fit together, labels
            that are no pids or camids, an option out of range, or no query at all with an
            admissible match.

    >>> import numpy as np
    >>> report = evaluate([[1, 0]], [7], [0], [[0, 1], [1, 0.1]], [8, 7], [1, 1])
    >>> report.mAP, report.rank1
    (1.0, 1.0)
    """
    queries, gallery = unit_rows_of_both(query_embeddings, gallery_embeddings)
    rules = _Rules(protocol, max_rank, num_repeats, seed)
    shape = (len(queries), len(gallery))
    labels = Labels(query_pids, query_camids, gallery_pids, gallery_camids, shape)
    if labels.ranked is not None:
        gallery = keep_rows(gallery, labels.ranked)
    np.negative(queries, out=queries)  # then a product is a distance: smaller is nearer
    repeats, firsts = identical_rows(gallery)

    def blocks() -> Iterator[NDArray[np.float32]]:
        step = _queries_at_a_time(gallery.shape[0])
        out = np.empty((min(step, len(queries)), len(gallery)), dtype=np.float32)
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            block = np.matmul(part, gallery.T, out=out[: len(part)])
            block[:, repeats] = block[:, firsts]
            yield block

    return _evaluate(blocks(), labels, rules)


def evaluate_distances(
    distances: ArrayLike,
    query_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_pids: ArrayLike,
    gallery_camids: ArrayLike,
    *,
    protocol: Protocol = "market1501",
    max_rank: int = 50,
    num_repeats: int = 10,
    seed: int = 0,
) -> EvaluationReport:
    """:func:`evaluate`, on distances that are there already (re-ranked ones, for example).

    Args:
        distances: (Q, G) real numbers of any kind, smaller is nearer; read, never copied as a
            whole or changed. Infinite ones rank last, NaN is an error. Equal distances keep
            gallery order. For similarities pass their negative.
        query_pids: (Q,) int or str.
        query_camids: (Q,) int or names.
        gallery_pids: (G,) int or str; -1 junk, 0 a distractor.
        gallery_camids: (G,) int or names.
        protocol: As in :func:`evaluate`.
        max_rank: As in :func:`evaluate`.
        num_repeats: As in :func:`evaluate`.
        seed: As in :func:`evaluate`.

    Returns:
        The report: fractions between 0 and 1.

    Raises:
        InputError: NaN among the distances, shapes that do not fit together, labels that are no
            pids or camids, an option out of range, or no query at all with an admissible match.
    """
    matrix = as_array(distances, "distances")
    check_unmasked(matrix, "distances")
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or 0 in matrix.shape:
        raise InputError(
            "distances are a matrix (Q, G) of real numbers, at least one query and one entry; "
            f"got shape {matrix.shape} of {matrix.dtype}."
        )
    rules = _Rules(protocol, max_rank, num_repeats, seed)
    labels = Labels(query_pids, query_camids, gallery_pids, gallery_camids, matrix.shape)

    def blocks() -> Iterator[NDArray[Any]]:
        step = _queries_at_a_time(matrix.shape[1])
        for start in range(0, len(matrix), step):
            block = matrix[start : start + step]
            nan = np.isnan(block)
            if nan.any():
                row, column = np.argwhere(nan)[0]
                raise InputError(
                    f"distances hold NaN, first for query {start + row}, entry {column}; "
                    "every pair needs a number (infinity for pairs that must rank last)."
                )
            yield block if labels.ranked is None else block[:, labels.ranked]

    return _evaluate(blocks(), labels, rules)


@dataclass(frozen=True)
class _Rules:
    protocol: Protocol
    max_rank: int
    num_repeats: int
    seed: int

    def __post_init__(self) -> None:
        check_choice(self.protocol, "protocol", get_args(Protocol))
        for name in ("max_rank", "num_repeats"):
            object.__setattr__(self, name, as_count(getattr(self, name), name, most=_MOST))
        object.__setattr__(self, "seed", as_seed(self.seed))


def _evaluate(blocks: Iterator[NDArray[Any]], labels: Labels, rules: _Rules) -> EvaluationReport:
    """Rank block after block of (q, R) distances, R the ranked entries."""
    draw = None
    if rules.protocol == "cuhk03":
        draw = SingleShot(
            labels.order,
            labels.sorted_pids,
            labels.nobody,
            num_repeats=rules.num_repeats,
            seed=rules.seed,
        )

    def rank(first: int, rows: NDArray[Any]) -> list[_Ranked]:
        found = []
        for query, row in enumerate(rows, start=first):
            matches, own_camera = labels.of(query)
            if matches.size:
                ranks = match_ranks(row, matches, own_camera)
                shown = (
                    ranks[:1]
                    if draw is None
                    else draw.first_ranks(query, row, labels.pid(query), matches)
                )
                found.append(_Ranked(query, ranks, shown))
        return found

    ranked: list[_Ranked] = []
    num_queries = 0
    with ThreadPoolExecutor(_THREADS) as threads:  # sorting releases the interpreter
        for block in blocks:
            share = -(-len(block) // _THREADS)
            parts = [block[a : a + share] for a in range(0, len(block), share)]
            firsts = range(num_queries, num_queries + len(block), share)
            for found in threads.map(rank, firsts, parts):
                ranked += found
            num_queries += len(block)
    if not ranked:
        raise InputError(f"No query has an admissible match: {labels.why_no_match()}")
    return _report(ranked, labels, rules)


@dataclass(frozen=True)
class _Ranked:
    """A valid query: the ranks of all its matches, and of the first one in each repeat."""

    query: int
    ranks: NDArray[np.intp]
    first: NDArray[np.intp]


def _report(ranked: list[_Ranked], labels: Labels, rules: _Rules) -> EvaluationReport:
    ranks = np.concatenate([one.ranks for one in ranked])
    counts = np.array([len(one.ranks) for one in ranked])
    ends = np.cumsum(counts)
    nth_match = np.arange(1, len(ranks) + 1) - np.repeat(ends - counts, counts)
    average_precision = np.add.reduceat(nth_match / ranks, ends - counts) / counts

    first = np.concatenate([one.first for one in ranked])
    histogram = np.bincount(first, minlength=rules.max_rank + 1)
    cmc = np.cumsum(histogram)[1 : rules.max_rank + 1] / len(first)

    query_index = np.array([one.query for one in ranked], dtype=np.int64)
    return EvaluationReport(
        mAP=float(average_precision.mean()),
        mINP=float((counts / ranks[ends - 1]).mean()),
        cmc=cmc,
        num_valid_queries=len(ranked),
        num_queries=len(labels.query_pids),
        num_gallery=len(labels.order),
        protocol=rules.protocol,
        query_index=query_index,
        query_pids=labels.query_pids[query_index],
        average_precision=average_precision,
        num_matches=counts.astype(np.int64),
        match_places=ranks.astype(np.int64),
    )


def _queries_at_a_time(num_gallery: int) -> int:
    fewest, most = _BLOCK_QUERIES
    return max(fewest, min(most, _BLOCK_BYTES // (4 * num_gallery + 1)))
