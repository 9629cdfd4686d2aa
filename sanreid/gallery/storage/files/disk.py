"""Every touch of the file system that a stored gallery's safety rests on, in one file.

Small enough to be replaced by a test that records the writes and syncs, or fails some of them.
Files are named within an open :class:`~sanreid.gallery.storage.files.folder.Folder`, links are not
followed, and nothing that exists is opened for truncation. Reads and writes are positioned: a
forked child shares its parent's file offsets, so none is used. Descriptors are plain ints closed
by their owner.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

from sanreid.gallery.storage.files.folder import Folder

__all__ = ["Disk", "read_at"]

_FLAGS = (
    getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe put in a file's stead must not block
)


class Disk:
    """The real disk."""

    def create(self, folder: Folder, name: str) -> int:
        """Create a new file for writing and reading; a left-over of that name loses it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS
        try:
            return os.open(folder.at(name), flags, 0o644, dir_fd=folder.fd)
        except FileExistsError:
            self.remove(folder, name)
            return os.open(folder.at(name), flags, 0o644, dir_fd=folder.fd)

    def open(self, folder: Folder, name: str, *, write: bool) -> int:
        """Open an existing regular file."""
        flags = (os.O_RDWR if write else os.O_RDONLY) | _FLAGS
        fd = os.open(folder.at(name), flags, dir_fd=folder.fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(f"{folder.path / name} is not a regular file")
        return fd

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        rest = memoryview(data).cast("B")
        if sys.platform == "win32":
            os.lseek(fd, offset, os.SEEK_SET)
            while len(rest):
                rest = rest[os.write(fd, rest) :]
            return
        while len(rest):
            done = os.pwrite(fd, rest, offset)
            rest, offset = rest[done:], offset + done

    def sync(self, fd: int) -> None:
        """Return when what was written is on the medium."""
        if sys.platform == "darwin":  # fsync stops at the drive's own cache there
            import fcntl  # noqa: PLC0415 - Windows lacks it

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(fd, size)

    def replace(self, folder: Folder, source: str, target: str) -> None:
        """Rename ``source`` to ``target``, replacing it in one step."""
        os.replace(
            folder.at(source), folder.at(target), src_dir_fd=folder.fd, dst_dir_fd=folder.fd
        )

    def link(self, folder: Folder, source: str, target: str) -> None:
        """Add a second name to a file (a hard link)."""
        os.link(folder.at(source), folder.at(target), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)

    def remove(self, folder: Folder, name: str) -> None:
        """Delete a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder.at(name), dir_fd=folder.fd)

    def sync_folder(self, folder: Folder) -> None:
        """Return when a folder's list of names is on the medium; Windows does so by itself."""
        if folder.fd is not None:
            os.fsync(folder.fd)

    def move_folder(self, source: Path, target: Path) -> None:
        """Rename a folder to a path where nothing or an empty folder is."""
        source.replace(target)

    def sync_parent(self, path: Path) -> None:
        """Return when a folder's own name is on the medium."""
        if os.name == "nt":
            return
        fd = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Read up to ``size`` bytes at ``offset``."""
    if sys.platform == "win32":
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)
    return os.pread(fd, size, offset)
