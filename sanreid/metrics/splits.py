"""How one set of crops becomes queries and galleries: one vocabulary for all who measure.

A split says which crops ask, and which each of them searches:

====================  ====================  ==================================================
split                 queries               gallery
====================  ====================  ==================================================
``cross-camera``      ``all``               ``cross-camera``: all crops of the other cameras
``market1501``        ``all``               ``all``
``first-per-camera``  ``first-per-camera``  ``rest``: the crops that are no query
====================  ====================  ==================================================

In every split the crops of the query's person under the query's camera are left out, itself among
them (the Market-1501 rule). In ``market1501`` other people under the query's camera stay in, so
a network with a camera bias is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.combining import first_per_camera
from sanreid.errors import InputError
from sanreid.metrics.labels import has_match
from sanreid.utils.arrays import shown

__all__ = ["SPLITS", "QuerySet", "find_split", "make_query_sets", "split_of"]

_QUERIES = ("all", "first-per-camera")
_GALLERIES = ("rest", "all", "cross-camera")
_PARTS = {
    "cross-camera": ("all", "cross-camera"),
    "market1501": ("all", "all"),
    "first-per-camera": ("first-per-camera", "rest"),
}
_OTHER_SPELLINGS = {"other-cameras": "cross-camera", "first-of-camera": "first-per-camera"}


class QuerySet(NamedTuple):
    """Queries that share a gallery, both as indices into the crops."""

    query: NDArray[np.int64]
    gallery: NDArray[np.int64]


def make_query_sets(
    pids: NDArray[np.int64],
    camids: NDArray[np.int64],
    *,
    queries: str,
    gallery: str,
    is_person: NDArray[np.bool_] | None = None,
) -> list[QuerySet]:
    """Divide crops into queries and galleries.

    Args:
        pids: (N,) people.
        camids: (N,) cameras.
        queries: ``"all"`` or ``"first-per-camera"`` (also ``"first_of_camera"``).
        gallery: ``"rest"``, ``"all"`` or ``"cross-camera"`` (also ``"other_cameras"``).
        is_person: (N,) which crops may ask; None: those with a pid above 0, as 0 stands for
            distractors and -1 for junk.

    Returns:
        The sets in which some query has a match under another camera: for ``"cross-camera"`` up
        to one per camera, else one or none.

    Raises:
        InputError: An unknown word for queries or gallery.
    """
    asks = _one_of(queries, _QUERIES, "queries")
    searched = _one_of(gallery, _GALLERIES, "gallery")
    is_query = (np.asarray(pids) > 0) if is_person is None else is_person.copy()
    if asks == "first-per-camera":
        is_query &= first_per_camera(pids, camids)
    if searched == "rest":
        masks = [(is_query, ~is_query)]
    elif searched == "all":
        masks = [(is_query, np.ones_like(is_query))]
    else:
        masks = [(is_query & (camids == c), camids != c) for c in np.unique(camids)]
    sets = [QuerySet(np.flatnonzero(query), np.flatnonzero(rest)) for query, rest in masks]
    return [
        one
        for one in sets
        if has_match(pids[one.query], camids[one.query], pids[one.gallery], camids[one.gallery])
    ]


Splitter = Callable[[NDArray[np.int64], NDArray[np.int64]], list[QuerySet]]

SPLITS: Mapping[str, Splitter] = {
    name: partial(make_query_sets, queries=queries, gallery=gallery)
    for name, (queries, gallery) in _PARTS.items()
}


def find_split(name: str) -> str:
    """Return the split's name, whichever spelling it comes in.

    Raises:
        InputError: There is no such split.
    """
    return _one_of(name, tuple(SPLITS), "split")


def split_of(queries: str, gallery: str) -> str | None:
    """Return the name of the split with these queries and this gallery; None if it has none."""
    parts = _one_of(queries, _QUERIES, "queries"), _one_of(gallery, _GALLERIES, "gallery")
    return next((name for name, known in _PARTS.items() if known == parts), None)


def _one_of(word: str, known: tuple[str, ...], what: str) -> str:
    plain = word.replace("_", "-") if isinstance(word, str) else ""
    found = _OTHER_SPELLINGS.get(plain, plain)
    if found not in known:
        raise InputError(f"{what} must be one of {', '.join(known)}; got {shown(word)}.")
    return found
