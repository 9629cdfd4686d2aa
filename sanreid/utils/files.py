"""Atomic writes: a file appears under its name complete, or not at all. SHA-256 of a file."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sanreid.errors import InputError
from sanreid.utils.locks import is_running

__all__ = [
    "atomic_write",
    "atomic_write_text",
    "errors_of_writing",
    "make_folder",
    "missing_folders",
    "scratch_directory",
    "sha256_of",
]


@contextmanager
def atomic_write(path: Path, *, keep: bool = True, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name only when it is complete.

    The bytes go to a temporary file in the same folder. An error or an interrupt removes it, and
    an earlier file at ``path`` stays as it was. Where ``path`` is a link, the file it leads to is
    written and the link stays. What killed processes of this machine left behind while they wrote
    the same file is removed first.

    Args:
        path: Where the file goes; the folder must exist.
        keep: If False, remove the file in any case: a test of whether it can be written.
        durable: Wait until the contents and the name are on the medium, so that they survive a
            power cut.

    Raises:
        OSError: The system does not allow it, or the disk is full.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))  # renaming would end a device
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # renaming would end the link
    _sweep(path)
    # delete=False: on success the file is renamed, and Windows cannot rename an open one.
    file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed and renamed below
        dir=path.parent, prefix=f"{_prefix(path)}{os.getpid()}-", suffix=_SUFFIX, delete=False
    )
    temporary = Path(file.name)
    try:
        with file:
            yield file
            if keep and durable:
                file.flush()
                os.fsync(file.fileno())
        if keep:
            temporary.chmod(0o666 & ~_umask())  # tempfile's are for the owner only
            temporary.replace(path)
            if durable and os.name == "posix":
                _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a small text file in UTF-8, completely or not at all, and wait for the medium."""
    with atomic_write(path, durable=True) as file:
        file.write(text.encode())


@contextmanager
def scratch_directory(parent: Path, label: str) -> Iterator[Path]:
    """Make a temporary directory in ``parent``, removed at the end.

    Those that killed processes of this machine left in ``parent`` under the same label are
    removed first.

    Raises:
        OSError: The system does not allow it.
    """
    prefix = f".{label}-{platform.node()}-"
    for left in _left_behind(parent, [prefix]):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-", dir=parent) as folder:
        yield Path(folder)


@contextmanager
def errors_of_writing(path: Path) -> Iterator[None]:
    """Turn what the system says against a write to ``path`` into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"Cannot write to {path}: {error.strerror or error}.") from error


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, however many; pathlib's own way is recursive.

    Raises:
        OSError: The system does not allow it.
    """
    for folder in reversed(missing_folders(path)):
        folder.mkdir(exist_ok=True)


def missing_folders(path: Path) -> list[Path]:
    """Return a path and its parents up to the first that is a folder, the deepest first."""
    return list(itertools.takewhile(lambda folder: not folder.is_dir(), [path, *path.parents]))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 lower-case hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_SUFFIX = ".part"


def _prefix(path: Path) -> str:
    """Return how temporary names for ``path`` begin on this machine; the process id follows."""
    name = path.name.encode(errors="surrogateescape")[:100].decode(errors="ignore")
    return f".{name}.{platform.node()}-"


def _sweep(path: Path) -> None:
    """Remove the temporary files for ``path`` of processes that no longer run."""
    prefixes = [_prefix(path), f".{path.name}.new-"]  # the second is that of exports before 0.2
    for left in _left_behind(path.parent, prefixes):
        with suppress(OSError):
            left.unlink()


def _left_behind(folder: Path, prefixes: list[str]) -> list[Path]:
    """List the files named by one of ``prefixes`` and the id of a process that is gone."""
    found = []
    with suppress(OSError), os.scandir(folder) as files:
        for file in files:
            for prefix in prefixes:
                maker = file.name.removeprefix(prefix).partition("-")[0]
                if file.name.startswith(prefix) and maker.isdecimal() and not is_running(maker):
                    found.append(Path(file.path))
    return found


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
