r"""How file names contain person and camera: the known schemes, and patterns of one's own.

A scheme is a regular expression over a file's path relative to its folder, with the groups
``pid`` and ``camid``. Those with a name are those of the data sets that made them common:

==============  ===========================  ================================================
scheme          file                         meaning
==============  ===========================  ================================================
``market1501``  ``PPPP_cCsS_FFFFFF_NN.jpg``  person (-1 junk, 0 distractor), camera, sequence,
                                             frame, box; ``PPPP_cC_...`` (DukeMTMC-reID,
                                             CUHK03-NP) is read too
``mars``        ``PPPPCcTttttFfff.jpg``      person (-1 or 00-1 junk, 0 distractor), camera,
                                             tracklet, frame, in folders of people or not;
                                             ``PPPP_Cc_Fffff_Xxxxx.jpg`` (DukeMTMC-VideoReID)
                                             is read too
``cuhk03``      ``IIII_VV.jpg``              person, view: 00-04 camera 0, 05-09 camera 1
``cuhk01``      ``IIIINNN.jpg``              person, shot: 001-002 camera 0, 003-004 camera 1
``pku``         ``PID/CC_V.jpg``             person, camera, view direction
``folders``     ``PERSON/anything.jpg``      one folder for each person; the camera is the number
                                             after ``c`` or ``cam`` in the file name
                                             (``c3_0001.jpg``, ``0001_cam2.png``), or else in a
                                             folder below the person (``cam2/0001.png``), or 0
``regex:...``   a pattern of one's own       ``regex:(?P<pid>\w+)-cam(?P<camid>\d+)``
==============  ===========================  ================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from sanreid.errors import InputError

__all__ = ["AUTO", "SCHEMES", "NameScheme", "Names", "Scheme", "check_names", "find_scheme"]

AUTO = "auto"
_REGEX = "regex:"


class NameScheme(StrEnum):
    """The schemes that have a name."""

    MARKET1501 = "market1501"
    MARS = "mars"
    CUHK03 = "cuhk03"
    CUHK01 = "cuhk01"
    PKU = "pku"
    FOLDERS = "folders"


Names: TypeAlias = str | NameScheme | re.Pattern[str]
"""A scheme, ``"auto"``, ``"regex:PATTERN"`` or a compiled pattern."""

CAMERA = re.compile(  # the c17c of a hash is none: a lone c needs an end, or what no hash has, s1
    r"(?<![A-Za-z0-9])(?:cam(?:era)?[_-]?|c(?=\d+(?:[fst]\d|[^A-Za-z0-9]|$)))(\d+)",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one scheme reads a path relative to the folder.

    Args:
        name: What the scheme is called.
        looks_like: The names, described for messages.
        pattern: Matches the path; its groups ``pid`` and, but for folders, ``camid`` count.
        nested: True: images lie in folders. False: right in the folder. None: at any depth.
        to_camera: From the group ``camid`` to the camera; None: its number, or, where cameras
            have names, their count.
        ignored_pids: Numbers that are no person.
        is_own: A pattern of the caller's, which may match a part of the path.
    """

    name: str
    looks_like: str
    pattern: re.Pattern[str]
    nested: bool | None = False
    to_camera: Callable[[str], int] | None = None
    ignored_pids: tuple[int, ...] = (-1,)
    is_own: bool = False

    def read(self, file: str) -> tuple[str, str | None] | None:
        """Return the texts of person and camera, None where the name does not fit.

        The camera is None where the name has none.
        """
        match = self.pattern.fullmatch(file)
        if match is None and self.is_own:
            match = self.pattern.search(file)
        if match is None or not match["pid"]:
            return None
        if "camid" in self.pattern.groupindex:
            return (match["pid"], match["camid"] or None)
        if self.is_own:
            return (match["pid"], None)
        *folders, name = _UUID.sub("", file).split("/")[1:]  # one in sixty has a part like c174
        found = CAMERA.search(name) or CAMERA.search("/".join(folders))
        return (match["pid"], found[1] if found else None)


SCHEMES: Mapping[NameScheme, Scheme] = {
    NameScheme.MARKET1501: Scheme(
        "market1501",
        "PPPP_cCsS_FFFFFF_NN.jpg, for example 0002_c1s1_000451_03.jpg",
        re.compile(r"(?P<pid>-1|\d+)_c(?P<camid>\d+)(?:s\d+)?_[^/]*"),
        ignored_pids=(-1, 0),
    ),
    NameScheme.MARS: Scheme(
        "mars",
        "PPPPCcTttttFfff.jpg, for example 0001C2T0001F001.jpg",
        re.compile(
            r"(?:(?P<folder>[^/]+)/(?:[^/]+/)?)?"
            r"(?P<pid>(?(folder)(?P=folder)|(?:-1|00-1|\d+)))_?C(?P<camid>\d+)_?"
            r"(?:T\d+)?F\d+(?:_?X\d+)?\.\w+"
        ),
        nested=None,
        ignored_pids=(-1, 0),
    ),
    NameScheme.CUHK03: Scheme(
        "cuhk03",
        "IIII_VV.jpg with views 00 to 09, for example 0012_07.jpg",
        re.compile(r"(?P<pid>\d{4})_(?P<camid>0\d)\.\w+"),
        to_camera=lambda view: int(int(view) >= 5),
    ),
    NameScheme.CUHK01: Scheme(
        "cuhk01",
        "IIIINNN.jpg with shots 001 to 004, for example 0012003.jpg",
        re.compile(r"(?P<pid>\d{4})(?P<camid>00[1-4])\.\w+"),
        to_camera=lambda shot: int(int(shot) >= 3),
    ),
    NameScheme.PKU: Scheme(
        "pku",
        "PID/CC_V.jpg, for example 003/01_5.jpg",
        re.compile(r"(?P<pid>\d+)/(?P<camid>\d\d)_\d\.\w+"),
        nested=True,
    ),
    NameScheme.FOLDERS: Scheme(
        "folders",
        "PERSON/anything.jpg, for example anna/c2_0001.jpg",
        re.compile(r"(?P<pid>[^/]+)/.+", re.DOTALL),
        nested=True,
    ),
}


def find_scheme(names: object) -> Scheme | None:
    """Return the scheme that a caller asks for; None for ``"auto"``.

    Raises:
        InputError: Neither a scheme nor a pattern with a group ``pid``.
    """
    if isinstance(names, re.Pattern):
        return _own(names)
    if isinstance(names, str):
        if names == AUTO:
            return None
        if names in NameScheme.__members__.values():
            return SCHEMES[NameScheme(names)]
        if names.startswith(_REGEX):
            try:
                return _own(re.compile(names.removeprefix(_REGEX)))
            except re.error as error:
                raise InputError(f"{names!r} is no regular expression: {error}.") from None
    known = ", ".join((*NameScheme, AUTO))
    raise InputError(
        f"names must be one of {known}, or {_REGEX}PATTERN with the groups pid and camid; "
        f"got {names!r}."
    )


def check_names(names: object) -> None:
    """Refuse what is no naming scheme.

    Raises:
        InputError: As in :func:`find_scheme`.
    """
    find_scheme(names)


def _own(pattern: re.Pattern[str]) -> Scheme:
    source: object = pattern.pattern  # bytes, in spite of its type, where the caller has no types
    if not isinstance(source, str) or "pid" not in pattern.groupindex:
        raise InputError(
            "A naming pattern is a text with a group for the person and one for the camera, "
            rf"for example regex:(?P<pid>\d+)_cam(?P<camid>\d+); got {source!r}."
        )
    return Scheme(
        f"{_REGEX}{pattern.pattern}",
        f"the pattern {pattern.pattern} wants them",
        pattern,
        nested=None,
        is_own=True,
    )
