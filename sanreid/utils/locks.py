"""Locks that the operating system holds, so that they die with their process; who still runs."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import weakref
from pathlib import Path

from sanreid.errors import InputError

__all__ = ["LOCKED_BYTE", "DirectoryLock", "is_running", "try_lock"]

logger = logging.getLogger(__name__)

LOCKED_BYTE = 1 << 20  # Windows bars reading of locked bytes: lock one far behind the text
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class DirectoryLock:
    """Holds a directory for one writer until released, collected, or the process ends.

    A file system that knows no locks is not guarded; a warning says so.

    Args:
        file: The lock file, in the directory; it stays there.

    Raises:
        InputError: Another process, or another object of this one, holds it.
    """

    def __init__(self, file: Path) -> None:
        fd = os.open(file, _FLAGS, 0o644)
        try:
            _lock(file, fd)
        except BaseException:
            os.close(fd)
            raise
        self._finalizer = weakref.finalize(self, _release, fd, os.getpid())

    def release(self) -> None:
        """Let the next writer in."""
        self._finalizer()


def try_lock(fd: int) -> bool:
    """Lock a file; False if another holds it.

    Raises:
        OSError: Its file system knows no locks.
    """
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - only on Windows

        os.lseek(fd, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True
    import fcntl  # noqa: PLC0415 - Windows lacks it

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(file: Path, fd: int) -> None:
    """Lock an open file and write this process's number into it."""
    try:
        is_free = try_lock(fd)
    except OSError as error:
        logger.warning(
            "%s cannot be locked (%s): see to it that nobody else writes there.",
            file.parent,
            error,
        )
        return
    if not is_free:
        holder = os.read(fd, 20).decode(errors="replace").strip()
        by = f"process {holder}" if holder.isdigit() else "another process"
        raise InputError(
            f"{file.parent} is being written by {by}. Wait for it, or name another directory."
        )
    os.ftruncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())


def _release(fd: int, pid: int) -> None:
    """Close; a copy in a forked child would keep the lock, so its owner gives it up first."""
    with contextlib.suppress(OSError):
        if pid == os.getpid() and sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - Windows lacks it

            fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def is_running(pid: int | str) -> bool:
    """Return whether the process ``pid`` exists; True where the system cannot be asked."""
    if os.name == "nt":
        return True  # os.kill() would end it
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
