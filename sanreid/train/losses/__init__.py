"""The losses: their formulas, and the objective that sums them with their weights.

:func:`register_loss` adds a term from outside; :class:`LossInputs` is what it is computed from.
"""

from __future__ import annotations

from sanreid.train.losses import camera_proxies, surface, teacher, terms
from sanreid.train.losses.objective import LossContext, LossInputs, Objective, register_loss
from sanreid.train.losses.terms import (  # the functions' home before there were files for them
    batch_hard_triplet_loss,
    identity_loss,
    reconstruction_loss,
    tr_constraint,
)

__all__ = [
    "LossContext",
    "LossInputs",
    "Objective",
    "batch_hard_triplet_loss",
    "camera_proxies",
    "identity_loss",
    "reconstruction_loss",
    "register_loss",
    "surface",
    "teacher",
    "terms",
    "tr_constraint",
]
