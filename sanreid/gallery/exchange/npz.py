"""Galleries as one ``.npz`` file, to hand on or to read elsewhere. No pickle is written or read.

The arrays are those of :meth:`sanreid.Gallery.export`. Reading needs only ``embeddings``; plain
int or str ``pids``, ``metadata`` (N,) as ``pids``, and the arrays ``paths`` and ``fingerprint``
of ``sanreid embed`` are understood too.
"""

from __future__ import annotations

import itertools
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError
from sanreid.gallery.store import Store
from sanreid.gallery.validation import NO_CAMID, camera_number
from sanreid.utils.files import atomic_write
from sanreid.utils.sniffing import describe_text

__all__ = ["read_npz", "write_npz"]

# RuntimeError: encrypted, packed in an unknown way, JSON nested without end
_UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_BATCH = 1 << 20


def write_npz(path: Path, store: Store) -> None:
    """Write a store's entries, in one step.

    Raises:
        GalleryError: The disk refuses.
    """
    batches = list(store.scan(_BATCH))
    camids = _joined([batch.camids for batch in batches], np.int64)
    pids = [json.dumps(pid).encode() for batch in batches for pid in batch.pids]
    metadata = [text or b"{}" for batch in batches for text in batch.metadata]
    embeddings = _joined([batch.embeddings for batch in batches], np.float32)
    try:
        with atomic_write(path, durable=True) as file:
            np.savez(
                file,
                embeddings=embeddings if batches else np.empty((0, store.dim), np.float32),
                ids=_joined([batch.ids for batch in batches if batch.ids is not None], np.int64),
                camids=np.where(camids == NO_CAMID, 0, camids),
                camids_given=camids != NO_CAMID,
                timestamps=_joined([batch.timestamps for batch in batches], np.float64),
                pids=np.array(pids, dtype=np.bytes_),
                metadata=np.frombuffer(b"".join(metadata), dtype=np.uint8),
                metadata_ends=np.cumsum([len(text) for text in metadata], dtype=np.int64),
                camera_names=np.array(
                    [json.dumps(name) for name in store.settings.camera_names.values()], dtype="S"
                ),
                encoder_fingerprint=np.array(store.settings.encoder_fingerprint or ""),
            )
    except OSError as error:
        raise GalleryError(f"{path} cannot be written: {error}") from error


def _joined(columns: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    """Concatenate the columns of batches; a single one is not copied."""
    if len(columns) == 1:
        return columns[0]
    return np.concatenate(columns) if columns else np.empty(0, dtype)


def read_npz(path: Path) -> dict[str, Any]:
    """Read a file of entries: the arguments of ``add``.

    Raises:
        GalleryError: Not there, damaged, or without embeddings.
    """
    try:
        _check_archive(path)
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        embeddings = arrays["embeddings"]
        columns: dict[str, Any] = {"embeddings": embeddings}
        if "ids" in arrays:
            columns["ids"] = arrays["ids"]
        if "pids" in arrays:
            columns["pids"] = _texts(arrays["pids"])
        if "camids" in arrays:
            given = arrays.get("camids_given", np.ones(len(embeddings), dtype=bool))
            names = _texts(arrays.get("camera_names", np.empty(0, dtype="S")))
            by_number = {camera_number(name): name for name in names}
            columns["camids"] = [
                by_number.get(camid, camid) if known else None
                for camid, known in zip(arrays["camids"].tolist(), given.tolist(), strict=True)
            ]
        if "timestamps" in arrays:
            seconds = arrays["timestamps"].tolist()
            columns["timestamps"] = [None if second != second else second for second in seconds]  # noqa: PLR0124 - NaN
        if "metadata_ends" in arrays:
            columns["metadata"] = _concatenated(arrays["metadata"], arrays["metadata_ends"])
        elif "metadata" in arrays:
            columns["metadata"] = _texts(arrays["metadata"])
        elif "paths" in arrays:
            columns["metadata"] = [{"path": path} for path in arrays["paths"].tolist()]
        fingerprint = np.asarray(arrays.get("encoder_fingerprint", arrays.get("fingerprint", "")))
        if fingerprint.ndim or fingerprint.dtype.kind != "U":
            raise ValueError("its fingerprint is not one text")
        columns["encoder_fingerprint"] = str(fingerprint) or None
    except _UNREADABLE as error:
        raise GalleryError(f"{path} is not a file of exported entries: {error}") from error
    return columns


def _check_archive(path: Path) -> None:
    """Refuse what is no ``.npz`` file; NumPy would advise to unpickle it.

    Raises:
        ValueError: The end of a sentence about the file.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            described = describe_text(path)
            raise ValueError(
                f"it {described or 'is not a zip archive of arrays, or is cut short'}"
            )


def _concatenated(blob: NDArray[Any], ends: NDArray[Any]) -> list[Any]:
    """JSON texts that are not a column, which would make each as wide as the longest."""
    borders = [0, *ends.tolist()]
    if borders != sorted(borders) or borders[-1] != len(blob):
        raise ValueError(f"its texts end at {borders[-1]} of {len(blob)} bytes")
    whole = blob.tobytes()
    return [json.loads(whole[low:high]) for low, high in itertools.pairwise(borders)]


def _texts(column: NDArray[Any]) -> list[Any]:
    """JSON in bytes as it was written; other columns as they are."""
    values: list[Any] = column.tolist()
    return [json.loads(value) for value in values] if column.dtype.kind == "S" else values
