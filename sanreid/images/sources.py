"""From files and folders to files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from sanreid.errors import InputError
from sanreid.images.sequences import find_images
from sanreid.utils.paths import as_path, is_encodable, is_folder

__all__ = ["expand_paths"]


def expand_paths(paths: object, *, collect: bool) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return files as they are and folders as their images.

    Args:
        paths: One path, or an ordered iterable of paths.
        collect: Return what cannot be read, and folders without images, as failures.

    Returns:
        The files, and failures as (path, reason).

    Raises:
        InputError: Not paths; or, without ``collect``, a folder that holds no images or cannot
            be read.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    unordered = isinstance(paths, bytes | Mapping | AbstractSet) or hasattr(paths, "read")
    if unordered or not isinstance(paths, Iterable):
        raise InputError(
            f"paths must be a path or a sequence of paths; got {type(paths).__name__}."
        )
    try:
        items = iter(paths)
    except TypeError as error:  # an array of no dimensions
        raise InputError(f"paths must be a path or a sequence of paths: {error}.") from error
    files: list[Path] = []
    failures: list[tuple[Path, str]] = []
    for index, given in enumerate(items):
        if not isinstance(given, str | os.PathLike):
            raise InputError(
                f"Item {index} of paths must be a path; got {type(given).__name__}. "
                "encode() takes other images."
            )
        text = os.fspath(given)
        if not isinstance(text, str):
            raise InputError(
                f"Item {index} of paths is a path in bytes; pass text, os.fsdecode(path)."
            )
        if not text:  # pathlib takes it for the current folder
            raise InputError(f"Item {index} of paths is an empty string; wanted a path.")
        if "\0" in text or not is_encodable(text):
            files.append(Path(text))  # reading it says what is wrong with it
            continue
        path = as_path(text)
        if not is_folder(path):
            files.append(path)
            continue
        try:
            files.extend(find_images(path, failures=failures if collect else None))
        except InputError as error:
            if not collect:
                raise
            failures.append((path, str(error)))
    return files, failures
