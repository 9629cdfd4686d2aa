"""How well embeddings find people again: CMC, mAP and mINP; how well clusters are people.

:func:`evaluate` takes embeddings, :func:`evaluate_distances` a matrix that something else
computed (a re-ranked one, say); both return an :class:`EvaluationReport`.
:func:`evaluate_clustering` compares clusters with pids.
"""

from __future__ import annotations

from sanreid.metrics.clustering import ClusteringReport, evaluate_clustering
from sanreid.metrics.evaluation import evaluate, evaluate_distances
from sanreid.metrics.labels import has_match
from sanreid.metrics.near_duplicates import group_near_duplicates
from sanreid.metrics.report import EvaluationReport, joined_report

__all__ = [
    "ClusteringReport",
    "EvaluationReport",
    "evaluate",
    "evaluate_clustering",
    "evaluate_distances",
    "group_near_duplicates",
    "has_match",
    "joined_report",
]
