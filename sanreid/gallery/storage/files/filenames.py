"""The files of a gallery's directory: their names, the description, and left-overs."""

from __future__ import annotations

import glob
import platform
import re
import shutil
from pathlib import Path

from sanreid.errors import GalleryError
from sanreid.gallery.storage.files.disk import Disk, read_at
from sanreid.gallery.storage.files.folder import Folder
from sanreid.gallery.storage.files.records import Description
from sanreid.utils.files import missing_folders
from sanreid.utils.locks import is_running

__all__ = [
    "DESCRIPTION",
    "LOCK",
    "fresh_prefix",
    "index_name",
    "is_gallery",
    "is_own_name",
    "log_name",
    "make_folders",
    "read_description",
    "sweep_beside",
    "sweep_folder",
    "vectors_name",
    "write_description",
]

DESCRIPTION = "gallery.json"
LOCK = "lock"
_NEW = ".new"
_OWN_NAME = re.compile(
    r"gallery\.json(\.new)?|lock|entries-\d{6,}\.log|vectors-\d{6,}\.f32"
    r"|index-\d{6,}-.+\.faiss(\.new)?"
)
_MAX_DESCRIPTION = 1 << 16  # bytes; it has some 200


def is_gallery(path: Path) -> bool:
    """Return whether a directory says it is a gallery.

    Raises:
        GalleryError: The system does not let one see.
    """
    try:
        return (path / DESCRIPTION).is_file()
    except (OSError, ValueError) as error:  # a name too long, a folder one may not look into
        raise GalleryError(f"No gallery can be at {path}: {error}") from error


def log_name(generation: int) -> str:
    """Return the name of a generation's log."""
    return f"entries-{generation:06d}.log"


def vectors_name(generation: int) -> str:
    """Return the name of a generation's embeddings."""
    return f"vectors-{generation:06d}.f32"


def index_name(generation: int, kind: str) -> str:
    """Return the name of a stored index."""
    return f"index-{generation:06d}-{kind}.faiss"


def is_own_name(name: str) -> bool:
    """Return whether a gallery gives its files such names, in any generation."""
    return _OWN_NAME.fullmatch(name) is not None


def read_description(folder: Folder, disk: Disk) -> Description:
    """Read ``gallery.json``.

    Raises:
        GalleryError: It is not there, foreign, damaged or of a newer format.
    """
    try:
        fd = disk.open(folder, DESCRIPTION, write=False)
        try:
            raw = read_at(fd, _MAX_DESCRIPTION, 0)
        finally:
            disk.close(fd)
    except OSError as error:
        raise GalleryError(
            f"{folder.path} is not a sanreid gallery: {DESCRIPTION} cannot be read ({error})."
        ) from error
    return Description.from_bytes(raw, folder.path / DESCRIPTION)


def write_description(folder: Folder, description: Description, disk: Disk) -> None:
    """Put a description in place in one step."""
    fd = disk.create(folder, DESCRIPTION + _NEW)
    try:
        disk.write(fd, description.to_bytes(), 0)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.replace(folder, DESCRIPTION + _NEW, DESCRIPTION)
    disk.sync_folder(folder)


def sweep_folder(folder: Folder, generation: int, disk: Disk) -> list[Path]:
    """Delete what an interrupted or finished change of generation left.

    Only names go: a file that has a second name, or that a reader has mapped, lives on.

    Returns:
        What could not be deleted.
    """
    keep = {DESCRIPTION, LOCK, log_name(generation), vectors_name(generation)}
    indexes = re.compile(rf"index-{generation:06d}-.+\.faiss")
    try:
        names = folder.names()
    except OSError:  # the directory itself was deleted
        return []
    stale = [
        name
        for name in names
        if name not in keep and is_own_name(name) and not indexes.fullmatch(name)
    ]
    if not stale:
        return []
    try:
        disk.sync_folder(folder)  # what names this generation is safe before the rest goes
    except OSError:
        return [folder.path / name for name in stale]
    left = []
    for name in stale:
        try:
            disk.remove(folder, name)
        except OSError:  # Windows keeps files that are mapped somewhere
            left.append(folder.path / name)
    return left


def fresh_prefix(path: Path) -> str:
    """Return how names of unfinished galleries begin; this machine and a process follow."""
    return f".{path.name}.new-{platform.node()}-"


def sweep_beside(path: Path) -> None:
    """Delete unfinished galleries for this path whose processes, of this machine, are gone."""
    prefix = fresh_prefix(path)
    for fresh in path.parent.glob(glob.escape(prefix) + "*"):
        maker = fresh.name.removeprefix(prefix).partition("-")[0]
        if maker.isdigit() and not is_running(maker):
            shutil.rmtree(fresh, ignore_errors=True)


def make_folders(path: Path, disk: Disk, made: list[Path]) -> None:
    """Create missing folders, each synced into its parent; append those created to ``made``."""
    for folder in reversed(missing_folders(path)):
        try:
            folder.mkdir()
            made.append(folder)
        except FileExistsError:  # another process was quicker
            if not folder.is_dir():
                raise
        disk.sync_parent(folder)
