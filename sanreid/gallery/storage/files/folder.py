"""A gallery's directory, held open: it stays the same one whatever becomes of its path.

A path is resolved once. After that the working directory may change, the directory may be moved,
and another may take its path: files are named relative to the open directory all the same. On
Windows, which has no such handles, an open gallery's directory cannot be moved.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from sanreid.errors import GalleryError, InputError
from sanreid.utils.arrays import shown

__all__ = ["Folder", "resolved"]


class Folder:
    """An open directory.

    Args:
        path: An absolute path.

    Attributes:
        path: Where it was when it was opened, for messages.
        fd: What file names are relative to; None on Windows.

    Raises:
        OSError: It is not there, or may not be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd: int | None = None
        if os.name == "posix":
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._finalizer = weakref.finalize(self, os.close, self.fd)

    def at(self, name: str) -> str:
        """Return what to pass to the system, together with ``dir_fd``, for a file's name."""
        return name if self.fd is not None else str(self.path / name)

    def names(self) -> list[str]:
        """Return the names in the directory, sorted."""
        return sorted(os.listdir(self.path if self.fd is None else self.fd))  # noqa: PTH208 - of a handle

    def stat(self, name: str) -> os.stat_result:
        """Return what the system knows of a file, without following links."""
        return os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False)

    def is_same(self, other: Folder) -> bool:
        """Return whether two are one directory."""
        return os.path.samestat(self._own_stat(), other._own_stat())

    def close(self) -> None:
        """Close the directory."""
        if self.fd is not None:
            self._finalizer()

    def _own_stat(self) -> os.stat_result:
        return self.path.stat() if self.fd is None else os.fstat(self.fd)


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path: ``~`` expanded, links followed.

    Raises:
        InputError: Not a path at all.
        GalleryError: No file system can have it.
    """
    try:
        text = os.fspath(path)
    except TypeError as error:
        raise InputError(f"A gallery's path is a str or a Path; got {shown(path)}.") from error
    if not isinstance(text, str) or not text:
        raise InputError(f"A gallery's path is a non-empty str or a Path; got {shown(path)}.")
    if "\0" in text:
        raise InputError(f"A gallery's path cannot contain a NUL character; got {text!r}.")
    try:
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no such user
        raise GalleryError(f"No gallery can be at {text!r}: {error}") from error
