"""Person and camera of files, from their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sanreid.errors import InputError
from sanreid.utils.paths import is_text

__all__ = ["UNKNOWN", "AnyLabel", "Label", "read_labels"]

Label = tuple[int | str | None, int | None]  # pid and camid
AnyLabel = tuple[int | str | None, int | str | None]  # of cameras that may have names
UNKNOWN: Label = (None, None)


def read_labels(
    sources: Sequence[Path], names: str, *, failures: list[tuple[Path, str]] | None = None
) -> dict[Path, Label]:
    """Return person and camera of every file of the sources, as far as its name has them.

    Args:
        sources: Files and folders.
        names: The naming scheme; ``"none"`` reads none.
        failures: A list that takes each folder that cannot be read and each file whose name is
            not UTF-8, with the reason.

    Raises:
        InputError: A folder or a name cannot be read and there is no ``failures``, or a folder
            has no images.
        DatasetError: The names are not of the scheme that was asked for.
    """
    from sanreid.images import find_images

    found: dict[Path, Label] = {}
    named: dict[Path, dict[Path, Label]] = {}  # by folder: a thousand files lie in one
    for source in sources:
        folder = source if source.is_dir() else source.parent
        if folder not in named:
            named[folder] = {} if names == "none" else _named(folder, names)
        known = named[folder]
        files = find_images(source, failures=failures) if source.is_dir() else [source]
        found |= {path: known.get(path, UNKNOWN) for path in files}
    for path in [path for path in found if not is_text(str(path))]:
        if failures is None:
            raise InputError(
                f"The name {path} is not UTF-8, so a gallery cannot keep it. Rename the file."
            )
        failures.append((path, "its name is not UTF-8, so a gallery cannot keep it."))
        del found[path]
    return found


def _named(folder: Path, names: str) -> dict[Path, Label]:
    """Read the names in a folder; none under "auto" if one is odd.

    Raises:
        DatasetError: The names are not of the scheme that was asked for.
    """
    from sanreid.datasets import read_crops
    from sanreid.errors import DatasetError

    try:
        crops = read_crops(folder, names="market1501" if names == "auto" else names)
    except DatasetError:
        if names == "auto":
            return {}
        raise
    people = zip(crops.people, crops.camids.tolist(), strict=True)
    return dict(zip(crops.paths, people, strict=True))
