"""Where a commit is made durable: the log of an open gallery, read and appended to.

The order of writes and syncs here is what durability rests on; see
:mod:`sanreid.gallery.storage.files.records` for the bytes.
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
from sanreid.gallery.storage.files.changes import change_columns, replay
from sanreid.gallery.storage.files.disk import Disk, read_at
from sanreid.gallery.storage.files.filenames import (
    index_name,
    is_own_name,
    log_name,
    read_description,
    sweep_beside,
    sweep_folder,
    vectors_name,
)
from sanreid.gallery.storage.files.folder import Folder
from sanreid.gallery.storage.files.locks import may_be_written_to
from sanreid.gallery.storage.files.mapped_vectors import MappedVectors, block_sums
from sanreid.gallery.storage.files.records import (
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
from sanreid.gallery.storage.files.rewriting import merge_commits
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Change, Table

__all__ = ["CommitLog"]

logger = logging.getLogger(__name__)

_RETRIES = 20
_SMALL_READ = 64 << 20  # bytes
_START = Head(0, PAGE, 0, 0)


class CommitLog:
    """An open generation of a stored gallery, read into a table; a writer appends to it.

    Args:
        folder: The gallery's directory; the caller closes it.
        disk: How files are touched.
        write: Whether to append; the caller holds the lock then.

    Attributes:
        table: What the commits amount to.
        broken: Whether an earlier write failed half-way, so that no other may follow.

    Raises:
        GalleryError: It is not a gallery, damaged, or of a newer format.
    """

    def __init__(self, folder: Folder, disk: Disk, *, write: bool) -> None:
        self.folder = folder
        self.disk = disk
        self.write = write
        self.broken = False
        self._head = self._older = _START
        self._log_fd: int
        self._vectors_fd: int
        self._fds: list[int]
        self._vectors: MappedVectors
        self.table: Table
        for attempt in range(_RETRIES):
            self.description = read_description(folder, disk)
            try:
                self._open()
                break
            except FileNotFoundError as error:
                # A compaction may have replaced those just named by new files.
                if attempt == _RETRIES - 1 or self.description == read_description(folder, disk):
                    raise GalleryError(
                        f"The gallery {folder.path} lacks a file: {error}"
                    ) from error
            except OSError as error:
                raise GalleryError(
                    f"The gallery {folder.path} cannot be opened: {error}"
                ) from error
        if write:
            self.sweep()
            sweep_beside(folder.path)

    @property
    def num_commits(self) -> int:
        """Commits that a reader has to read."""
        return self._head.seq

    def sweep(self) -> list[Path]:
        """Delete files of other generations; return those that are held by a reader's mapping."""
        return sweep_folder(self.folder, self.description.generation, self.disk)

    def close(self) -> None:
        """Close the files; what is mapped stays readable."""
        self._vectors.release()
        self._finalizer()

    def retire(self) -> None:
        """Close the files that others have replaced; searches under way read on what is mapped."""
        try:
            self._vectors.map_all()
        except GalleryError as error:
            logger.warning("A search that is under way may fail: %s", error)
        self.close()

    def after_fork(self) -> None:
        """Forget, in a forked child, locks that threads of the parent may have held."""
        self._vectors.after_fork()
        self.table.after_fork()

    def is_outdated(self) -> bool:
        """Return whether another generation, or none that can be read, is current."""
        try:
            return read_description(self.folder, self.disk) != self.description
        except GalleryError:
            return True

    def refresh(self) -> bool:
        """Read the commits made since; False if the files have been replaced by new ones."""
        if read_description(self.folder, self.disk) != self.description:
            return False
        head = self._read_head()
        if head.length < self._head.length:
            raise GalleryError(f"{self._log_path} became shorter: it is damaged.")
        self._read_records(head)
        return True

    def append(self, change: Change) -> None:
        """Make a change durable and apply it to the table; on an error nothing has changed.

        Raises:
            GalleryError: The disk refuses. If it is unknown what it kept, the gallery must be
                opened again before the next change.
        """
        if self.broken:
            raise GalleryError(
                f"An earlier write to {self.folder.path} failed half-way. Open the gallery again."
            )
        self._check_not_deleted()
        table, head, disk = self.table, self._head, self.disk
        fields, arrays = change_columns(change, table.settings)
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
                    f"The gallery {self.folder.path} cannot be written: {error}. {outcome}"
                ) from error
            raise
        self.broken = True  # until memory has caught up: Ctrl-C may strike here too
        self._older, self._head = head, following
        if len(change.ids):
            table.vectors.append(change.embeddings)
        table.apply(change)
        self.broken = False

    def _check_not_deleted(self) -> None:
        """Refuse to write to files that no name leads to: nobody would find the change."""
        try:
            self.folder.stat(self._log_path.name)
        except FileNotFoundError as error:
            raise GalleryError(
                f"The gallery {self.folder.path} was deleted while it was open; nothing was "
                "changed. save() writes what is in memory elsewhere."
            ) from error

    def merge(self, snapshot: Snapshot) -> None:
        """Replace all commits by one that says the same; rows keep their numbers.

        Raises:
            OSError: The disk refuses, or knows no second names; nothing has changed.
            GalleryError: Embeddings are damaged, or the gallery must be opened again.
        """
        blocks = self._vectors.coalesced()
        self.broken = True  # until it is known which generation is current
        try:
            merged = merge_commits(self.folder, snapshot, blocks, self.disk)
        except OSError:
            self.broken = self.is_outdated()
            raise
        old, new = self.description.generation, merged.description.generation
        self._keep_indexes(old, new)
        log_fd = self.disk.open(self.folder, log_name(new), write=True)
        self._fds[0], previous = log_fd, self._log_fd
        self._log_fd = log_fd
        self.disk.close(previous)
        self.description = merged.description
        self._log_path = self.folder.path / log_name(new)
        self._older, self._head = _START, merged.head
        (record,) = decode_records(self._map(merged.head.length), PAGE, 1, 0)
        self._vectors.replace_blocks(blocks, self.folder.path / vectors_name(new))
        self.table.metadata.replace(record.arrays["borders"], record.arrays["metadata"].data)
        self.sweep()
        self.broken = False

    def problems(self, *, exclusively: bool) -> list[str]:
        """Read everything again; return a line for each thing that is not what was written.

        Args:
            exclusively: Nobody else writes: this process holds the lock. Otherwise a writer may
                be at work: what is checked is the state read last, and nothing is locked.
        """
        found = self._vectors.check_all()
        found += self._page_problems(exclusively=exclusively)
        head, last = self._head, _START
        if os.fstat(self._log_fd).st_size < head.length:
            found.append(f"{self._log_path} is cut short.")
        else:
            for record in decode_records(self._map(head.length), PAGE, 1, 0):
                last = Head(record.seq, record.end, last.num_rows + record.num_rows, record.chain)
            if last != head:
                found.append(
                    f"{self._log_path} is damaged behind commit {last.seq} of {head.seq}."
                )
        found += self._tail_problems(exclusively=exclusively)
        try:
            read_description(self.folder, self.disk)
            foreign = [name for name in self.folder.names() if not is_own_name(name)]
        except (GalleryError, OSError) as error:
            return [*found, f"{self.folder.path} was deleted, or is damaged: {error}"]
        found += [f"{self.folder.path / name} does not belong to the gallery." for name in foreign]
        return found

    def _page_problems(self, *, exclusively: bool) -> list[str]:
        expected = encode_first_page(self.description, (self._older, self._head))
        for _ in range(5):
            writing = not exclusively and may_be_written_to(self.folder)
            page = self._page()
            if page == expected:
                return []
            found = decode_head(page)
            around = bytearray(page)  # the page but for its two heads, which move on
            for seq in (0, 1):
                slot = slice(slot_offset(seq), slot_offset(seq) + len(encode_head(self._head)))
                around[slot] = expected[slot]
            if exclusively or found is None or bytes(around) != expected:
                break
            head, both = found
            if head.seq > self._head.seq and both:
                return []  # commits were made since
            if head.seq >= self._head.seq - 1 and writing:
                return []  # one slot is half-written
            time.sleep(0.002)
        return [f"{self._log_path} is damaged in its first page."]

    def _tail_problems(self, *, exclusively: bool) -> list[str]:
        """Find bytes after the last commit, unless a writer may be putting them there just now."""
        if exclusively:
            return self._tails(self._head)
        found: list[str] = []
        for attempt in range(3):
            if may_be_written_to(self.folder):
                return []
            try:
                again = self._tails(self._read_head())
            except GalleryError as error:
                again = [str(error)]
            if not again or (attempt and again != found):
                return []
            found = again
            time.sleep(0.01)  # a writer whose process cannot be seen from here changes them
        return [] if may_be_written_to(self.folder) else found

    def _tails(self, head: Head) -> list[str]:
        log = os.fstat(self._log_fd).st_size - head.length
        vectors = os.fstat(self._vectors_fd).st_size - head.num_rows * 4 * self.description.dim
        return [
            f"{path} has {extra} bytes behind the last commit: an interrupted write, dropped when "
            "the gallery is opened for writing, or foreign bytes."
            for path, extra in ((self._log_path, log), (self._vectors.path, vectors))
            if extra > 0
        ]

    def _keep_indexes(self, old: int, new: int) -> None:
        """Rename stored indexes: rows keep their numbers in a merge."""
        for name in self.folder.names():
            kind = name.removeprefix(f"index-{old:06d}-").removesuffix(".faiss")
            if name == index_name(old, kind):
                with contextlib.suppress(OSError):
                    self.disk.replace(self.folder, name, index_name(new, kind))

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
        self._log_path = self.folder.path / log_name(generation)
        self._log_fd = disk.open(self.folder, log_name(generation), write=self.write)
        self._fds = [self._log_fd]
        self._finalizer = weakref.finalize(self, _close_all, disk, self._fds)
        try:
            name = vectors_name(generation)
            self._vectors_fd = disk.open(self.folder, name, write=self.write)
            self._fds.append(self._vectors_fd)
            self._vectors = MappedVectors(
                self._vectors_fd, self.description.dim, self.folder.path / name
            )
            self.table = Table(self._vectors)
            self._head = self._older = _START
            decode_identity(self._page(), self.description, self._log_path)
            self._read_records(self._read_head())
            if self.write:
                self._drop_tail()
        except BaseException:
            self._finalizer()
            raise

    def _page(self) -> bytes:
        return read_at(self._log_fd, PAGE, 0)

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
        """One slot is lost: a commit after the other's may be whole, so look for it."""
        size = os.fstat(self._log_fd).st_size
        if size < head.length:
            raise GalleryError(f"{self._log_path} is cut short: {size} of {head.length} bytes.")
        log = self._map(size)
        for record in decode_records(log, head.length, head.seq + 1, head.chain):
            head = Head(record.seq, record.end, record.first_row + record.num_rows, record.chain)
        return head

    def _read_records(self, head: Head) -> None:
        """Apply the commits between the last known head and this one to the table."""
        size = os.fstat(self._log_fd).st_size
        if size < head.length:
            raise GalleryError(f"{self._log_path} is cut short: {size} of {head.length} bytes.")
        known = self._head
        if head.seq == known.seq:
            return
        # A map costs a descriptor for as long as metadata refers to it: read small parts.
        small = head.length - known.length < _SMALL_READ and known.seq > 0
        base = known.length if small else 0
        log = (
            memoryview(read_at(self._log_fd, head.length - base, base))
            if small
            else self._map(head.length)
        )
        for record in decode_records(log, known.length - base, known.seq + 1, known.chain):
            replay(record, self.table, self._vectors, self._log_path)
            self._older = self._head
            self._head = Head(
                record.seq, base + record.end, record.first_row + record.num_rows, record.chain
            )
        if self._head != head:
            raise GalleryError(
                f"{self._log_path} is damaged behind commit {self._head.seq} of {head.seq}. "
                "Restore the gallery from a copy."
            )

    def _map(self, size: int) -> memoryview:
        try:
            return memoryview(mmap.mmap(self._log_fd, size, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # too many maps, or cut short just now
            raise GalleryError(f"{self._log_path} cannot be read: {error}.") from error

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
