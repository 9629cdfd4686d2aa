"""Several reports as one, and re-ranking where queries are in the gallery too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sanreid.metrics import joined_report

if TYPE_CHECKING:
    from sanreid.metrics import EvaluationReport

__all__ = ["combine", "rerank_all_pairs"]

Rerank = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


def combine(reports: Sequence[EvaluationReport]) -> dict[str, Any]:
    """Merge reports of disjoint queries: means over all valid queries together, for JSON.

    ``mAP_interval`` is the 95 % bootstrap interval over identities.

    Args:
        reports: At least one.
    """
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
    some bit: log2 of the groups calls instead of one per group.

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
