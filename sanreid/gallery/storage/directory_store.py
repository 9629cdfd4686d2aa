"""Entries in a directory: each change is on disk before it is seen or acknowledged."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from sanreid.errors import GalleryError
from sanreid.gallery.index.cache import UNREADABLE, check_bytes, read_index, write_index
from sanreid.gallery.index.faiss_index import FaissIndex
from sanreid.gallery.index.rows import Rows
from sanreid.gallery.storage.files.commit_log import CommitLog
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.files.filenames import index_name, read_description
from sanreid.gallery.storage.files.folder import Folder
from sanreid.gallery.storage.files.locks import WriterLock
from sanreid.gallery.storage.files.rewriting import write_snapshot
from sanreid.gallery.storage.memory_store import MemoryStore
from sanreid.gallery.storage.snapshots import Snapshot
from sanreid.gallery.storage.table import Change

__all__ = ["DirectoryStore"]

logger = logging.getLogger(__name__)

MANY_COMMITS = 1024  # a reader reads some 10,000 per second
_NEXT_TRY = 1024  # commits until what could not be tidied is tried again
_MAX_LISTED = 20  # problems in one message


class DirectoryStore(MemoryStore):
    """A :class:`~sanreid.gallery.store.Store` kept in a directory.

    Args:
        path: The directory, an absolute path.
        write: Whether to hold the writer's lock and take changes.
        index: The kind of index to search with.
        disk: How files are touched.

    Raises:
        GalleryError: Not a gallery, damaged, of a newer format, or open for writing elsewhere.
    """

    def __init__(
        self, path: Path, *, write: bool, index: str = "auto", disk: Disk | None = None
    ) -> None:
        super().__init__(1, index=index, disk=disk)
        self._write = write
        self._closed = False
        self._writer: WriterLock | None = None
        self._tidy_after = 0
        try:
            self._folder = Folder(path)
        except OSError as error:
            purpose = "opened for writing" if write else "opened"
            raise GalleryError(f"The gallery {path} cannot be {purpose}: {error}.") from error
        try:
            if write:
                self._writer = WriterLock(self._folder)
            self._log = self._reopened()
            if write:
                self._tidy()
        except BaseException:
            if self._writer is not None:
                self._writer.release()
            self._folder.close()
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse to be pickled or copied: the files and the lock belong to one object.

        Raises:
            GalleryError: Always.
        """
        raise GalleryError(
            f"The gallery {self._folder.path} is kept on disk and cannot be pickled or copied. "
            'Pass its path and open it there with mode="r", or read it into memory with '
            "Gallery.load()."
        )

    @property
    def location(self) -> str | None:
        """The directory, as it was when it was opened."""
        return str(self._folder.path)

    def snapshot(self) -> Snapshot:
        """Return the state now."""
        self._check_open()
        return self._published

    def compact(self) -> None:
        """Drop removed rows from the files without a trace."""
        with self._mutex:
            self._check_writable()
            self._compact()
            left = self._log.sweep()
            if left:
                raise GalleryError(
                    "The gallery is compacted, but its old files are in use and could not be "
                    f"deleted: {', '.join(map(str, left))}. Close their readers, compact again."
                )

    def verify(self) -> None:
        """Read every stored byte again; nothing is locked.

        Raises:
            GalleryError: Some are not what was written; the message lists where.
        """
        with self._mutex:
            self._check_open()
            held = self._writer is not None and self._writer.is_held
            try:
                found = self._log.problems(exclusively=held) + self._index_problems()
            except OSError as error:
                raise GalleryError(f"{self.location} cannot be read: {error}") from error
        if found:
            more = len(found) - _MAX_LISTED
            tail = f"\n  ... {more} more" if more > 0 else ""
            listed = "\n  ".join(found[:_MAX_LISTED])
            raise GalleryError(f"The gallery {self.location} is damaged:\n  {listed}{tail}")

    def refresh(self) -> None:
        """Let a reader see what the writer has committed since; a writer finds its files there.

        Raises:
            GalleryError: The gallery was deleted, damaged, or replaced by one of another dim.
        """
        if self._write:  # which waits for no change or compaction that is under way
            self._check_open()
            read_description(self._folder, self._disk)
            return
        with self._mutex:
            self._check_open()
            if self._log.refresh():
                self._publish()
                return
            before = self._log
            log = CommitLog(self._folder, self._disk, write=False)
            if log.description.dim != before.description.dim:
                log.close()
                raise GalleryError(
                    f"The gallery {self.location} was replaced by one of dim "
                    f"{log.description.dim}; this one has dim {before.description.dim}. "
                    "Open it again."
                )
            before.retire()
            self._use(log)

    def close(self) -> None:
        """Close the files and let the next writer in."""
        with self._mutex:
            self._closed = True
            self._log.close()
            if self._writer is not None:
                self._writer.release()
            self._folder.close()

    def read_index(self, kind: str, rows: Rows) -> FaissIndex | None:
        """Return the index stored beside the entries, if there is one that fits."""
        with self._mutex:
            if self._closed or not self.is_current(rows):
                return None
            name = index_name(self._log.description.generation, kind)
            try:
                fd = self._disk.open(self._folder, name, write=False)
            except FileNotFoundError:
                return None
            except OSError as error:
                logger.warning("The index %s is not used: %s", self._folder.path / name, error)
                return None
            uuid = self._log.description.uuid
        with os.fdopen(fd, "rb") as file:
            try:
                return read_index(kind, rows, uuid, file)
            except UNREADABLE as error:
                logger.warning(
                    "The index %s is not used and is built again: %s",
                    self._folder.path / name,
                    error,
                )
                return None

    def save_index(self, index: FaissIndex, rows: Rows) -> None:
        """Store an index beside the entries; without room for it, go on without."""
        with self._mutex:
            if self._closed or not self._write or not self.is_current(rows):
                return
            description = self._log.description
            name = index_name(description.generation, index.kind)
            fresh = name + ".new"
            try:
                fd = self._disk.create(self._folder, fresh)
                with os.fdopen(fd, "wb") as file:
                    write_index(index, rows, description.uuid, file)
                    file.flush()
                    self._disk.sync(fd)
                self._disk.replace(self._folder, fresh, name)
            except (OSError, RuntimeError) as error:
                logger.warning(
                    "The index cannot be kept at %s: %s", self._folder.path / name, error
                )
                self._drop(fresh)

    def after_fork(self) -> None:
        """Forget, in a forked child, locks that threads of the parent may have held."""
        super().after_fork()
        if hasattr(self, "_log"):
            self._log.after_fork()

    def _reopened(self) -> CommitLog:
        log = CommitLog(self._folder, self._disk, write=self._write)
        self._use(log)
        return log

    def _use(self, log: CommitLog) -> None:
        self._log = log
        self._table = log.table
        self._publish()

    def _commit(self, change: Change) -> None:
        try:
            self._log.append(change)
        finally:
            if not self._log.broken:
                self._publish()
        self._tidy()

    def _compact(self) -> None:
        snapshot = self._published
        self._log.broken = True  # until it is known which generation is current
        try:
            write_snapshot(self._folder, snapshot, self.dim, self._disk)
        except GalleryError:
            self._log.broken = self._log.is_outdated()
            raise
        self._log.retire()
        self._reopened()

    def _tidy(self) -> None:
        """Compact or merge when it is time to; the change before is safe whatever comes of it."""
        if self._log.num_commits < self._tidy_after:
            return
        try:
            if self._is_wasteful():
                self._compact()
            elif self._log.num_commits >= self._commit_limit():
                self._log.merge(self._published)
            else:
                return
            self._tidy_after = 0
        except (GalleryError, OSError) as error:
            self._tidy_after = self._log.num_commits + _NEXT_TRY
            logger.warning("The files of %s stay as they are: %s", self.location, error)

    def _commit_limit(self) -> int:
        """Return how many commits a reader may have to read: more where rewriting costs more."""
        return max(MANY_COMMITS, min(2 * MANY_COMMITS, len(self._table) // 256))

    def _index_problems(self) -> list[str]:
        found = []
        prefix = f"index-{self._log.description.generation:06d}-"
        for name in self._folder.names():
            if not name.startswith(prefix) or name.endswith(".new"):
                continue
            try:
                with os.fdopen(self._disk.open(self._folder, name, write=False), "rb") as file:
                    check_bytes(file)
            except FileNotFoundError:
                continue  # the writer has replaced it
            except UNREADABLE as error:
                found.append(
                    f"{self._folder.path / name} is damaged: {error}. It is rebuilt when it is "
                    "next needed."
                )
        return found

    def _drop(self, name: str) -> None:
        try:
            self._disk.remove(self._folder, name)
        except OSError as error:
            logger.info("%s stays until the next compaction: %s", name, error)

    def _own_folder(self) -> Folder | None:
        return self._folder

    def _check_open(self) -> None:
        if self._closed:
            raise GalleryError("The gallery is closed; open it again.")

    def _check_writable(self) -> None:
        self._check_open()
        if not self._write:
            raise GalleryError('The gallery is open with mode="r"; open it with mode="rw".')
        if self._writer is not None and not self._writer.is_held:
            raise GalleryError("The gallery was opened by another process; open it here again.")
        if not self._log.broken:
            self._publish()  # Ctrl-C may have come between a change and this
