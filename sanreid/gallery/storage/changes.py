"""What a commit's record holds, from a change or a whole snapshot, and back into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError
from sanreid.gallery.storage.records import Record
from sanreid.gallery.storage.segments import MappedVectors
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Change, Settings, Table, joined

__all__ = ["change_columns", "replay", "snapshot_columns", "table_columns"]


def snapshot_columns(
    content: Snapshot | Settings, rows: NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Give a record's content for some rows of a snapshot, or for none."""
    if isinstance(content, Settings):
        nothing = np.empty(0, np.int64)
        change = Change(
            embeddings=np.empty((0, 1), np.float32),
            ids=nothing,
            pids=[],
            camids=nothing,
            timestamps=np.empty(0),
            metadata=[],
            next_id=0,
            settings=content,
        )
        return change_columns(change)
    table, count = content.table, content.num_rows
    borders, blob = joined([table.metadata[row] for row in rows.tolist()])
    places, codes = np.unique(table.pid_codes.first(count)[rows], return_inverse=True)
    return _fields(
        content.next_id,
        content.settings,
        [table.pid_values[place] for place in places.tolist()],
        codes.astype(np.int32),
        table.ids.first(count)[rows],
        table.camids.first(count)[rows],
        table.timestamps.first(count)[rows],
        borders,
        blob,
        np.empty(0, np.int64),
    )


def table_columns(
    snapshot: Snapshot, vectors: MappedVectors
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Give a record's content for all rows, the removed ones too, as they lie in their file."""
    fields, arrays = snapshot_columns(snapshot, np.arange(snapshot.num_rows))
    alive = snapshot.alive()
    if alive is not None:
        arrays["ended"] = np.flatnonzero(~alive).astype("<i8")
    sums, stops = vectors.blocks()
    arrays["sums"], arrays["stops"] = sums.astype("<u4"), stops.astype("<i8")
    return fields, arrays


def change_columns(change: Change) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Give a record's content for a change."""
    borders, blob = joined(change.metadata)
    places: dict[Any, int] = {}
    codes = np.array([places.setdefault(pid, len(places)) for pid in change.pids], dtype=np.int32)
    return _fields(
        change.next_id,
        change.settings,
        list(places),
        codes,
        change.ids,
        change.camids,
        change.timestamps,
        borders,
        blob,
        change.ended,
    )


def _fields(
    next_id: int,
    settings: Settings,
    pids: list[Any],
    codes: NDArray[np.int32],
    ids: NDArray[np.int64],
    camids: NDArray[np.int64],
    timestamps: NDArray[np.float64],
    borders: NDArray[np.int64],
    blob: bytes,
    ended: NDArray[np.int64],
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    fields = {
        "next_id": next_id,
        "pids": pids,
        "encoder_fingerprint": settings.encoder_fingerprint,
        "calibration": settings.calibration,
    }
    arrays: dict[str, NDArray[Any]] = {
        "ids": ids.astype("<i8", copy=False),
        "pid_codes": codes.astype("<i4", copy=False),
        "camids": camids.astype("<i8", copy=False),
        "timestamps": timestamps.astype("<f8", copy=False),
        "borders": borders.astype("<i8", copy=False),
        "metadata": np.frombuffer(blob, dtype=np.uint8),
        "ended": ended.astype("<i8", copy=False),
    }
    return fields, arrays


def replay(record: Record, table: Table, vectors: MappedVectors, path: Path) -> None:
    """Take one commit of the log into the table.

    Raises:
        GalleryError: It does not fit what came before.
    """
    try:
        arrays, fields, count = record.arrays, record.fields, record.num_rows
        lengths = {len(arrays[name]) for name in ("ids", "pid_codes", "camids", "timestamps")}
        ended = arrays["ended"]
        if record.first_row != len(table) or lengths != {count}:
            raise ValueError("its rows do not follow the last")  # noqa: TRY301 - caught just below
        if len(ended) and not 0 <= ended.min() <= ended.max() < len(table) + count:
            raise ValueError("it ends rows that are not there")  # noqa: TRY301 - caught just below
        borders, blob = arrays["borders"], arrays["metadata"]
        if len(borders) != count + 1 or (np.diff(borders) < 0).any() or borders[-1] != len(blob):
            raise ValueError("its metadata has wrong borders")  # noqa: TRY301 - caught just below
        codes = arrays["pid_codes"]
        places = table.coded(fields["pids"])
        if count and not 0 <= codes.min() <= codes.max() < len(places):
            raise ValueError("it has a person without a name")  # noqa: TRY301 - caught just below
        vectors.extend(count, arrays["sums"], stops=arrays.get("stops"))
        table.extend(
            arrays["ids"],
            places[codes] if count else codes,
            arrays["camids"],
            arrays["timestamps"],
            borders,
            blob.data,
        )
        settings = Settings(fields["encoder_fingerprint"], fields["calibration"])
        table.close(ended, int(fields["next_id"]), settings)
    except (KeyError, ValueError, TypeError) as error:
        raise GalleryError(f"{path}: commit {record.seq} cannot be read: {error}.") from error
