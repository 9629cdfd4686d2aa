"""What a commit's record holds: from a change or a whole snapshot, and back into a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.errors import GalleryError
from sanreid.gallery.calibration import Calibration
from sanreid.gallery.storage.columns import pack_metadata
from sanreid.gallery.storage.files.mapped_vectors import Blocks, MappedVectors
from sanreid.gallery.storage.files.records import Record
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Change, Table
from sanreid.gallery.store import Settings
from sanreid.gallery.validation import camera_number
from sanreid.utils.arguments import is_finite

__all__ = ["change_columns", "replay", "snapshot_columns", "table_columns"]


def snapshot_columns(
    content: Snapshot | Settings, rows: NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a record's content for some rows of a snapshot, or for none."""
    if isinstance(content, Settings):
        return change_columns(Change.without_rows(1, 0, content))
    table, count = content.table, content.num_rows
    borders, blob = pack_metadata([table.metadata[row] for row in rows.tolist()])
    used, codes = np.unique(table.pid_codes.first(count)[rows], return_inverse=True)
    return _fields(
        content.next_id,
        content.settings,
        [table.pid_values[code] for code in used.tolist()],
        codes.astype(np.int32),
        table.ids.first(count)[rows],
        table.camids.first(count)[rows],
        table.timestamps.first(count)[rows],
        borders,
        blob,
        np.empty(0, np.int64),
    )


def table_columns(
    snapshot: Snapshot, blocks: Blocks
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a record's content for all rows, deleted ones too, in the order of their file."""
    fields, arrays = snapshot_columns(snapshot, np.arange(snapshot.num_rows))
    alive = snapshot.alive()
    if alive is not None:
        arrays["ended"] = np.flatnonzero(~alive).astype("<i8")
    arrays["sums"] = blocks.sums.astype("<u4")
    arrays["stops"] = blocks.stops.astype("<i8")
    return fields, arrays


def change_columns(
    change: Change, before: Settings | None = None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return a record's content for a change of a gallery with the settings ``before``.

    The camera normalizer is large, and only written by changes that replace it.
    """
    borders, blob = pack_metadata(change.metadata)
    known: dict[Any, int] = {}
    codes = np.array([known.setdefault(pid, len(known)) for pid in change.pids], dtype=np.int32)
    fields, arrays = _fields(
        change.next_id,
        change.settings,
        list(known),
        codes,
        change.ids,
        change.camids,
        change.timestamps,
        borders,
        blob,
        change.deleted_rows,
    )
    if before is not None and before.camera_normalizer is change.settings.camera_normalizer:
        del fields["camera_normalizer"]
    return fields, arrays


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
    deleted_rows: NDArray[np.int64],
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    normalizer = settings.camera_normalizer
    fields = {
        "next_id": next_id,
        "pids": pids,
        "encoder_fingerprint": settings.encoder_fingerprint,
        "calibration": settings.calibration,
        "camera_normalizer": None if normalizer is None else normalizer.to_dict(),
    }
    if settings.camera_names:
        fields["camera_names"] = sorted(settings.camera_names.values())
    arrays: dict[str, NDArray[Any]] = {
        "ids": ids.astype("<i8", copy=False),
        "pid_codes": codes.astype("<i4", copy=False),
        "camids": camids.astype("<i8", copy=False),
        "timestamps": timestamps.astype("<f8", copy=False),
        "borders": borders.astype("<i8", copy=False),
        "metadata": np.frombuffer(blob, dtype=np.uint8),
        "ended": deleted_rows.astype("<i8", copy=False),
    }
    return fields, arrays


def replay(record: Record, table: Table, vectors: MappedVectors, path: Path) -> None:
    """Apply one commit of the log to the table.

    Raises:
        GalleryError: It does not fit what came before.
    """
    try:
        arrays, fields, count = record.arrays, record.fields, record.num_rows
        lengths = {len(arrays[name]) for name in ("ids", "pid_codes", "camids", "timestamps")}
        deleted = arrays["ended"]
        if record.first_row != len(table) or lengths != {count}:
            raise ValueError("its rows do not follow the last")  # noqa: TRY301 - caught just below
        if len(deleted) and not 0 <= deleted.min() <= deleted.max() < len(table) + count:
            raise ValueError("it deletes rows that are not there")  # noqa: TRY301 - caught just below
        borders, blob = arrays["borders"], arrays["metadata"]
        if len(borders) != count + 1 or (np.diff(borders) < 0).any() or borders[-1] != len(blob):
            raise ValueError("its metadata has wrong borders")  # noqa: TRY301 - caught just below
        codes = arrays["pid_codes"]
        known = table.encode_pids(fields["pids"])
        if count and not 0 <= codes.min() <= codes.max() < len(known):
            raise ValueError("it has a person without a name")  # noqa: TRY301 - caught just below
        vectors.extend(count, arrays["sums"], stops=arrays.get("stops"))
        table.extend(
            arrays["ids"],
            known[codes] if count else codes,
            arrays["camids"],
            arrays["timestamps"],
            borders,
            blob.data,
        )
        normalizer = table.settings.camera_normalizer
        if "camera_normalizer" in fields:
            stored = fields["camera_normalizer"]
            normalizer = None if stored is None else CameraNormalizer.from_dict(stored)
            if normalizer is not None and normalizer.dim != table.vectors.dim:
                raise ValueError("its camera means have another dim")  # noqa: TRY301 - caught just below
        _check_calibration(fields["calibration"])
        settings = Settings(
            fields["encoder_fingerprint"],
            fields["calibration"],
            normalizer,
            _camera_names(fields.get("camera_names", [])),
        )
        table.finish(deleted, int(fields["next_id"]), settings)
    except (KeyError, ValueError, TypeError) as error:
        raise GalleryError(f"{path}: commit {record.seq} cannot be read: {error}.") from error


def _camera_names(names: Any) -> dict[int, str]:  # noqa: ANN401 - as stored
    """Return names by their numbers, or raise ValueError unless they are a list of texts."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its cameras have names that are no texts")
    return {camera_number(name): name for name in names}


def _check_calibration(fields: Any) -> None:  # noqa: ANN401 - as stored
    """Raise ValueError unless these are the fields of a calibration, or None."""
    if fields is None:
        return
    try:
        threshold = Calibration.from_dict(fields).threshold
    except (TypeError, AttributeError) as error:
        raise ValueError(f"its calibration is none: {error}") from error
    if not is_finite(threshold):
        raise ValueError(f"its calibration has the threshold {threshold!r}")
