"""The one walk over folders of images: every reader of folders finds the same files.

Links to folders are followed, each folder once for each link, so that a link back up ends
the walk there. Hidden names, and the thumbnails and notes that file servers and systems leave
behind (``@eaDir``, ``Thumbs.db``), are skipped. What cannot be read is reported, never dropped.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sanreid.utils.words import counted

__all__ = ["IMAGE_SUFFIXES", "FoundImages", "suffixes_for_messages", "walk_images"]

logger = logging.getLogger(__name__)

_COMMON = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

IMAGE_SUFFIXES = frozenset(_COMMON) | frozenset(
    {
        ".apng", ".avifs", ".blp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".fit", ".fits",
        ".flc", ".fli", ".ftc", ".ftu", ".gbr", ".icb", ".icns", ".ico", ".iim", ".im", ".j2c",
        ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpf", ".jpx", ".mpo", ".msp", ".pbm", ".pcd",
        ".pcx", ".pfm", ".pgm", ".pnm", ".psd", ".pxr", ".qoi", ".ras", ".rgb", ".rgba", ".sgi",
        ".tga", ".vda", ".vst", ".xbm", ".xpm",
    }
)  # fmt: skip
"""Endings, in lower case, of the files that Pillow reads; tested against its own list."""

_LEFT_BEHIND = frozenset(
    {
        "$recycle.bin", "#recycle", "#snapshot", "@eadir", "@recently-snapshot", "@recycle",
        "@sharebin", "@synoresource", "@tmp", "@transcode", "__macosx", "desktop.ini",
        "ehthumbs.db", "ehthumbs_vista.db", "icon\r", "lost+found", "network trash folder",
        "recycler", "system volume information", "temporary items", "thumbs.db",
        "thumbs.db:encryptable", "~snapshot",
    }
)  # fmt: skip
_LEFT_BEHIND_PREFIXES = (".", "synofile_thumb_", "synophoto_thumb_")

_Folder = tuple[int, int]  # device and inode


@dataclass(slots=True)
class FoundImages:
    """What a walk found.

    Attributes:
        files: Image files relative to the root, with ``/``, sorted part by part.
        failures: Folders and links that cannot be read, each with the reason.
        others: How many files of each other ending were skipped, in lower case.
        num_repeated: Links to folders that the walk had entered already.
    """

    files: list[str] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    num_repeated: int = 0

    def log_skipped(self, root: Path) -> None:
        """Log how many files and links were skipped."""
        if self.others:
            were = "was" if self.others.total() == 1 else "were"
            logger.warning("%s: %s and %s skipped.", root, self.others_in_words(), were)
        if self.num_repeated:
            links = counted(
                self.num_repeated,
                "link to a folder that was read already was",
                "links to folders that were read already were",
            )
            logger.warning("%s: %s skipped.", root, links)

    def others_in_words(self) -> str:
        """Return how many other files were skipped, for a message; empty where there are none."""
        if not self.others:
            return ""
        kinds = ", ".join(f"{n} {s or 'without an ending'}" for s, n in self.others.most_common(5))
        files = counted(
            self.others.total(),
            "file is no image by its ending",
            "files are no images by their endings",
        )
        return f"{files} ({kinds})"


def suffixes_for_messages() -> str:
    """Return the common endings, for a message."""
    return f"{', '.join(_COMMON)} and others that Pillow reads"


def walk_images(root: Path, *, recursive: bool = True) -> FoundImages:
    """Find the image files of a folder.

    A folder inside the root counts once, at its own path. A linked folder from elsewhere counts
    at the path of each link inside the root.

    Args:
        root: An existing folder.
        recursive: False: only the files right in ``root``.
    """
    found = FoundImages()
    entered: set[_Folder] = set()
    links = _enter(root, "", found, entered, set(), recursive=recursive, follow=False)
    for link in sorted(links):
        _enter(root, link, found, set(), entered, recursive=recursive, follow=True)
    found.files.sort(key=lambda file: file.split("/"))
    found.failures.sort()
    return found


def _enter(
    root: Path,
    start: str,
    found: FoundImages,
    entered: set[_Folder],
    known: set[_Folder],
    *,
    recursive: bool,
    follow: bool,
) -> list[str]:
    """Read a folder and those below it that are in neither ``entered`` nor ``known``.

    Returns:
        The linked folders that were met and not followed.
    """
    links: list[str] = []
    waiting = [start]
    while waiting:
        prefix = waiting.pop()
        folder = root / prefix
        try:
            status = folder.stat()
            key = (status.st_dev, status.st_ino)
            if key in entered or key in known:
                found.num_repeated += 1
                continue
            entered.add(key)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_left_behind(entry.name):
                        continue
                    if not _is_folder(entry):
                        _count_file(entry, prefix, found)
                    elif recursive and entry.is_symlink() and not follow:
                        links.append(f"{prefix}{entry.name}/")
                    elif recursive:
                        waiting.append(f"{prefix}{entry.name}/")
        except OSError as error:
            found.failures.append((folder, f"the folder cannot be read: {_reason(error)}."))
    return links


def _is_left_behind(name: str) -> bool:
    lower = name.lower()
    return lower in _LEFT_BEHIND or lower.startswith(_LEFT_BEHIND_PREFIXES)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; a link that leads nowhere is not."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False


def _count_file(entry: os.DirEntry[str], prefix: str, found: FoundImages) -> None:
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - much faster than a Path for each of 100,000 files
    if suffix in IMAGE_SUFFIXES:  # if it is a link that leads nowhere, reading it says so
        found.files.append(f"{prefix}{entry.name}")
        return
    if entry.is_symlink() and not suffix:  # once a folder, perhaps, on a drive that is away
        try:
            entry.stat()
        except OSError as error:
            found.failures.append((Path(entry.path), f"the link leads nowhere: {_reason(error)}."))
            return
    found.others[suffix] += 1


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
