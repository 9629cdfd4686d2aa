"""Writing a whole gallery: a new directory, or a new generation of files in an existing one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError
from sanreid.gallery.storage.files.changes import snapshot_columns, table_columns
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.files.filenames import (
    fresh_prefix,
    is_gallery,
    log_name,
    make_folders,
    read_description,
    sweep_beside,
    sweep_folder,
    vectors_name,
    write_description,
)
from sanreid.gallery.storage.files.folder import Folder
from sanreid.gallery.storage.files.locks import WriterLock
from sanreid.gallery.storage.files.mapped_vectors import Blocks, block_sums, rows_per_block
from sanreid.gallery.storage.files.records import (
    PAGE,
    Description,
    Head,
    encode_first_page,
    encode_record,
)
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.store import Settings

__all__ = [
    "Merged",
    "TakenError",
    "create_directory",
    "merge_commits",
    "save_snapshot",
    "write_snapshot",
]

_COPY_ROWS = 8192


class TakenError(GalleryError):
    """Something is where a gallery was to be created; it may have come meanwhile."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What :func:`merge_commits` wrote."""

    description: Description
    head: Head


def create_directory(path: Path, dim: int, content: Snapshot | Settings, disk: Disk) -> None:
    """Create a whole gallery beside ``path`` and move it there in one step.

    Raises:
        TakenError: Something is there already.
        GalleryError: Its file system knows no locks, or the disk refuses. Nothing is left behind.
    """
    made: list[Path] = []
    fresh = path.parent / f"{fresh_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise TakenError(f"{path} exists and is not an empty folder or a gallery.")
        make_folders(path.parent, disk, made)
        sweep_beside(path)
        fresh.mkdir()
        folder = Folder(fresh)
        try:
            WriterLock(folder).release()  # fails now rather than when the gallery is there
            description = Description(secrets.token_hex(16), dim, 1)
            _write_generation(folder, description, content, disk)
            write_description(folder, description, disk)
        finally:
            folder.close()
        if path.exists() and os.name == "nt":
            path.rmdir()
        disk.move_folder(fresh, path)
        made.clear()
        disk.sync_parent(path)
    except OSError as error:
        kind = TakenError if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else GalleryError
        raise kind(f"The gallery {path} cannot be written: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        for parent in reversed(made):
            with contextlib.suppress(OSError):
                parent.rmdir()


def save_snapshot(path: Path, snapshot: Snapshot, disk: Disk, own: Folder | None) -> None:
    """Write a snapshot to a path; a gallery that is there is replaced in one step.

    Args:
        path: An absolute path.
        snapshot: What to write.
        disk: How files are touched.
        own: The directory that the snapshot comes from, which is refused.

    Raises:
        GalleryError: Something else is there, or the disk refuses; what was there stays.
    """
    dim = snapshot.table.vectors.dim
    if not is_gallery(path):
        create_directory(path, dim, snapshot, disk)
        return
    try:
        folder = Folder(path)
    except OSError as error:
        raise GalleryError(f"The gallery {path} cannot be written: {error}") from error
    try:
        if own is not None and own.is_same(folder):
            raise GalleryError(f"The gallery is kept at {path} itself: nothing to save.")
        writer = WriterLock(folder)
        try:
            write_snapshot(folder, snapshot, dim, disk)
        finally:
            writer.release()
    finally:
        folder.close()
    sweep_beside(path)


def write_snapshot(folder: Folder, content: Snapshot | Settings, dim: int, disk: Disk) -> None:
    """Replace all that a directory holds by ``content`` in one step; its lock is held.

    The new files stand beside the old until the description names them; then the old ones go.

    Raises:
        GalleryError: The disk refuses, or what is to be written is damaged; the message is all
            that is left of the attempt.
    """
    description = read_description(folder, disk)
    if description.dim != dim:
        description = Description(secrets.token_hex(16), dim, description.generation)
    following = Description(description.uuid, dim, description.generation + 1)
    try:
        _write_generation(folder, following, content, disk)
        write_description(folder, following, disk)
    except BaseException as error:
        _sweep_failed(folder, description.generation, disk)
        if not isinstance(error, OSError):
            raise
        raise GalleryError(f"The gallery {folder.path} cannot be written: {error}") from error
    sweep_folder(folder, following.generation, disk)
    with contextlib.suppress(OSError):
        disk.sync_folder(folder)


def merge_commits(folder: Folder, snapshot: Snapshot, blocks: Blocks, disk: Disk) -> Merged:
    """Write one commit in place of many small ones, which are slow to read; the lock is held.

    The embeddings stay where they are: their file gets a second name, and loses the first.

    Raises:
        OSError: The disk refuses, or knows no second names; what was there stays.
    """
    description = read_description(folder, disk)
    following = Description(description.uuid, description.dim, description.generation + 1)
    named = vectors_name(following.generation)
    fields, arrays = table_columns(snapshot, blocks)
    try:
        disk.remove(folder, named)
        disk.link(folder, vectors_name(description.generation), named)
        head = _write_log(folder, following, snapshot.num_rows, fields, arrays, disk)
        disk.sync_folder(folder)
        write_description(folder, following, disk)
    except BaseException:
        _sweep_failed(folder, description.generation, disk)
        raise
    return Merged(following, head)


def _sweep_failed(folder: Folder, generation: int, disk: Disk) -> None:
    """Delete what a failed step wrote, unless it may have become current after all."""
    with contextlib.suppress(GalleryError, OSError):
        if read_description(folder, disk).generation == generation:
            sweep_folder(folder, generation, disk)


def _write_generation(
    folder: Folder, description: Description, content: Snapshot | Settings, disk: Disk
) -> None:
    """Write one generation's files with all of ``content`` as their first commit."""
    sums: list[NDArray[np.uint32]] = []
    fd = disk.create(folder, vectors_name(description.generation))
    try:
        rows = np.empty(0, np.int64) if isinstance(content, Settings) else content.alive_rows()
        step = rows_per_block(description.dim) * max(
            1, _COPY_ROWS // rows_per_block(description.dim)
        )
        offset = 0
        for start in range(0, len(rows), step):
            assert isinstance(content, Snapshot)  # noqa: S101 - settings have no rows
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
    folder: Folder,
    description: Description,
    num_rows: int,
    fields: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    disk: Disk,
) -> Head:
    """Write and sync a log of one commit; return its head."""
    record, chain = encode_record(1, 0, num_rows, fields, arrays, 0)
    head = Head(1, PAGE + len(record), num_rows, chain)
    fd = disk.create(folder, log_name(description.generation))
    try:
        disk.write(fd, encode_first_page(description, (Head(0, PAGE, 0, 0), head)), 0)
        disk.write(fd, record, PAGE)
        disk.sync(fd)
    finally:
        disk.close(fd)
    return head
