"""The one writer's lock: held by the operating system, so that it dies with its process.

The package ``filelock`` neither names the holder, nor releases in a forked child, nor notices that
its file was deleted; hence this file.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import weakref

from sanreid.errors import GalleryError, GalleryLockedError
from sanreid.gallery.storage.files.disk import read_at
from sanreid.gallery.storage.files.filenames import LOCK
from sanreid.gallery.storage.files.folder import Folder
from sanreid.gallery.storage.forking import watch_forks
from sanreid.utils.locks import is_running, try_lock

__all__ = ["WriterLock", "may_be_written_to"]

_MAX_ATTEMPTS = 10
_FLAGS = (
    getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class WriterLock:
    """Holds a gallery's lock until released, collected, or the process ends.

    The directory itself is locked besides its lock file, where the system can, so that nobody
    gets in by deleting that file.

    Raises:
        GalleryLockedError: Another writer holds it; the error names that process.
        GalleryError: The file system refuses the lock.
    """

    def __init__(self, folder: Folder) -> None:
        self._pid = os.getpid()
        try:
            fd = _locked_file(folder)
        except OSError as error:
            raise GalleryError(
                f"The gallery {folder.path} cannot be opened for writing: {error}."
            ) from error
        directory = None
        try:
            directory = _locked_directory(folder)
            os.ftruncate(fd, 0)
            os.write(fd, str(self._pid).encode())  # opened just now: the offset is 0
        except BaseException as error:
            os.close(fd)
            if directory is not None:
                os.close(directory)
            if isinstance(error, OSError):
                raise GalleryError(
                    f"The gallery {folder.path} cannot be opened for writing: {error}."
                ) from error
            raise
        self._finalizer = weakref.finalize(self, _release, fd, directory, self._pid)
        watch_forks(self)

    @property
    def is_held(self) -> bool:
        """Whether this very process may write."""
        return self._finalizer.alive and self._pid == os.getpid()

    def release(self) -> None:
        """Let the next writer in."""
        self._finalizer()

    def after_fork(self) -> None:
        """Let go in a forked child: it must not keep its parent's lock alive."""
        self._finalizer()


def may_be_written_to(folder: Folder) -> bool:
    """Return whether the process named in the lock file is alive and writing; lock nothing."""
    try:
        fd = os.open(folder.at(LOCK), os.O_RDONLY | _FLAGS, dir_fd=folder.fd)
    except OSError:
        return False
    try:
        holder = read_at(fd, 20, 0).decode(errors="replace").strip()
    except OSError:
        return False
    finally:
        os.close(fd)
    return holder.isascii() and holder.isdigit() and is_running(int(holder))


def _locked_file(folder: Folder) -> int:
    """Open and lock the lock file; it must still have its name once it is locked."""
    for _ in range(_MAX_ATTEMPTS):
        fd = os.open(folder.at(LOCK), os.O_RDWR | os.O_CREAT | _FLAGS, 0o644, dir_fd=folder.fd)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(f"{folder.path / LOCK} is not a regular file")  # noqa: TRY301 - closed below
            if not try_lock(fd):
                raise _in_use(folder, fd)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), folder.stat(LOCK)):
                    return fd
        except GalleryError:
            os.close(fd)
            raise
        except OSError as error:
            os.close(fd)
            raise OSError(
                f'{error}; if its file system knows no locks, open it with mode="r" or keep '
                "it on a local disk"
            ) from error
        os.close(fd)  # deleted meanwhile: what was locked is not what others will lock
    raise OSError(f"{folder.path / LOCK} keeps being deleted")


def _locked_directory(folder: Folder) -> int | None:
    """Lock the directory itself; None where the system, or its file system, does not do that."""
    if folder.fd is None or sys.platform == "win32":
        return None
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        if try_lock(fd):
            return fd
    except OSError:
        os.close(fd)
        return None
    os.close(fd)
    raise _in_use(folder, None)


def _in_use(folder: Folder, fd: int | None) -> GalleryLockedError:
    text = "" if fd is None else read_at(fd, 20, 0).decode(errors="replace").strip()
    holder = int(text) if text.isascii() and text.isdigit() else None
    by = "by another process" if holder is None else f"by process {holder}"
    return GalleryLockedError(
        f"The gallery {folder.path} is open for writing {by}. Close it there, wait for it "
        'with Gallery.open(..., wait=seconds), or open it here with mode="r".',
        holder,
    )


def _release(fd: int, directory: int | None, pid: int) -> None:
    """Close; the lock itself is the parent's to give up, the child's copies only close."""
    for one in (fd, directory):
        if one is None:
            continue
        with contextlib.suppress(OSError):
            if pid == os.getpid() and sys.platform != "win32":
                import fcntl  # noqa: PLC0415 - Windows lacks it

                if one is fd:
                    os.ftruncate(fd, 0)  # nobody writes now: see may_be_written_to
                fcntl.flock(one, fcntl.LOCK_UN)  # a copy in a forked child would keep it
        os.close(one)
