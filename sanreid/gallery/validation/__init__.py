"""Readers of what callers pass to a gallery: each checks its argument and returns one form of it.

Every reader either returns clean values or raises :class:`~sanreid.errors.InputError` naming the
first row that is wrong, so that a gallery is only ever changed by rows that are all good. The
same readers serve every method: what ``add`` takes, ``search`` and ``calibrate`` take too.
"""

from __future__ import annotations

from sanreid.datasets.cameras import (
    NO_CAMID,
    as_camids,
    camera_number,
    camids_or_none,
)
from sanreid.datasets.timestamps import as_timestamps
from sanreid.gallery.validation.columns import (
    Pid,
    as_ids,
    as_new_ids,
    as_pids,
    as_weights,
)
from sanreid.gallery.validation.embeddings import as_embeddings
from sanreid.gallery.validation.metadata import as_metadata
from sanreid.gallery.validation.scalars import as_fingerprint, as_wait, check_encoder
from sanreid.utils.arguments import as_count, as_number, as_seed, check_choice
from sanreid.utils.arrays import listed, plain, reads_as_number

__all__ = [
    "NO_CAMID",
    "Pid",
    "as_camids",
    "as_count",
    "as_embeddings",
    "as_fingerprint",
    "as_ids",
    "as_metadata",
    "as_new_ids",
    "as_number",
    "as_pids",
    "as_seed",
    "as_timestamps",
    "as_wait",
    "as_weights",
    "camera_number",
    "camids_or_none",
    "check_choice",
    "check_encoder",
    "listed",
    "plain",
    "reads_as_number",
]
