"""What a store can say of itself: entries by person and camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.validation import NO_CAMID, Pid, camids_or_none

__all__ = ["count_by", "statistics"]


def statistics(snapshot: Snapshot) -> dict[str, Any]:
    """Count entries, people and cameras."""
    rows, table, count = snapshot.alive_rows(), snapshot.table, snapshot.num_rows
    codes = np.unique(table.pid_codes.first(count)[rows])
    camids = np.unique(table.camids.first(count)[rows])
    return {
        "entries": snapshot.num_entries,
        "removed_rows": snapshot.num_deleted,
        "dim": table.vectors.dim,
        "pids": int((codes > 0).sum()),
        "camids": int((camids != NO_CAMID).sum()),
        "encoder_fingerprint": snapshot.settings.encoder_fingerprint,
        "vector_bytes": count * table.vectors.dim * 4,
    }


def count_by(snapshot: Snapshot, field: Literal["pid", "camid"]) -> dict[Pid, int]:
    """Count entries by pid or by camid, most first."""
    rows, table, count = snapshot.alive_rows(), snapshot.table, snapshot.num_rows
    values: Sequence[Pid]
    if field == "pid":
        codes, values = table.pid_codes.first(count)[rows], table.pid_values
    else:
        camids, codes = np.unique(table.camids.first(count)[rows], return_inverse=True)
        values = camids_or_none(camids)
    numbers = np.bincount(codes, minlength=1)
    order = np.argsort(-numbers, kind="stable")
    return {values[code]: int(numbers[code]) for code in order if numbers[code]}
