"""One folder of crops: who and which camera, read from the file names.

The schemes are those of :mod:`sanreid.datasets.schemes`. Where a name has to be guessed at, a
warning says what was guessed; where it looks wrong, an error says which option decides.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.crops import CropSet
from sanreid.datasets.people import JUNK, NUMBER, number_people
from sanreid.datasets.schemes import AUTO, SCHEMES, Names, NameScheme, Scheme, find_scheme
from sanreid.errors import DatasetError
from sanreid.utils.image_files import FoundImages, suffixes_for_messages, walk_images
from sanreid.utils.paths import as_path, exists, is_folder
from sanreid.utils.words import counted

__all__ = ["examples", "label_files", "list_images", "read_crops"]

logger = logging.getLogger(__name__)

_FLAT = (NameScheme.MARKET1501, NameScheme.MARS, NameScheme.CUHK03, NameScheme.CUHK01)
_SPLITS = frozenset(
    {
        "train", "training", "test", "testing", "val", "valid", "validation", "query",
        "queries", "probe", "gallery", "eval", "bounding_box_train", "bounding_box_test",
        "bbox_train", "bbox_test", "images", "labeled", "detected",
    }
)  # fmt: skip
_CAMERA_FOLDER = re.compile(r"cam(era)?s?([ _.-].+|\d+\w*)?", re.IGNORECASE)
_CAMERA_FOLDERS = re.compile(r"(c|ch|view|channel|ipcam|nvr)[ _.-]?(\d+)", re.IGNORECASE)


def read_crops(folder: str | Path, *, names: Names = AUTO, name: str | None = None) -> CropSet:
    r"""Read one folder of crops, sorted by name. No image is opened.

    Files that are not images (by their suffix) are skipped; an image whose name does not fit the
    scheme is an error, because leaving it out silently would change a result.

    Args:
        folder: The folder that holds the crops, or for ``pku`` and ``folders`` the folders of
            the people.
        names: The scheme: ``"market1501"``, ``"mars"``, ``"cuhk03"``, ``"cuhk01"``, ``"pku"`` or
            ``"folders"``, see the table above; ``"auto"`` takes the one that all images fit. Or
            a pattern of one's own, compiled or as ``"regex:(?P<pid>\w+)-cam(?P<camid>\d+)"``,
            for the path relative to ``folder``, with ``/``.
        name: What to call the set; the folder's name when None. Keys begin with it.

    Raises:
        DatasetError: The folder is missing or empty, a folder in it cannot be read, or its
            images do not fit the scheme.
        InputError: ``names`` is not a scheme.
    """
    scheme = find_scheme(names)
    root = as_path(folder, "a folder of person crops")
    if not is_folder(root):
        what = "is a file" if exists(root) else "does not exist"
        raise DatasetError(f"{root} {what}; a folder of person crops was wanted.")
    found = walk_images(root)
    here = [file for file in found.files if "/" not in file]
    below = [file for file in found.files if "/" in file]
    files = below if scheme is not None and scheme.nested else here
    if scheme is None or scheme.nested is None:
        files = here or below
    if files is not here or not here:
        _refuse_failures(found)
    if not files:
        raise DatasetError(_nothing_found(root, scheme))
    unread = len(here) + len(below) - len(files)
    if unread:
        where = "right in it" if files is below else "in its sub-folders"
        images = counted(unread, f"image {where} is", f"images {where} are")
        logger.warning("%s: %s not read by this scheme.", root, images)
    title = name if name is not None else root.resolve().name
    return label_files(root, files, scheme or _recognise(root, files), title)


def label_files(root: Path, files: Sequence[str], scheme: Scheme, title: str) -> CropSet:
    """Read person and camera of every file.

    Args:
        root: The folder that ``files`` are relative to.
        files: Relative paths with ``/``.
        scheme: How they are named.
        title: What to call the set; its keys begin with it.

    Raises:
        DatasetError: A name does not fit, or a camera's number is too large.
    """
    read = [scheme.read(file) for file in files]
    strange = [file for file, one in zip(files, read, strict=True) if one is None]
    if strange:
        looks_like = f"{scheme.name} names them ({scheme.looks_like})"
        if scheme.is_own:
            looks_like = scheme.looks_like
        raise DatasetError(
            f"{len(strange)} of {len(files)} images in {root} are not named as {looks_like}; "
            f"found {examples(strange)}. Give another scheme, or move these files away."
        )
    texts = [one[0] for one in read if one is not None]
    cameras = [one[1] for one in read if one is not None]
    by_folder = scheme is SCHEMES[NameScheme.FOLDERS]
    ignored = scheme.ignored_pids
    if by_folder and _has_distractors(root, files, texts):
        ignored = (-1, 0)
    pids, counted = number_people(texts, ignored)
    _warn_of_equal_numbers(root, texts, counted=counted)
    return CropSet(
        name=title,
        paths=tuple(root / file for file in files),
        pids=pids,
        camids=_number_cameras(root, files, cameras, scheme),
        keys=tuple(f"{title}/{file}" for file in files),
        labels=tuple(texts) if by_folder or counted else (),
        ignored_pids=ignored,
    )


def list_images(root: str | Path, *, nested: bool = False) -> list[str]:
    """List image files by relative path with ``/``, sorted.

    Hidden files, and what file servers leave behind, are skipped; links are followed.

    Args:
        root: An existing folder.
        nested: False: the images right in ``root``. True: those in its folders, at any depth.

    Raises:
        DatasetError: A folder cannot be read.
    """
    folder = as_path(root, "a folder of images")
    found = walk_images(folder, recursive=nested)
    _refuse_failures(found)
    return [file for file in found.files if nested == ("/" in file)]


def examples(names: Sequence[str], most: int = 3) -> str:
    """Name the first few, for a message."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _refuse_failures(found: FoundImages) -> None:
    if not found.failures:
        return
    path, reason = found.failures[0]
    more = f" ({len(found.failures) - 1} more)" if len(found.failures) > 1 else ""
    raise DatasetError(
        f"Cannot read '{path}'{more}: {reason} Leaving it out would change a result: make it "
        "readable, or move it away."
    )


def _recognise(root: Path, files: list[str]) -> Scheme:
    """Return the one scheme that every file fits."""
    nested = "/" in files[0]
    order = (NameScheme.PKU, NameScheme.MARS) if nested else _FLAT
    for name in order:
        if all(SCHEMES[name].pattern.fullmatch(file) for file in files):
            return SCHEMES[name]
    if nested:
        _refuse_cameras_and_splits(root, files)
        _refuse_several_sets(root, files)
        return SCHEMES[NameScheme.FOLDERS]
    looked_for = "".join(f"\n  {name:<11} {scheme.looks_like}" for name, scheme in SCHEMES.items())
    raise DatasetError(
        f"The names of the {len(files)} images in {root} are of no scheme known here. "
        f"Looked for:{looked_for}\nFound: {examples(files)}. A pattern of your own reads "
        r"others: names='regex:(?P<pid>\d+)_cam(?P<camid>\d+)'."
    )


def _refuse_cameras_and_splits(root: Path, files: list[str]) -> None:
    """Folders of cameras and splits are no people."""
    folders = sorted({file.split("/", 1)[0] for file in files})
    cameras = [folder for folder in folders if _CAMERA_FOLDER.fullmatch(folder)]
    if all(map(_CAMERA_FOLDERS.fullmatch, folders)):
        cameras = folders
    splits = [folder for folder in folders if folder.lower() in _SPLITS]
    if not cameras and not splits:
        return
    what, inside = ("cameras", cameras) if cameras else ("splits", splits)
    decides = f"Is one of its folders meant, for example {root / inside[0]}?"
    if cameras:
        decides = (
            "A pattern reads them; adapt this one to your names: "
            "names='regex:cam(?P<camid>[^/]+)/(?P<pid>[^_]+)'."
        )
    raise DatasetError(
        f"{root} looks like the root of a data set, not like one folder for each person: its "
        f"folders {examples(inside)} look like {what}. {decides} If the first folder of each path "
        "is a person, say names='folders'."
    )


def _refuse_several_sets(root: Path, files: list[str]) -> None:
    """A data set's root is no folder of people: its folders hold many people each."""
    deep = next((file for file in files if file.count("/") > 1), None)
    people: dict[str, set[str]] = {}
    for file in files:
        person, crop = file.rsplit("/", 1)
        match = next(filter(None, (SCHEMES[s].pattern.fullmatch(crop) for s in _FLAT)), None)
        people.setdefault(person, set()).add(match["pid"] if match else "")
    crowd = next((folder for folder, pids in people.items() if len(pids) > 1), None)
    if deep is None and crowd is None:
        return
    inside = (crowd or deep or "").split("/", 1)[0]
    found = deep or f"{crowd}, with crops of {len(people[crowd or ''])} people"
    raise DatasetError(
        f"{root} looks like the root of a data set, not like one folder for each person: it "
        f"holds {found}. Is one of its folders meant, for example {root / inside}? If the first "
        "folder of each path is a person, say names='folders'."
    )


def _has_distractors(root: Path, files: Sequence[str], people: Sequence[str]) -> bool:
    """Return whether folder 0000 holds distractors: it has Market-1501's names, or -1 is there.

    Data sets that count their people from 0 have such a folder too.
    """
    market = SCHEMES[NameScheme.MARKET1501].pattern
    zeros = [
        file.rsplit("/", 1)[1]
        for file, person in zip(files, people, strict=True)
        if person.isascii() and person.isdigit() and not person.strip("0")
    ]
    if not zeros:
        return False
    found = not JUNK.isdisjoint(people) or all(map(market.fullmatch, zeros))
    logger.warning(
        "%s: %d crops in a folder 0 are %s.",
        root,
        len(zeros),
        "distractors, nobody in particular, as in Market-1501"
        if found
        else "person 0; in Market-1501, 0000 holds distractors",
    )
    return found


def _warn_of_equal_numbers(root: Path, texts: Sequence[str], *, counted: bool) -> None:
    """Warn about different names that stand for the same number, such as 7 and 007."""
    if not counted:
        return
    of: dict[int, list[str]] = {}
    for text in sorted(set(texts)):
        if NUMBER.fullmatch(text):
            of.setdefault(int(text), []).append(text)
    alike = [names for names in of.values() if len(names) > 1]
    if alike:
        logger.warning(
            "%s: %s are taken for different people, though they are one number.",
            root,
            examples(alike[0]),
        )


def _number_cameras(
    root: Path, files: Sequence[str], texts: Sequence[str | None], scheme: Scheme
) -> NDArray[np.int64]:
    """Return (N,) cameras; 0 where the name has none, with a warning."""
    unknown = sum(text is None for text in texts)
    if unknown:
        logger.warning(
            "%s: the names of %s tell no camera, so they have camera 0. Evaluation compares crops "
            "of different cameras; names='regex:...' reads names of your own.",
            root,
            f"all {len(texts)} images" if unknown == len(texts) else f"{unknown} of {len(texts)}",
        )
    known = {text for text in texts if text is not None}
    if scheme.to_camera is not None:
        number_of = {text: scheme.to_camera(text) for text in known}
    elif all(text.isdecimal() for text in known):
        number_of = {text: int(text) for text in known}
    else:
        number_of = {text: number for number, text in enumerate(sorted(known))}
        logger.info("%s: cameras are numbered in the order of their names: %s", root, number_of)
    large = next((t for t in texts if t is not None and number_of[t] >= 2**63), None)
    if large is not None:
        raise DatasetError(
            f"{files[texts.index(large)]!r} in {root} names camera {large}, which is too large "
            "for a camera. Is it a time? names='regex:...' says where the camera stands."
        )
    return np.array([0 if t is None else number_of[t] for t in texts], dtype=np.int64)


def _nothing_found(root: Path, scheme: Scheme | None) -> str:
    """Return what was searched for, and a hint if images lie one level deeper."""
    nested = scheme is not None and scheme.nested
    where = "in the folders of" if nested else "right in"
    if scheme is None or scheme.nested is None:
        where = "in or below"
    message = f"There are no images {where} {root} ({suffixes_for_messages()})."
    inside = sorted(entry.name for entry in root.iterdir())
    message += f" It holds {examples(inside)}." if inside else " It is empty."
    deeper = [entry for entry in inside if (root / entry).is_dir()]
    if deeper and where == "right in":
        message += f" Is one of its folders meant, for example {root / deeper[0]}?"
    return message
