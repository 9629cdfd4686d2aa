"""Files and folders to files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sanreid.errors import InputError
from sanreid.images import find_images

__all__ = ["expand_paths"]


def expand_paths(paths: object, *, collect: bool) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Files as they are, folders as their images; folders without any are failures."""
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    if isinstance(paths, bytes) or not isinstance(paths, Iterable):
        raise InputError(
            f"paths must be a path or a sequence of paths; got {type(paths).__name__}."
        )
    files: list[Path] = []
    failures: list[tuple[Path, str]] = []
    for place, given in enumerate(paths):
        if not isinstance(given, str | os.PathLike):
            raise InputError(
                f"Item {place} of paths must be a path; got {type(given).__name__}. "
                "encode() takes other images."
            )
        if not os.fspath(given):  # pathlib takes it for the current folder
            raise InputError(f"Item {place} of paths is an empty string; wanted a path.")
        path = Path(given)
        if not path.is_dir():
            files.append(path)
            continue
        try:
            files.extend(find_images(path))
        except InputError as error:
            if not collect:
                raise
            failures.append((path, str(error)))
    return files, failures
