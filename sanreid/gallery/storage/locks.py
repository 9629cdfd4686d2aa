"""The one writer's lock: held by the operating system, so that it dies with its process."""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path

from sanreid.errors import GalleryError

__all__ = ["WriterLock", "is_locked"]

_PLACE = 1 << 20  # Windows bars reading of locked bytes: lock one far behind the text
_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


class WriterLock:
    """Holds a directory's lock file until released, collected, or the process ends.

    Raises:
        GalleryError: Another writer holds it; the message names that process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        binary = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | binary, 0o644)
        except OSError as error:
            raise GalleryError(
                f"The gallery {path.parent} cannot be opened for writing: {error}."
            ) from error
        if not _try_lock(fd):
            holder = os.read(fd, 20).decode(errors="replace").strip()
            os.close(fd)
            by = f"by process {holder}" if holder.isdigit() else "by another process"
            raise GalleryError(
                f"The gallery {path.parent} is open for writing {by}. Close it there, "
                'or open it here with mode="r".'
            )
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, str(os.getpid()).encode())
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, os.close, fd)
        if not _held and hasattr(os, "register_at_fork"):
            _register_once()
        _held.add(self)

    @property
    def is_held(self) -> bool:
        """Whether this very process may write."""
        return self._finalizer.alive and self._pid == os.getpid()

    def release(self) -> None:
        """Let the next writer in."""
        self._finalizer()

    def __hash__(self) -> int:
        return id(self)


def is_locked(path: Path) -> bool:
    """Tell whether a writer holds the lock file, leaving it as it is."""
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows alone has it

        os.lseek(fd, _PLACE, os.SEEK_SET)
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


_registered: list[bool] = []


def _register_once() -> None:
    if not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    """A forked child must not keep its parent's lock alive."""
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.release()
