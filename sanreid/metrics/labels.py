"""Who is who, and seen by which camera: which entries a query may find, and which are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.datasets.cameras import as_camids, named, read_names
from sanreid.datasets.people import PersonNumbers
from sanreid.errors import InputError
from sanreid.metrics.checks import as_array
from sanreid.utils.arrays import check_int64, plain_values, whole, wrong_value

__all__ = ["DISTRACTOR", "JUNK", "Labels", "as_pids", "has_match"]

JUNK = -1  #: gallery pid: a bad crop, left out of the ranking
DISTRACTOR = 0  #: gallery pid that no query carries: entries of nobody in particular


def as_pids(pids: ArrayLike, count: int, name: str) -> NDArray[Any]:
    """Return (count,) pids, each an int or a str; InputError naming the first that is neither.

    Numbers that stand for names in one set of crops become those names, which the numbers of
    another set share.
    """
    if isinstance(pids, PersonNumbers) and pids.person_names:
        pids = np.array(pids.people(), dtype=object)
    return _vector(pids, count, name)


def _pids_as_integers(
    query: NDArray[Any], gallery: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the people; -1 (junk, as a text too) and the integer 0 (distractor) keep theirs."""
    if query.dtype.kind in "iu" and gallery.dtype.kind in "iu":
        return query.astype(np.int64), gallery.astype(np.int64)
    numbers: dict[int | str, int] = {JUNK: JUNK, str(JUNK): JUNK, DISTRACTOR: DISTRACTOR}
    both = [numbers.setdefault(pid, len(numbers)) for pid in query.tolist() + gallery.tolist()]
    return np.array(both[: len(query)], np.int64), np.array(both[len(query) :], np.int64)


class Labels:
    """Checked pids and camids of an evaluation.

    Args:
        query_pids: (Q,) int or str.
        query_camids: (Q,) int or a name.
        gallery_pids: (G,) int or str; -1 junk, 0 a distractor where no query carries it.
        gallery_camids: (G,) int or a name.
        shape: (Q, G), both at least 1.

    Attributes:
        query_pids: (Q,) as given.
        ranked: (R,) indices of the entries that are not junk, rising; None when all are.
        order: (R,) indices into the ranked entries, sorted by person, rising within one.
        sorted_pids: (R,) int64, their persons.
        nobody: (R,) bool, which of them are distractors and hence not one person.

    Raises:
        InputError: A label of the wrong kind, or not one per row.
    """

    def __init__(
        self,
        query_pids: ArrayLike,
        query_camids: ArrayLike,
        gallery_pids: ArrayLike,
        gallery_camids: ArrayLike,
        shape: tuple[int, int],
    ) -> None:
        self.query_pids = as_pids(query_pids, shape[0], "query_pids")
        query_camids, self._camera_names = read_names(query_camids, name="query_camids")
        self._query_camids = as_camids(query_camids, shape[0], name="query_camids", optional=False)
        gallery_given = as_pids(gallery_pids, shape[1], "gallery_pids")
        camids = as_camids(gallery_camids, shape[1], name="gallery_camids", optional=False)
        self._query_ids, ids = _pids_as_integers(self.query_pids, gallery_given)

        self.ranked = np.flatnonzero(ids != JUNK) if (ids == JUNK).any() else None
        if self.ranked is not None:
            ids, camids = ids[self.ranked], camids[self.ranked]
        self.order = np.argsort(ids, kind="stable")
        self.sorted_pids = ids[self.order]
        self._camids = camids[self.order]
        counted_from_0 = bool((self._query_ids == DISTRACTOR).any())
        self.nobody = (self.sorted_pids == DISTRACTOR) & (not counted_from_0)
        self._starts = np.searchsorted(self.sorted_pids, self._query_ids, side="left")
        self._ends = np.searchsorted(self.sorted_pids, self._query_ids, side="right")

    def of(self, query: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return a query's matches, and its person's entries under its own camera; both rising."""
        person = slice(self._starts[query], self._ends[query])
        entries = self.order[person]
        own_camera = self._camids[person] == self._query_camids[query]
        return entries[~own_camera], entries[own_camera]

    def pid(self, query: int) -> int:
        """Return the number of the query's person, as in ``sorted_pids``."""
        return int(self._query_ids[query])

    def why_no_match(self) -> str:
        """Return the reason, in words, that no query has an admissible match."""
        seen = int((self._ends > self._starts).sum())
        if not seen:
            return (
                "no query pid occurs in the gallery (-1 is junk there). Check that "
                "both sides number people alike."
            )
        cameras = np.union1d(self._query_camids, self._camids)
        (first, *others) = named(cameras.tolist(), self._camera_names)
        note = "" if others else f" (every camera id is {first})"
        return (
            f"{seen} of {len(self._query_ids)} queries have entries of their person in the "
            f"gallery, but only under their own camera, which the rule leaves out{note}. Give "
            "the real camera ids, or, if every entry shall count, query camids that the gallery "
            "does not have."
        )


def _vector(values: ArrayLike, count: int, name: str) -> NDArray[Any]:
    array = as_array(values, name)
    if array.dtype.kind == "U" and not isinstance(values, np.ndarray):
        array = np.asarray(values, dtype=object)  # NumPy makes a str of the 1 in [1, "a"]
    if array.shape != (count,):
        raise InputError(
            f"{name} need one value per row, {count} in all; got shape {array.shape}."
        )
    if not isinstance(array, np.ma.MaskedArray):
        if array.dtype.kind in "iU":
            return array
        if array.dtype.kind == "f" and ((array == np.rint(array)) & (abs(array) < 2**63)).all():
            return array.astype(np.int64)
    plain = plain_values(values, name)
    if array.dtype.kind == "f":  # a list of floats
        plain = [whole(value) for value in plain]
    for row, value in enumerate(plain):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise wrong_value(name, "int or str", row, value, optional=False)
        if isinstance(value, int):
            check_int64(value, row, name)
    labels = np.empty(count, dtype=object)  # np.array(plain) would make a str of 1 beside "a"
    labels[:] = plain
    return labels.astype(np.int64) if array.dtype.kind == "u" else labels


def has_match(
    query_pids: NDArray[np.int64],
    query_camids: NDArray[np.int64],
    gallery_pids: NDArray[np.int64],
    gallery_camids: NDArray[np.int64],
) -> bool:
    """Return whether some query has an entry of its person under another camera.

    Args:
        query_pids: (Q,) people; no junk and no distractors.
        query_camids: (Q,) cameras.
        gallery_pids: (G,) people.
        gallery_camids: (G,) cameras.
    """
    cameras: dict[int, set[int]] = {}
    for pid, camid in set(zip(gallery_pids.tolist(), gallery_camids.tolist(), strict=True)):
        cameras.setdefault(pid, set()).add(camid)
    asked = zip(query_pids.tolist(), query_camids.tolist(), strict=True)
    return any(cameras.get(pid, set()) - {camid} for pid, camid in asked)
