"""What a gallery can say of itself: entries by person and camera, and how they are searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sanreid.errors import InputError
from sanreid.gallery.storage.local import LocalStore
from sanreid.gallery.validation import NO_CAMID, Pid, camids_or_none

__all__ = ["count_by", "statistics"]


def statistics(store: LocalStore) -> dict[str, Any]:
    """Count a store's entries, people and cameras; describe how they are kept and searched."""
    snapshot = store.snapshot()
    rows, count = snapshot.alive_rows(), snapshot.num_rows
    codes = np.unique(snapshot.table.pid_codes.first(count)[rows])
    camids = np.unique(snapshot.table.camids.first(count)[rows])
    return {
        "entries": snapshot.num_entries,
        "removed_rows": snapshot.num_dead,
        "dim": store.dim,
        "pids": int((codes > 0).sum()),
        "camids": int((camids != NO_CAMID).sum()),
        **store.keeper.facts(snapshot),
        "encoder_fingerprint": snapshot.settings.encoder_fingerprint,
        "path": None if store.folder is None else str(store.folder),
        "vector_bytes": snapshot.num_rows * store.dim * 4,
    }


def count_by(store: LocalStore, field: str) -> dict[Pid, int]:
    """Count a store's entries by pid or by camid, most first.

    Raises:
        InputError: Another field.
    """
    snapshot = store.snapshot()
    rows, table = snapshot.alive_rows(), snapshot.table
    if field == "pid":
        codes = table.pid_codes.first(snapshot.num_rows)[rows]
        values: Sequence[Pid] = table.pid_values
    elif field == "camid":
        camids, codes = np.unique(table.camids.first(snapshot.num_rows)[rows], return_inverse=True)
        values = camids_or_none(camids)
    else:
        raise InputError(f'field must be "pid" or "camid"; got {field!r}.')
    numbers = np.bincount(codes, minlength=1)
    order = np.argsort(-numbers, kind="stable")
    return {values[code]: int(numbers[code]) for code in order if numbers[code]}
