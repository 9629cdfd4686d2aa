"""A gallery's open directory: reading its commits, and appending to them.

The order of writes and syncs here is what durability rests on; see
:mod:`sanreid.gallery.storage.records` for the bytes.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import time
import weakref
from pathlib import Path

import numpy as np

from sanreid.errors import GalleryError
from sanreid.gallery.storage.changes import change_columns, replay
from sanreid.gallery.storage.disk import Disk
from sanreid.gallery.storage.filenames import (
    DESCRIPTION,
    LOCK,
    log_path,
    read_description,
    sweep_beside,
    sweep_folder,
    vectors_path,
)
from sanreid.gallery.storage.locks import is_locked
from sanreid.gallery.storage.records import (
    PAGE,
    Head,
    decode_head,
    decode_identity,
    decode_records,
    encode_first_page,
    encode_head,
    encode_record,
    slot_offset,
)
from sanreid.gallery.storage.rewriting import merge_commits
from sanreid.gallery.storage.segments import MappedVectors, block_sums
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Change, Table

__all__ = ["Directory"]

logger = logging.getLogger(__name__)

MANY_COMMITS = 4096  # read at about 20,000 a second
_RETRIES = 20


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
            except OSError as error:
                raise GalleryError(f"The gallery {folder} cannot be opened: {error}") from error
        if write:
            self.sweep()
            sweep_beside(folder)

    @property
    def head(self) -> Head:
        """The last commit read or written."""
        return self._head

    def merge(self, snapshot: Snapshot) -> bool:
        """Make one commit of all, if they are many; True if the files were replaced.

        After that, done or failed half-way, the directory must be opened again.
        """
        if self._head.seq < MANY_COMMITS:
            return False
        try:
            merge_commits(self.folder, snapshot, self._vectors, self.disk)
        except OSError as error:
            logger.info("The commits of %s stay as they are: %s", self.folder, error)
            return self.is_outdated()
        return True

    def sweep(self) -> list[Path]:
        """Delete files of other generations; give those that are held by a reader's mapping."""
        return sweep_folder(self.folder, self.description.generation, self.disk)

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
        fields, arrays = change_columns(change)
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
            replay(record, self.table, self._vectors, self._log_path)
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


def _close_all(disk: Disk, fds: list[int]) -> None:
    for fd in fds:
        disk.close(fd)
