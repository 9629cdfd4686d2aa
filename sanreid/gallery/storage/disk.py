"""Every touch of the file system that a stored gallery's safety rests on, in one place.

Small enough to be replaced by a test that records the writes and syncs, or fails some of them.
Descriptors are plain ints closed by their owner.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

__all__ = ["Disk"]

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Disk:
    """The real disk."""

    def create(self, path: Path) -> int:
        """Make a new file, or empty an old one, for writing and reading."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _BINARY, 0o644)

    def open(self, path: Path, *, write: bool) -> int:
        """Open a file that is there."""
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _BINARY)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        rest = memoryview(data).cast("B")
        os.lseek(fd, offset, os.SEEK_SET)
        while len(rest):
            rest = rest[os.write(fd, rest) :]

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

    def replace(self, source: Path, target: Path) -> None:
        """Put ``source`` in the place of ``target`` in one step."""
        os.replace(source, target)  # noqa: PTH105 - named like the call it stands for

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def remove(self, path: Path) -> None:
        """Delete a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def sync_folder(self, path: Path) -> None:
        """Return when a folder's list of names is on the medium; Windows does so by itself."""
        if os.name == "nt":
            return
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
