"""How one folder of crops becomes queries and galleries, and how several reports become one.

``cross-camera``: every crop is a query; its gallery is every crop of the other cameras.
``market1501``: every crop is a query, the gallery is every crop; left out for each query are the
crops of its person under its camera, itself among them (the Market-1501 rule). Other people
under the query's camera stay in, so a network that leans on the camera's look is found out.
``first-per-camera``: the first crop of each person under each camera is a query, the rest is the
gallery, under the Market-1501 rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import DatasetError
from sanreid.metrics import has_match, joined_report

if TYPE_CHECKING:
    from sanreid.metrics import EvaluationReport

__all__ = ["SPLITS", "QuerySet", "combine", "rerank_all_pairs"]

Rerank = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


class QuerySet(NamedTuple):
    """Queries that share a gallery, both as places in the folder's crops."""

    query: NDArray[np.int64]
    gallery: NDArray[np.int64]


def cross_camera(pids: NDArray[np.int64], camids: NDArray[np.int64]) -> list[QuerySet]:
    """One set a camera that has a query which another camera can answer."""
    sets = []
    for camera in np.unique(camids):
        here = camids == camera
        query = np.flatnonzero(here & (pids > 0))
        gallery = np.flatnonzero(~here)
        if np.isin(pids[query], pids[gallery]).any():
            sets.append(QuerySet(query, gallery))
    return sets


def market1501(pids: NDArray[np.int64], camids: NDArray[np.int64]) -> list[QuerySet]:
    """Every crop against every crop."""
    everything = QuerySet(np.flatnonzero(pids > 0), np.arange(len(pids)))
    return [everything] if _answerable(everything, pids, camids) else []


def first_per_camera(pids: NDArray[np.int64], camids: NDArray[np.int64]) -> list[QuerySet]:
    """The first crop of each person under each camera against the rest."""
    _, first = np.unique(np.stack([pids, camids], axis=1), axis=0, return_index=True)
    first = np.sort(first[pids[first] > 0])
    split = QuerySet(first, np.setdiff1d(np.arange(len(pids)), first))
    return [split] if _answerable(split, pids, camids) else []


SPLITS = {
    "cross-camera": cross_camera,
    "market1501": market1501,
    "first-per-camera": first_per_camera,
}


def _answerable(split: QuerySet, pids: NDArray[np.int64], camids: NDArray[np.int64]) -> bool:
    query, gallery = split
    return has_match(pids[query], camids[query], pids[gallery], camids[gallery])


def combine(reports: Sequence[EvaluationReport]) -> dict[str, Any]:
    """Merge reports of disjoint queries: means over all valid queries together, for JSON.

    ``mAP_interval`` is the 95 % bootstrap interval over identities.

    Raises:
        DatasetError: There is no report, because no query has a match.
    """
    if not reports:
        raise DatasetError(
            "No person was seen by two cameras, so no query has an answer. Are the file names "
            "read by the right scheme (--names)?"
        )
    report = joined_report(reports)
    low, high = report.mAP_interval()
    return {**report.as_dict(), "mAP_interval": [low, high]}


def rerank_all_pairs(
    embeddings: NDArray[np.float32], groups: NDArray[np.int64], rerank: Rerank
) -> NDArray[np.float32]:
    """Re-ranked distances between all crops of different groups.

    The re-ranked distance of two crops depends on all crops together, not on which of them are
    called queries. So the crops are divided in two by each bit of their group's number, both
    halves are re-ranked against each other, and every pair of different groups is divided by
    some bit: log2 of the groups calls instead of one for each group.

    Args:
        embeddings: (N, D).
        groups: (N,) numbers from 0; pairs of one group are not wanted.
        rerank: From query and gallery embeddings to (Q, G) distances.

    Returns:
        (N, N) float32; +inf inside groups.
    """
    distances = np.full((len(groups), len(groups)), np.inf, dtype=np.float32)
    for bit in range(int(groups.max(initial=0)).bit_length()):
        ones = np.flatnonzero(groups >> bit & 1)
        zeros = np.flatnonzero(~(groups >> bit) & 1)
        if len(ones) and len(zeros):
            distances[np.ix_(ones, zeros)] = rerank(embeddings[ones], embeddings[zeros])
            distances[np.ix_(zeros, ones)] = rerank(embeddings[zeros], embeddings[ones])
    return distances
