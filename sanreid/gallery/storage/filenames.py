"""The files of a gallery's directory: their names, the description, and what is swept away."""

from __future__ import annotations

import glob
import platform
import shutil
from pathlib import Path

from sanreid.errors import GalleryError
from sanreid.gallery.storage.disk import Disk
from sanreid.gallery.storage.records import Description
from sanreid.utils.processes import is_running

__all__ = [
    "DESCRIPTION",
    "LOCK",
    "fresh_prefix",
    "is_gallery",
    "log_path",
    "make_folders",
    "read_description",
    "sweep_beside",
    "sweep_folder",
    "vectors_path",
    "write_description",
]

DESCRIPTION = "gallery.json"
LOCK = "lock"
_TEMPORARY = "gallery.json.new"


def is_gallery(path: Path) -> bool:
    """Tell whether a directory says it is a gallery."""
    try:
        return (path / DESCRIPTION).is_file()
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise GalleryError(f"No gallery can be at {path}: {error}") from error


def log_path(folder: Path, generation: int) -> Path:
    """Give the place of a generation's log."""
    return folder / f"entries-{generation:06d}.log"


def vectors_path(folder: Path, generation: int) -> Path:
    """Give the place of a generation's embeddings."""
    return folder / f"vectors-{generation:06d}.f32"


def read_description(folder: Path) -> Description:
    """Read ``gallery.json``.

    Raises:
        GalleryError: It is not there, foreign, damaged or of a newer format.
    """
    path = folder / DESCRIPTION
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise GalleryError(
            f"{folder} is not a sanreid gallery: {DESCRIPTION} cannot be read ({error})."
        ) from error
    return Description.from_bytes(raw, path)


def write_description(folder: Path, description: Description, disk: Disk) -> None:
    """Put a description in place in one step."""
    temporary = folder / _TEMPORARY
    fd = disk.create(temporary)
    try:
        disk.write(fd, description.to_bytes(), 0)
        disk.sync(fd)
    finally:
        disk.close(fd)
    disk.replace(temporary, folder / DESCRIPTION)
    disk.sync_folder(folder)


def sweep_folder(folder: Path, generation: int, disk: Disk) -> list[Path]:
    """Delete what an interrupted or finished change of generation left; give what would not go."""
    keep = {log_path(folder, generation).name, vectors_path(folder, generation).name}
    stale = [
        path
        for pattern in ("entries-*.log", "vectors-*.f32", _TEMPORARY)
        for path in folder.glob(pattern)
        if path.name not in keep
    ]
    stale += [
        path
        for path in folder.glob("index-*.faiss*")
        if path.name.endswith(".new") or f"-{generation:06d}-" not in path.name
    ]
    if not stale:
        return []
    try:
        disk.sync_folder(folder)  # what names this generation is safe before the rest goes
    except OSError:
        return stale
    left = []
    for path in stale:
        try:
            disk.remove(path)
        except OSError:  # Windows keeps files that are mapped somewhere
            left.append(path)
    return left


def fresh_prefix(path: Path) -> str:
    """Galleries in the making carry their maker's machine and process in their name."""
    return f".{path.name}.new-{platform.node()}-"


def sweep_beside(path: Path) -> None:
    """Delete galleries that processes of this machine, now gone, were making at this place."""
    prefix = fresh_prefix(path)
    for fresh in path.parent.glob(glob.escape(prefix) + "*"):
        maker = fresh.name.removeprefix(prefix).partition("-")[0]
        if maker.isdigit() and not is_running(maker):
            shutil.rmtree(fresh, ignore_errors=True)


def make_folders(path: Path, disk: Disk) -> None:
    """Make missing folders, each synced into the one above."""
    if not path.is_dir():
        make_folders(path.parent, disk)
        path.mkdir(exist_ok=True)
        disk.sync_folder(path.parent)
