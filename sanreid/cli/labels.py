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
    found |= {path: label for path, label in known.items() if path in found}
    for path in [path for path in found if not is_text(str(path))]:
        if failures is None:
            raise InputError(
                f"The name {path} is not UTF-8, so a gallery cannot keep it. Rename the file."
            )
        failures.append((path, "its name is not UTF-8, so a gallery cannot keep it."))
        del found[path]
    return found


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
