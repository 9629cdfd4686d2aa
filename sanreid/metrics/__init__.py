"""How well embeddings find people again: CMC, mAP and mINP.

:func:`evaluate` takes embeddings, :func:`evaluate_distances` a matrix that something else
computed (a re-ranked one, say); both return an :class:`EvaluationReport`.
"""

from __future__ import annotations

from sanreid.metrics.evaluation import evaluate, evaluate_distances
from sanreid.metrics.labels import has_match
from sanreid.metrics.report import EvaluationReport, joined_report

__all__ = ["EvaluationReport", "evaluate", "evaluate_distances", "has_match", "joined_report"]
