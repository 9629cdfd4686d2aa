"""Entries from and to Parquet, some thousand rows at a time.

Files that :meth:`sanreid.SANEncoder.encode_to` wrote, or :meth:`sanreid.Gallery.export`, or any
with a column ``embedding`` of lists. Read where they are there: ``id`` int64; ``pid`` string,
where digits are a number unless ``pid_is_text`` says otherwise; ``camid`` int64 and ``camera``
string for cameras that have a name; ``timestamp``
float64 seconds; ``path`` string; ``metadata`` string of JSON; ``fingerprint`` string.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sanreid.datasets.people import NUMBER
from sanreid.errors import GalleryError, InputError
from sanreid.gallery.filters import parse
from sanreid.gallery.store import Store
from sanreid.gallery.validation import as_embeddings, camids_or_none, check_encoder
from sanreid.utils.arrays import shown
from sanreid.utils.files import atomic_write
from sanreid.utils.paths import is_folder
from sanreid.utils.shards import load_pyarrow, read_shards, shard_files

__all__ = ["is_parquet", "new_rows", "write_parquet"]

logger = logging.getLogger(__name__)

_BATCH = 8192
_SAME = 1e-4  # numbers of two unit rows differ by less when they are of one embedding


def is_parquet(path: str | Path) -> bool:
    """Return whether a name stands for Parquet: ``x.parquet``, a pattern of such, a directory."""
    return str(path).endswith(".parquet") or is_folder(Path(path).expanduser())


def new_rows(source: str | Path, store: Store, *, keep_ids: bool) -> Iterator[dict[str, Any]]:
    """Yield the arguments of ``add`` for the rows that a store does not hold, some thousand each.

    Where the files have ids, a row is known by its id if that is kept, and not at all otherwise;
    else by its path. Rows of an id whose entry has another embedding are left out too, with a
    warning: they may be of another gallery.

    Raises:
        GalleryError: No such file, not Parquet, a column is of another kind, or another encoder.
    """
    of_known_paths = 0
    for columns in _read(source):
        check_encoder(store.settings.encoder_fingerprint, columns["encoder_fingerprint"])
        if "ids" not in columns:
            kept = _without_known_paths(columns, store)
            of_known_paths += len(columns["embeddings"]) - len(kept)
        elif keep_ids:
            kept = _without_known_ids(columns, store)
        else:
            del columns["ids"]
            kept = list(range(len(columns["embeddings"])))
        if kept:
            yield {
                key: [values[row] for row in kept] if isinstance(values, list) else values
                for key, values in columns.items()
            }
    if of_known_paths:
        logger.warning(
            "%d rows of %s are left out: without ids, rows are known by their path, and the "
            "gallery has entries of these paths, or a row before them has the same.",
            of_known_paths,
            source,
        )


def _read(source: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the arguments of ``add``, one dictionary per some thousand rows.

    Rows without an embedding, which are files that could not be read, are left out.

    Raises:
        GalleryError: No such file, not Parquet, or a column is of another kind.
    """
    try:
        yield from _batches(source)
    except InputError as error:  # of the file, not of an argument
        raise GalleryError(str(error)) from error


def _batches(source: str | Path) -> Iterator[dict[str, Any]]:
    for columns in read_shards(shard_files(source), batch_rows=_BATCH):
        kept = [row for row, one in enumerate(columns["embedding"]) if one is not None]
        if not kept:
            continue
        taken = {name: [values[row] for row in kept] for name, values in columns.items()}
        fingerprints = {one for one in taken.get("fingerprint", []) if not _is_empty(one, source)}
        if len(fingerprints) > 1:
            raise InputError(f"{source} holds embeddings of {len(fingerprints)} encoders.")
        yield {
            "embeddings": taken["embedding"],
            "pids": _pids(taken, source),
            "metadata": _metadata(taken, source),
            "encoder_fingerprint": next(iter(fingerprints), None),
            **{f"{name}s": taken[name] for name in ("id", "timestamp") if name in taken},
            **_camids(taken),
        }


def _without_known_ids(columns: dict[str, Any], store: Store) -> list[int]:
    numbers = columns["ids"]
    held = [row for row, one in enumerate(numbers) if isinstance(one, int) and one in store]
    _warn_of_others(columns, held, store)
    return sorted(set(range(len(numbers))).difference(held))


def _without_known_paths(columns: dict[str, Any], store: Store) -> list[int]:
    names = [metadata.get("path") for metadata in columns["metadata"]]
    paths = [name for name in names if name is not None]
    found = store.entries(store.select(parse({"path": {"$in": paths}})))
    seen: set[Any] = {entry.metadata["path"] for entry in found}
    kept = []
    for row, name in enumerate(names):
        if name is None or name not in seen:
            kept.append(row)
            seen.add(name)
    return kept


def _warn_of_others(columns: dict[str, Any], held: list[int], store: Store) -> None:
    """Log how many of the rows whose ids are in the gallery have another embedding there."""
    if not held:
        return
    given = as_embeddings(
        [columns["embeddings"][row] for row in held], store.dim, name="embeddings"
    )
    entries = store.entries(np.array([columns["ids"][row] for row in held], dtype=np.int64))
    stored = np.stack([entry.embedding for entry in entries])
    others = np.flatnonzero(np.abs(given - stored).max(axis=1) > _SAME)
    if len(others):
        logger.warning(
            "%d rows are left out: the gallery has entries of their ids, the first %d, with "
            "other embeddings. If they are other crops, import with keep_ids=False.",
            len(others),
            entries[others[0]].id,
        )


def write_parquet(path: Path, store: Store) -> None:
    """Write all entries to one file, in one step.

    Raises:
        GalleryError: The disk refuses.
    """
    pyarrow = load_pyarrow("pyarrow")
    parquet = load_pyarrow("pyarrow.parquet")
    kinds = {
        "id": pyarrow.int64(),
        "embedding": pyarrow.list_(pyarrow.float32()),
        "pid": pyarrow.string(),
        "pid_is_text": pyarrow.bool_(),
        "camid": pyarrow.int64(),
        "camera": pyarrow.string(),
        "timestamp": pyarrow.float64(),
        "metadata": pyarrow.string(),
        "fingerprint": pyarrow.string(),
    }
    schema = pyarrow.schema(kinds)
    try:
        with (
            atomic_write(path, durable=True) as file,
            parquet.ParquetWriter(file, schema) as writer,
        ):
            for batch in store.scan(_BATCH):
                camids, names = camids_or_none(batch.camids), store.settings.camera_names
                rows = {
                    "id": batch.ids,
                    "embedding": list(batch.embeddings),
                    "pid": [None if pid is None else str(pid) for pid in batch.pids],
                    "pid_is_text": [isinstance(pid, str) for pid in batch.pids],
                    "camid": camids,
                    "camera": [names.get(one) if isinstance(one, int) else None for one in camids],
                    "timestamp": batch.timestamps,
                    "metadata": [(one or b"{}").decode() for one in batch.metadata],
                    "fingerprint": [store.settings.encoder_fingerprint] * len(batch.embeddings),
                }
                writer.write_table(
                    pyarrow.table(
                        {
                            name: pyarrow.array(rows[name], type=kind, from_pandas=True)
                            for name, kind in kinds.items()
                        }
                    )
                )
    except (OSError, ValueError) as error:  # a text that is no UTF-8, beside what the disk says
        raise GalleryError(f"{path} cannot be written: {error}") from error


def _is_empty(fingerprint: Any, source: str | Path) -> bool:  # noqa: ANN401 - any value
    if fingerprint is not None and not isinstance(fingerprint, str):
        raise InputError(f"{source}: a fingerprint is {shown(fingerprint)}, not text.")
    return not fingerprint


def _pids(columns: dict[str, list[Any]], source: str | Path) -> list[int | str | None] | None:
    if "pid" not in columns:
        return None
    if "pid_is_text" not in columns:
        return [
            int(pid) if isinstance(pid, str) and NUMBER.fullmatch(pid) else pid
            for pid in columns["pid"]
        ]
    try:
        return [
            int(pid) if isinstance(pid, str) and not is_text else pid
            for pid, is_text in zip(columns["pid"], columns["pid_is_text"], strict=True)
        ]
    except ValueError as error:
        raise InputError(f"{source}: a pid that is no text is no number: {error}") from error


def _camids(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if "camid" not in columns:
        return {}
    names = columns.get("camera", [None] * len(columns["camid"]))
    pairs = zip(columns["camid"], names, strict=True)
    return {"camids": [camid if name is None else name for camid, name in pairs]}


def _metadata(columns: dict[str, list[Any]], source: str | Path) -> list[dict[str, Any]]:
    count = len(columns["embedding"])
    try:
        found = [json.loads(text or "{}") for text in columns.get("metadata", ["{}"] * count)]
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: its metadata are not JSON: {error}") from error
    for one, path in zip(found, columns.get("path", [None] * count), strict=True):
        if not isinstance(one, dict):
            raise InputError(f"{source}: metadata are JSON objects; got {shown(one)}.")
        if path is not None:
            one.setdefault("path", path)
    return found
