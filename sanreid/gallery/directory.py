"""A gallery's directory: making one, reading one, and committing changes to it.

The order of writes and syncs here is what durability rests on; see
:mod:`sanreid.gallery.layout` for the bytes.
"""

from __future__ import annotations

import contextlib
import glob
import mmap
import os
import platform
import secrets
import shutil
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError
from sanreid.gallery.disk import Disk
from sanreid.gallery.layout import (
    PAGE,
    Description,
    Head,
    Record,
    decode_head,
    decode_identity,
    decode_records,
    encode_first_page,
    encode_head,
    encode_record,
    slot_offset,
)
from sanreid.gallery.lock import is_locked
from sanreid.gallery.segments import MappedVectors, block_sums, rows_per_block
from sanreid.gallery.snapshot import Snapshot
from sanreid.gallery.table import Change, Settings, Table, joined

__all__ = ["Directory", "create_directory", "is_gallery", "write_snapshot"]

DESCRIPTION = "gallery.json"
LOCK = "lock"
_TEMPORARY = "gallery.json.new"
_COPY_ROWS = 8192
_RETRIES = 20


def is_gallery(path: Path) -> bool:
    """Tell whether a directory says it is a gallery."""
    return (path / DESCRIPTION).is_file()


def log_path(folder: Path, generation: int) -> Path:
    """Give the place of a generation's log."""
    return folder / f"entries-{generation:06d}.log"


def vectors_path(folder: Path, generation: int) -> Path:
    """Give the place of a generation's embeddings."""
    return folder / f"vectors-{generation:06d}.f32"


def create_directory(path: Path, dim: int, content: Snapshot | Settings, disk: Disk) -> None:
    """Make a whole gallery beside ``path`` and put it there in one step.

    Raises:
        GalleryError: Something is there already, or the disk refuses.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise GalleryError(f"{path} exists and is not an empty folder or a gallery.")
    fresh = path.parent / f"{_fresh_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        _make_folders(path.parent, disk)
        _sweep_beside(path)
        fresh.mkdir()
        description = Description(secrets.token_hex(16), dim, 1)
        write_generation(fresh, description, content, disk)
        _write_description(fresh, description, disk)
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
        _write_description(folder, following, disk)
    except OSError as error:
        with contextlib.suppress(GalleryError):
            if read_description(folder).generation == description.generation:
                _sweep(folder, description.generation, disk)
        raise GalleryError(f"The gallery {folder} cannot be written: {error}") from error
    _sweep(folder, following.generation, disk)
    with contextlib.suppress(OSError):
        disk.sync_folder(folder)


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
    fields, arrays = _columns(content, rows)
    arrays["sums"] = np.concatenate(sums) if sums else np.empty(0, np.uint32)
    record, chain = encode_record(1, 0, len(rows), fields, arrays, 0)
    heads = Head(0, PAGE, 0, 0), Head(1, PAGE + len(record), len(rows), chain)
    fd = disk.create(log_path(folder, description.generation))
    try:
        disk.write(fd, encode_first_page(description, heads), 0)
        disk.write(fd, record, PAGE)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.sync_folder(folder)


def read_description(folder: Path) -> Description:
    """Read ``gallery.json``.

    Raises:
        GalleryError: It is not there, foreign, damaged or of a newer format.
    """
    path = folder / DESCRIPTION
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise GalleryError(
            f"{folder} is not a sanreid gallery: {DESCRIPTION} cannot be read ({error})."
        ) from error
    return Description.from_bytes(raw, path)


class Directory:
    """An open generation of a stored gallery, read into a table; a writer appends to it.

    Raises:
        GalleryError: It is not a gallery, damaged, or of a newer format.
    """

    def __init__(self, folder: Path, disk: Disk, *, write: bool) -> None:
        self.folder = folder
        self.disk = disk
        self.write = write
        self.broken = False
        self._head = self._older = Head(0, PAGE, 0, 0)
        for attempt in range(_RETRIES):
            self.description = read_description(folder)
            try:
                self._open()
                break
            except FileNotFoundError as error:
                # A compaction may have put new files in the place of those just named.
                if attempt == _RETRIES - 1 or self.description == read_description(folder):
                    raise GalleryError(f"The gallery {folder} lacks a file: {error}") from error
        if write:
            self.sweep()
            _sweep_beside(folder)

    @property
    def head(self) -> Head:
        """The last commit read or written."""
        return self._head

    def sweep(self) -> list[Path]:
        """Delete files of other generations; give those that are held by a reader's mapping."""
        return _sweep(self.folder, self.description.generation, self.disk)

    def close(self) -> None:
        """Close the files; what is mapped stays readable."""
        self._finalizer()

    def is_outdated(self) -> bool:
        """Tell whether another generation, or none that can be read, is current."""
        try:
            return read_description(self.folder) != self.description
        except GalleryError:
            return True

    def refresh(self) -> bool:
        """Read the commits made since; False if the files have been replaced by new ones."""
        if read_description(self.folder) != self.description:
            return False
        head = self._read_head()
        if head.length < self._head.length:
            raise GalleryError(f"{self._log_path} became shorter: it is damaged.")
        self._read_records(head)
        return True

    def append(self, change: Change) -> None:
        """Make a change durable and take it into the table; on an error nothing has changed.

        Raises:
            GalleryError: The disk refuses. If it is unknown what it kept, the gallery must be
                opened again before the next change.
        """
        if self.broken:
            raise GalleryError(
                f"An earlier write to {self.folder} failed half-way. Open the gallery again."
            )
        table, head, disk = self.table, self._head, self.disk
        fields, arrays = _change_columns(change)
        arrays["sums"] = block_sums(change.embeddings)
        record, chain = encode_record(
            head.seq + 1, head.num_rows, len(change.ids), fields, arrays, head.chain
        )
        following = Head(
            head.seq + 1, head.length + len(record), head.num_rows + len(change.ids), chain
        )
        row_bytes = 4 * self.description.dim
        slot = slot_offset(following.seq)
        previous: bytes | None = None
        try:
            if len(change.ids):
                rows = np.ascontiguousarray(change.embeddings, dtype="<f4")
                disk.write(self._vectors_fd, rows.data, head.num_rows * row_bytes)
                disk.sync(self._vectors_fd)
            disk.write(self._log_fd, record, head.length)
            disk.sync(self._log_fd)
            previous = encode_head(self._older)
            disk.write(self._log_fd, encode_head(following), slot)
            disk.sync(self._log_fd)
        except BaseException as error:
            self._take_back(previous, slot, row_bytes)
            if isinstance(error, OSError):
                outcome = (
                    "Whether the change is kept is seen when the gallery is opened again."
                    if self.broken
                    else "Nothing was changed."
                )
                raise GalleryError(
                    f"The gallery {self.folder} cannot be written: {error}. {outcome}"
                ) from error
            raise
        self.broken = True  # until memory has caught up: Ctrl-C may strike here too
        self._older, self._head = head, following
        if len(change.ids):
            table.vectors.append(change.embeddings)
        table.apply(change)
        self.broken = False

    def rows_sum(self, count: int) -> int | None:
        """Give one checksum over the embeddings of the first ``count`` rows."""
        return self._vectors.rows_sum(count)

    def problems(self) -> list[str]:
        """Read everything again; give a line for each byte run that is not what was written."""
        found = self._vectors.check_all()
        older, head = self._older, self._head
        if self._page() != encode_first_page(self.description, (older, head)):
            found.append(f"{self._log_path} is damaged in its first page.")
        log = self._map(os.fstat(self._log_fd).st_size)
        last = Head(0, PAGE, 0, 0)
        for record in decode_records(log[: head.length], PAGE, 1, 0):
            last = Head(record.seq, record.end, last.num_rows + record.num_rows, record.chain)
        if last != head:
            found.append(f"{self._log_path} is damaged behind commit {last.seq} of {head.seq}.")
        if self.write or not is_locked(self.folder / LOCK):  # else a write may be under way
            size = os.fstat(self._vectors_fd).st_size - head.num_rows * 4 * self.description.dim
            for path, extra in (
                (self._log_path, len(log) - head.length),
                (self._vectors.path, size),
            ):
                if extra:
                    found.append(
                        f"{path} has {extra} bytes behind the last commit: an interrupted write, "
                        "dropped when the gallery is opened for writing, or foreign bytes."
                    )
            known = {LOCK, DESCRIPTION, self._log_path.name, self._vectors.path.name}
            indexes = f"index-{self.description.generation:06d}-*.faiss"
            found += [
                f"{path} does not belong to the gallery."
                for path in sorted(self.folder.iterdir())
                if path.name not in known and not path.match(indexes)
            ]
        return found

    def _take_back(self, previous: bytes | None, slot: int, row_bytes: int) -> None:
        """Undo an interrupted commit, the head slot first; else give up writing."""
        self.broken = True
        with contextlib.suppress(OSError):
            if previous is not None:
                self.disk.write(self._log_fd, previous, slot)
                self.disk.sync(self._log_fd)
            self.disk.truncate(self._log_fd, self._head.length)
            self.disk.sync(self._log_fd)
            self.disk.truncate(self._vectors_fd, self._head.num_rows * row_bytes)
            self.broken = False

    def _open(self) -> None:
        generation, disk = self.description.generation, self.disk
        self._log_path = log_path(self.folder, generation)
        self._log_fd = disk.open(self._log_path, write=self.write)
        fds = [self._log_fd]
        self._finalizer = weakref.finalize(self, _close_all, disk, fds)
        try:
            path = vectors_path(self.folder, generation)
            self._vectors_fd = disk.open(path, write=self.write)
            fds.append(self._vectors_fd)
            self._vectors = MappedVectors(self._vectors_fd, self.description.dim, path)
            self.table = Table(self._vectors)
            self._head = self._older = Head(0, PAGE, 0, 0)
            decode_identity(self._page(), self.description, self._log_path)
            self._read_records(self._read_head())
            if self.write:
                self._drop_tail()
        except BaseException:
            self._finalizer()
            raise

    def _page(self) -> bytes:
        os.lseek(self._log_fd, 0, os.SEEK_SET)
        return os.read(self._log_fd, PAGE)

    def _read_head(self) -> Head:
        """Read the newest head; a slot may be half-written just now, so look again."""
        for attempt in range(5):
            found = decode_head(self._page())
            if found is not None and found[1]:
                return found[0]
            if attempt < 4:
                time.sleep(0.002)
        if found is None:
            raise GalleryError(f"{self._log_path} is damaged: both of its heads are unreadable.")
        return self._roll_forward(found[0])

    def _roll_forward(self, head: Head) -> Head:
        """One slot is lost: a commit behind the other's may be whole, so look for it."""
        size = os.fstat(self._log_fd).st_size
        if size < head.length:
            raise GalleryError(f"{self._log_path} is cut short: {size} of {head.length} bytes.")
        log = self._map(size)
        for record in decode_records(log, head.length, head.seq + 1, head.chain):
            head = Head(record.seq, record.end, record.first_row + record.num_rows, record.chain)
        return head

    def _read_records(self, head: Head) -> None:
        """Take the commits between the last known head and this one into the table."""
        size = os.fstat(self._log_fd).st_size
        if size < head.length:
            raise GalleryError(f"{self._log_path} is cut short: {size} of {head.length} bytes.")
        known = self._head
        if head.seq == known.seq:
            return
        log = self._map(head.length)
        for record in decode_records(log, known.length, known.seq + 1, known.chain):
            _replay(record, self.table, self._vectors, self._log_path)
            self._older = self._head
            self._head = Head(
                record.seq, record.end, record.first_row + record.num_rows, record.chain
            )
        if self._head != head:
            raise GalleryError(
                f"{self._log_path} is damaged behind commit {self._head.seq} of {head.seq}. "
                "Restore the gallery from a copy."
            )

    def _map(self, size: int) -> memoryview:
        return memoryview(mmap.mmap(self._log_fd, size, access=mmap.ACCESS_READ))

    def _drop_tail(self) -> None:
        """Cut what an interrupted write left, and make both heads good again."""
        if os.fstat(self._log_fd).st_size > self._head.length:
            self.disk.truncate(self._log_fd, self._head.length)
        vectors = self._head.num_rows * 4 * self.description.dim
        if os.fstat(self._vectors_fd).st_size > vectors:
            self.disk.truncate(self._vectors_fd, vectors)
        page = self._page()
        for head in (self._older, self._head):
            raw, offset = encode_head(head), slot_offset(head.seq)
            if page[offset : offset + len(raw)] != raw:
                self.disk.write(self._log_fd, raw, offset)
                self.disk.sync(self._log_fd)


def _columns(
    content: Snapshot | Settings, rows: NDArray[np.int64]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Give a record's content for a whole snapshot's entries, in rising id."""
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
        return _change_columns(change)
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


def _change_columns(change: Change) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
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


def _replay(record: Record, table: Table, vectors: MappedVectors, path: Path) -> None:
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
        if len(ended) and not 0 <= ended.min() <= ended.max() < len(table):
            raise ValueError("it ends rows that are not there")  # noqa: TRY301 - caught just below
        borders, blob = arrays["borders"], arrays["metadata"]
        if len(borders) != count + 1 or (np.diff(borders) < 0).any() or borders[-1] != len(blob):
            raise ValueError("its metadata has wrong borders")  # noqa: TRY301 - caught just below
        codes = arrays["pid_codes"]
        places = table.coded(fields["pids"])
        if count and not 0 <= codes.min() <= codes.max() < len(places):
            raise ValueError("it has a person without a name")  # noqa: TRY301 - caught just below
        vectors.extend(count, arrays["sums"])
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


def _write_description(folder: Path, description: Description, disk: Disk) -> None:
    temporary = folder / _TEMPORARY
    fd = disk.create(temporary)
    try:
        disk.write(fd, description.to_bytes(), 0)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.replace(temporary, folder / DESCRIPTION)
    disk.sync_folder(folder)


def _sweep(folder: Path, generation: int, disk: Disk) -> list[Path]:
    """Delete what an interrupted or finished change of generation left; give what would not go."""
    left = []
    keep = {log_path(folder, generation).name, vectors_path(folder, generation).name}
    for pattern in ("entries-*.log", "vectors-*.f32", "index-*.faiss*", _TEMPORARY):
        for path in folder.glob(pattern):
            fresh = path.name.endswith(".new")
            stale = pattern.startswith("index-") and f"-{generation:06d}-" not in path.name
            stale |= fresh
            if path.name not in keep and (stale or not pattern.startswith("index-")):
                try:
                    disk.remove(path)
                except OSError:  # Windows keeps files that are mapped somewhere
                    left.append(path)
    return left


def _fresh_prefix(path: Path) -> str:
    """Galleries in the making carry their maker's machine and process in their name."""
    return f".{path.name}.new-{platform.node()}-"


def _sweep_beside(path: Path) -> None:
    """Delete galleries that processes of this machine, now gone, were making at this place."""
    prefix = _fresh_prefix(path)
    for fresh in path.parent.glob(glob.escape(prefix) + "*"):
        maker = fresh.name.removeprefix(prefix).partition("-")[0]
        if maker.isdigit() and not _is_running(int(maker)):
            shutil.rmtree(fresh, ignore_errors=True)


def _is_running(pid: int) -> bool:
    if os.name == "nt":
        return True  # asking would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _make_folders(path: Path, disk: Disk) -> None:
    """Make missing folders, each synced into the one above."""
    if not path.is_dir():
        _make_folders(path.parent, disk)
        path.mkdir(exist_ok=True)
        disk.sync_folder(path.parent)


def _close_all(disk: Disk, fds: list[int]) -> None:
    for fd in fds:
        disk.close(fd)
