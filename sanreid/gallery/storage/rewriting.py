"""Writing a whole gallery: a new directory, or a new generation of files in an old one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError
from sanreid.gallery.storage.changes import snapshot_columns, table_columns
from sanreid.gallery.storage.disk import Disk
from sanreid.gallery.storage.filenames import (
    fresh_prefix,
    log_path,
    make_folders,
    read_description,
    sweep_beside,
    sweep_folder,
    vectors_path,
    write_description,
)
from sanreid.gallery.storage.records import (
    PAGE,
    Description,
    Head,
    encode_first_page,
    encode_record,
)
from sanreid.gallery.storage.segments import MappedVectors, block_sums, rows_per_block
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Settings

__all__ = ["create_directory", "merge_commits", "write_snapshot"]

_COPY_ROWS = 8192


def create_directory(path: Path, dim: int, content: Snapshot | Settings, disk: Disk) -> None:
    """Make a whole gallery beside ``path`` and put it there in one step.

    Raises:
        GalleryError: Something is there already, or the disk refuses.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise GalleryError(f"{path} exists and is not an empty folder or a gallery.")
    fresh = path.parent / f"{fresh_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        make_folders(path.parent, disk)
        sweep_beside(path)
        fresh.mkdir()
        description = Description(secrets.token_hex(16), dim, 1)
        write_generation(fresh, description, content, disk)
        write_description(fresh, description, disk)
        if path.exists() and os.name == "nt":
            path.rmdir()
        disk.replace(fresh, path)
        disk.sync_folder(path.parent)
    except OSError as error:
        raise GalleryError(f"The gallery {path} cannot be written: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_snapshot(folder: Path, snapshot: Snapshot | Settings, dim: int, disk: Disk) -> None:
    """Put ``snapshot`` in the place of all a directory holds, in one step; its lock is held.

    The new files stand beside the old until the description names them; then the old ones go.
    """
    description = read_description(folder)
    if description.dim != dim:
        description = Description(secrets.token_hex(16), dim, description.generation)
    following = Description(description.uuid, dim, description.generation + 1)
    try:
        write_generation(folder, following, snapshot, disk)
        write_description(folder, following, disk)
    except OSError as error:
        with contextlib.suppress(GalleryError):
            if read_description(folder).generation == description.generation:
                sweep_folder(folder, description.generation, disk)
        raise GalleryError(f"The gallery {folder} cannot be written: {error}") from error
    sweep_folder(folder, following.generation, disk)
    with contextlib.suppress(OSError):
        disk.sync_folder(folder)


def merge_commits(folder: Path, snapshot: Snapshot, vectors: MappedVectors, disk: Disk) -> None:
    """Put one commit in the place of many small ones, which are slow to read.

    The embeddings stay where they are: their file gets a second name, and loses the first.

    Raises:
        OSError: The disk refuses, or knows no second names; what was there stays.
    """
    description = read_description(folder)
    following = Description(description.uuid, description.dim, description.generation + 1)
    named = vectors_path(folder, following.generation)
    disk.remove(named)
    disk.link(vectors_path(folder, description.generation), named)
    fields, arrays = table_columns(snapshot, vectors)
    _write_log(folder, following, snapshot.num_rows, fields, arrays, disk)
    disk.sync_folder(folder)
    write_description(folder, following, disk)
    sweep_folder(folder, following.generation, disk)


def write_generation(
    folder: Path, description: Description, content: Snapshot | Settings, disk: Disk
) -> None:
    """Write one generation's files with all of ``content`` as their first commit."""
    sums: list[NDArray[np.uint32]] = []
    fd = disk.create(vectors_path(folder, description.generation))
    try:
        rows = np.empty(0, np.int64) if isinstance(content, Settings) else content.alive_rows()
        step = rows_per_block(description.dim) * max(
            1, _COPY_ROWS // rows_per_block(description.dim)
        )
        offset = 0
        for start in range(0, len(rows), step):
            assert isinstance(content, Snapshot)  # noqa: S101 - settings alone have no rows
            block = content.table.vectors.take(rows[start : start + step])
            sums.append(block_sums(block))
            disk.write(fd, block.astype("<f4", copy=False).data, offset)
            offset += block.nbytes
        disk.sync(fd)
    finally:
        disk.close(fd)
    fields, arrays = snapshot_columns(content, rows)
    arrays["sums"] = np.concatenate(sums) if sums else np.empty(0, np.uint32)
    _write_log(folder, description, len(rows), fields, arrays, disk)
    disk.sync_folder(folder)


def _write_log(
    folder: Path,
    description: Description,
    num_rows: int,
    fields: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    disk: Disk,
) -> None:
    """Write and sync a log of one commit."""
    record, chain = encode_record(1, 0, num_rows, fields, arrays, 0)
    heads = Head(0, PAGE, 0, 0), Head(1, PAGE + len(record), num_rows, chain)
    fd = disk.create(log_path(folder, description.generation))
    try:
        disk.write(fd, encode_first_page(description, heads), 0)
        disk.write(fd, record, PAGE)
        disk.sync(fd)
    finally:
        disk.close(fd)
