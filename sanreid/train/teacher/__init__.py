"""Learning from another encoder: opening it, and its embeddings of the clean crops."""

from __future__ import annotations

from sanreid.train.teacher.embeddings import TaughtCrops, teacher_embeddings
from sanreid.train.teacher.models import Teacher, open_teacher

__all__ = [
    "TaughtCrops",
    "Teacher",
    "open_teacher",
    "teacher_embeddings",
]
