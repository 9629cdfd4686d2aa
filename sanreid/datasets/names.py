"""One folder of crops: who and which camera, read from the file names.

The schemes are those of the data sets that made them common:

==============  ===========================  ================================================
scheme          file                         meaning
==============  ===========================  ================================================
``market1501``  ``PPPP_cCsS_FFFFFF_NN.jpg``  person (-1 junk, 0 distractor), camera, sequence,
                                             frame, box; ``PPPP_cC_...`` (DukeMTMC-reID,
                                             CUHK03-NP) is read too
``cuhk03``      ``IIII_VV.jpg``              person, view: 00-04 camera 0, 05-09 camera 1
``cuhk01``      ``IIIINNN.jpg``              person, shot: 001-002 camera 0, 003-004 camera 1
``pku``         ``PID/CC_V.jpg``             person, camera, view direction
``folders``     ``PERSON/anything.jpg``      one folder for each person; the camera is the number
                                             after ``c`` or ``cam`` in the file name
                                             (``c3_0001.jpg``, ``0001_cam2.png``), else 0
==============  ===========================  ================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from sanreid.datasets.crops import NUMBER, CropSet
from sanreid.errors import DatasetError, InputError

__all__ = ["IMAGE_SUFFIXES", "NameScheme", "examples", "list_images", "match_names", "read_crops"]

NameScheme = Literal["market1501", "cuhk03", "cuhk01", "pku", "folders"]

# The same as sanreid.images.IMAGE_SUFFIXES, which costs Pillow to import.
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


class _Scheme(NamedTuple):
    """How one scheme reads a path relative to the folder."""

    looks_like: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], tuple[int, int]]  # pid, camid
    ignored_pids: tuple[int, ...] = (-1,)


_FLAT = {
    "market1501": _Scheme(
        "PPPP_cCsS_FFFFFF_NN.jpg, for example 0002_c1s1_000451_03.jpg",
        re.compile(r"(-1|\d+)_c(\d+)(?:s\d+)?_[^/]*"),
        lambda m: (int(m[1]), int(m[2])),
        ignored_pids=(-1, 0),
    ),
    "cuhk03": _Scheme(
        "IIII_VV.jpg with views 00 to 09, for example 0012_07.jpg",
        re.compile(r"(\d{4})_(0\d)\.\w+"),
        lambda m: (int(m[1]), int(int(m[2]) >= 5)),
    ),
    "cuhk01": _Scheme(
        "IIIINNN.jpg with shots 001 to 004, for example 0012003.jpg",
        re.compile(r"(\d{4})(00[1-4])\.\w+"),
        lambda m: (int(m[1]), int(int(m[2]) >= 3)),
    ),
}
_PKU = _Scheme(
    "PID/CC_V.jpg, for example 003/01_5.jpg",
    re.compile(r"(\d+)/(\d\d)_\d\.\w+"),
    lambda m: (int(m[1]), int(m[2])),
)
_FOLDERS_LOOK_LIKE = "PERSON/anything.jpg, for example anna/c2_0001.jpg"
_CAMERA = re.compile(r"(?<![A-Za-z0-9])c(?:am(?:era)?[_-]?)?(\d+)", re.IGNORECASE)


def read_crops(
    folder: str | Path, *, names: NameScheme | Literal["auto"] = "auto", name: str | None = None
) -> CropSet:
    """Read one folder of crops, sorted by name. No image is opened.

    Files that are not images (by their suffix) are passed over; an image whose name does not
    fit the scheme is an error, because leaving it out silently would change a result.

    Args:
        folder: The folder that holds the crops, or for ``pku`` and ``folders`` the folders of
            the people.
        names: The scheme, see the table above; ``"auto"`` takes the one that all images fit.
        name: What to call the set; the folder's name when None. Keys begin with it.

    Raises:
        DatasetError: The folder is missing or empty, or its images do not fit the scheme.
        InputError: ``names`` is not a scheme.
    """
    known = (*get_args(NameScheme), "auto")
    if names not in known:
        raise InputError(f"names must be one of {', '.join(known)}; got {names!r}.")
    root = Path(folder)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {what}; a folder of person crops was wanted.")
    nested = names in ("pku", "folders")
    files = list_images(root, nested=nested)
    if names == "auto" and not files:
        nested = True
        files = list_images(root, nested=True)
    if not files:
        raise DatasetError(_nothing_found(root, names, nested=nested))

    scheme_name = _recognise(root, files, nested=nested) if names == "auto" else names
    title = name if name is not None else root.resolve().name
    if scheme_name == "folders":
        return _by_person_folder(root, files, title)
    scheme = _PKU if scheme_name == "pku" else _FLAT[scheme_name]
    return match_names(
        root, files, scheme.pattern, scheme.read, name=title, key_prefix=title,
        looks_like=f"{scheme_name} names them ({scheme.looks_like})",
        ignored_pids=scheme.ignored_pids,
    )  # fmt: skip


def match_names(
    root: Path,
    files: list[str],
    pattern: re.Pattern[str],
    read: Callable[[re.Match[str]], tuple[int, int]],
    *,
    name: str,
    key_prefix: str,
    looks_like: str,
    split: str = "",
    ignored_pids: tuple[int, ...] = (-1,),
) -> CropSet:
    """Make a set of files that must all fit one pattern.

    Args:
        root: The folder that ``files`` are relative to.
        files: Relative paths with ``/``.
        pattern: What the whole relative path must match.
        read: Gives pid and camid of a match.
        name: The set's name.
        key_prefix: What the keys begin with.
        looks_like: How the pattern is told to people.
        split: The set's split.
        ignored_pids: As in :class:`CropSet`.

    Raises:
        DatasetError: Some files do not fit.
    """
    matches = [pattern.fullmatch(file) for file in files]
    strange = [file for file, match in zip(files, matches, strict=True) if match is None]
    if strange:
        raise DatasetError(
            f"{len(strange)} of {len(files)} images in {root} are not named as {looks_like}; "
            f"found {examples(strange)}. Give another scheme, or move these files away."
        )
    numbers = np.array([read(m) for m in matches if m is not None], dtype=np.int64).reshape(-1, 2)
    return CropSet(
        name=name,
        paths=tuple(root / file for file in files),
        pids=numbers[:, 0],
        camids=numbers[:, 1],
        keys=tuple(f"{key_prefix}/{file}" for file in files),
        split=split,
        ignored_pids=ignored_pids,
    )


def list_images(root: Path, *, nested: bool = False) -> list[str]:
    """List image files by relative path with ``/``, sorted; hidden ones are passed over.

    Args:
        root: An existing folder.
        nested: False: the images right in ``root``. True: those in its folders, at any depth.
    """
    found: list[str] = []
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    if nested:
                        waiting.append(f"{prefix}{entry.name}/")
                elif bool(prefix) == nested and (
                    os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - much faster than a Path for each of 100,000 files
                ):
                    found.append(f"{prefix}{entry.name}")
    return sorted(found)


def _recognise(root: Path, files: list[str], *, nested: bool) -> NameScheme:
    """Name the one scheme that every file fits."""
    if nested:
        if all(map(_PKU.pattern.fullmatch, files)):
            return "pku"
        _refuse_several_sets(root, files)
        return "folders"
    for name in ("market1501", "cuhk03", "cuhk01"):
        if all(map(_FLAT[name].pattern.fullmatch, files)):
            return name
    looked_for = "".join(f"\n  {name:<11} {scheme.looks_like}" for name, scheme in _FLAT.items())
    raise DatasetError(
        f"The names of the {len(files)} images in {root} are of no scheme known here. "
        f"Looked for:{looked_for}\n  pku         {_PKU.looks_like}"
        f"\n  folders     {_FOLDERS_LOOK_LIKE}\nFound: {examples(files)}."
    )


def _refuse_several_sets(root: Path, files: list[str]) -> None:
    """A data set's root is no folder of people: its folders hold many people each."""
    deep = next((file for file in files if file.count("/") > 1), None)
    people: dict[str, set[str]] = {}
    for file in files:
        person, crop = file.rsplit("/", 1)
        match = next(filter(None, (s.pattern.fullmatch(crop) for s in _FLAT.values())), None)
        people.setdefault(person, set()).add(match[1] if match else "")
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


def _by_person_folder(root: Path, files: list[str], title: str) -> CropSet:
    """Read pids from the first folder of each path; if all are numbers, they keep their value."""
    people = [file.split("/", 1)[0] for file in files]
    distinct = sorted(set(people))
    numbers = [int(person) for person in distinct if NUMBER.fullmatch(person)]
    if len(set(numbers)) == len(distinct):
        pid_of = {person: int(person) for person in distinct}
    else:
        pid_of = {person: place for place, person in enumerate(distinct)}
    cameras = [_CAMERA.search(file.rsplit("/", 1)[1]) for file in files]
    return CropSet(
        name=title,
        paths=tuple(root / file for file in files),
        pids=np.array([pid_of[person] for person in people], dtype=np.int64),
        camids=np.array([int(m[1]) if m else 0 for m in cameras], dtype=np.int64),
        keys=tuple(f"{title}/{file}" for file in files),
        labels=tuple(people),
    )


def _nothing_found(root: Path, names: str, *, nested: bool) -> str:
    """Say what was looked for, and point to images that lie one level deeper."""
    where = "in the folders of" if nested else "right in"
    if names == "auto":
        where = "in or below"
    message = f"There are no images {where} {root} ({', '.join(sorted(IMAGE_SUFFIXES))})."
    inside = sorted(entry.name for entry in root.iterdir())
    message += f" It holds {examples(inside)}." if inside else " It is empty."
    deeper = [entry for entry in inside if (root / entry).is_dir()]
    if deeper and not nested:
        message += f" Is one of its folders meant, for example {root / deeper[0]}?"
    return message


def examples(names: list[str], most: int = 3) -> str:
    """Name the first few, for a message."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
