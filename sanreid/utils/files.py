"""Files that are whole or not there: written beside their place, then moved to it. Their sum."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["sha256_of", "whole_file", "write_whole"]


@contextmanager
def whole_file(path: Path, *, keep: bool = True, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only when it is complete.

    It is written beside its place; an error or an interrupt removes it, and what was there
    before stays.

    Args:
        path: The file's place; its folder exists.
        keep: False removes it in any case, which finds out whether it could be written.
        durable: Wait until it is on the medium, its name too, so that it survives a power cut.

    Raises:
        OSError: The system does not allow it, or the disk is full.
    """
    # delete=False: on success the file is renamed, and Windows cannot rename an open one.
    file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed and renamed below
        dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
    )
    temporary = Path(file.name)
    try:
        with file:
            yield file
            if keep and durable:
                file.flush()
                os.fsync(file.fileno())
        if keep:
            temporary.chmod(0o666 & ~_umask())  # the system's are for the owner alone
            temporary.replace(path)
            if durable and os.name == "posix":
                _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a small text file in UTF-8, whole or not at all, and wait for the medium."""
    with whole_file(path, durable=True) as file:
        file.write(text.encode())


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


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file, 64 lower-case hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
