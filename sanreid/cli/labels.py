"""Person and camera of files, from their names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sanreid.cli.output import say

__all__ = ["UNKNOWN", "AnyLabel", "Label", "label_files_of", "read_labels"]

Label = tuple[int | str | None, int | None]  # pid and camid
AnyLabel = tuple[int | str | None, int | str | None]  # of cameras that may have names
UNKNOWN: Label = (None, None)


def label_files_of(
    sources: Sequence[Path], args: argparse.Namespace
) -> tuple[dict[Path, Label], list[tuple[Path, str]]]:
    """Return the files of the sources with their labels, and the folders that cannot be read.

    The latter are named, under ``--on-error collect``.

    Raises:
        InputError: A folder has no images, or one cannot be read and is not to be skipped.
        DatasetError: The names are not of the scheme that was asked for.
    """
    failures: list[tuple[Path, str]] = []
    collect = args.on_error == "collect"
    labels = read_labels(sources, args.names or "auto", failures=failures if collect else None)
    for path, reason in failures:
        say(f"skipped {path}: {reason}")
    return labels, failures


def read_labels(
    sources: Sequence[Path], names: str, *, failures: list[tuple[Path, str]] | None = None
) -> dict[Path, Label]:
    """Return person and camera of every file of the sources, as far as its name has them.

    Args:
        sources: Files and folders.
        names: The naming scheme; ``"none"`` reads none.
        failures: A list that takes each folder that cannot be read, with the reason.

    Raises:
        InputError: A folder cannot be read and there is no ``failures``, or has no images.
        DatasetError: The names are not of the scheme that was asked for.
    """
    from sanreid.images import IMAGE_SUFFIXES, find_images

    found: dict[Path, Label] = {}
    known: dict[Path, Label] = {}
    single: dict[Path, list[str]] = {}  # by folder: a thousand files lie in one
    for source in sources:
        if source.is_dir():
            found |= dict.fromkeys(find_images(source, failures=failures), UNKNOWN)
            known |= _named(source, names)
        else:
            found[source] = UNKNOWN
            if source.suffix.lower() in IMAGE_SUFFIXES:  # else embedding says what it is
                single.setdefault(source.parent, []).append(source.name)
    for folder, files in single.items():
        known |= _named(folder, names, files)
    return found | {path: label for path, label in known.items() if path in found}


def _named(folder: Path, names: str, files: Sequence[str] | None = None) -> dict[Path, Label]:
    """Read the names in a folder, or of some files right in it; none under "auto" if one is odd.

    Raises:
        DatasetError: The names are not of the scheme that was asked for.
    """
    from sanreid.datasets import read_crops
    from sanreid.datasets.names import label_files
    from sanreid.datasets.schemes import find_scheme
    from sanreid.errors import DatasetError

    if names == "none":
        return {}
    asked = "market1501" if names == "auto" else names
    scheme = find_scheme(asked)
    assert scheme is not None  # noqa: S101 - "auto" has just been replaced
    try:
        if files is None:
            crops = read_crops(folder, names=asked)
        else:
            crops = label_files(folder, files, scheme, folder.name)
    except DatasetError:
        if names == "auto":
            return {}
        raise
    people = zip(crops.people, crops.camids.tolist(), strict=True)
    return dict(zip(crops.paths, people, strict=True))
