"""A set of person crops on disk: the path, the person and the camera of each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.datasets.people import JUNK, PersonNumbers, people_of
from sanreid.errors import InputError
from sanreid.utils.arrays import shown

__all__ = ["CropSet", "Dataset"]


@dataclass(frozen=True, slots=True, eq=False)
class CropSet:
    """Crops with their identities and cameras, all in one order. N crops.

    Args:
        name: What the set is called in reports, for example ``"market1501"``.
        paths: N image files.
        pids: (N,) int64, person identities as the data names them. Where people have names that
            are no numbers, pids count them within this set only.
        camids: (N,) int64, cameras as the data names them.
        keys: N distinct names that stay the same when the folder moves and keeps its own name;
            the textures made for the crops are filed under them. Left out: the path's last two
            parts.
        labels: N identity names where the data names people by folders or by text, else empty.
        split: ``"train"``, ``"query"``, ``"gallery"`` or empty.
        ignored_pids: pids that are no single person: -1 is junk everywhere; Market-1501 adds 0,
            its distractors.

    Raises:
        InputError: The lengths differ, or a pid or camid is not a whole number.

    >>> crops = CropSet("two", (Path("a/1.jpg"), Path("a/2.jpg")), [7, 8], [0, 1])
    >>> len(crops), crops.num_identities, crops.of_pids([8]).keys
    (2, 2, ('a/2.jpg',))
    """

    name: str
    paths: tuple[Path, ...]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    keys: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    split: str = ""
    ignored_pids: tuple[int, ...] = (-1,)

    def __post_init__(self) -> None:
        paths = tuple(map(Path, _texts(self.paths, "paths", (str, os.PathLike))))
        keys = _texts(self.keys, "keys", (str,))
        _set(self, "paths", paths)
        _set(self, "keys", keys or tuple("/".join(p.parts[-2:]) for p in paths))
        _set(self, "labels", _texts(self.labels, "labels", (str,)))
        for name in ("pids", "camids"):
            _set(self, name, _whole_numbers(getattr(self, name), name, len(paths)))
        for name, wanted in (("keys", (len(paths),)), ("labels", (0, len(paths)))):
            if len(getattr(self, name)) not in wanted:
                raise InputError(
                    f"{name} must be one for each of the {len(paths)} paths; "
                    f"got {len(getattr(self, name))}."
                )
        if self.labels:
            _set(self, "pids", self._named_pids())

    def _named_pids(self) -> NDArray[np.int64]:
        """Return the pids with the names they stand for, where they are not the names' numbers."""
        pairs = set(zip(self.pids.tolist(), self.labels, strict=True))
        pairs = {(pid, label) for pid, label in pairs if pid not in self.ignored_pids}
        names = dict(pairs)
        who = people_of(names.values())
        is_ambiguous = len({label for _, label in pairs}) < len(pairs) or len(names) < len(pairs)
        if is_ambiguous or all(who[label] == pid for pid, label in names.items()):
            return self.pids
        return PersonNumbers.of(self.pids, names)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return (
            f"CropSet({self.name!r}, {len(self)} crops of {self.num_identities} people "
            f"under {len(np.unique(self.camids))} cameras)"
        )

    @property
    def identities(self) -> NDArray[np.int64]:
        """The distinct pids in rising order, without ``ignored_pids``."""
        pids = np.unique(self.pids)
        return pids[~np.isin(pids, self.ignored_pids)]

    @property
    def num_identities(self) -> int:
        """How many people there are."""
        return len(self.identities)

    @property
    def people(self) -> list[int | str | None]:
        """N identities as a gallery takes them.

        The pid, None for ``ignored_pids``. Where there are labels: the number of a label that is
        a number, unless two are written for one number (7 and 07), and None for -1; the others
        are names, as they are.
        """
        if not self.labels:
            return [None if pid in self.ignored_pids else pid for pid in self.pids.tolist()]
        who = people_of(self.labels)
        return [
            None if pid in self.ignored_pids or label in JUNK else who[label]
            for pid, label in zip(self.pids.tolist(), self.labels, strict=True)
        ]

    def select(self, which: ArrayLike) -> CropSet:
        """Return some of the crops.

        Args:
            which: (N,) bool, or (M,) int indices in the order wanted.

        Raises:
            InputError: A mask of another length, indices outside the set, or neither kind.
        """
        chosen = _as_array(which, "which")
        if chosen.size == 0 and chosen.dtype != np.bool_:
            chosen = chosen.astype(np.int64)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise InputError(
                    f"A mask must have shape ({len(self)},), one value for each crop; "
                    f"got {chosen.shape}."
                )
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer):
            raise InputError(
                "select() takes a bool mask or a list of whole numbers; "
                f"got {chosen.dtype} of shape {chosen.shape}."
            )
        wrong = chosen[(chosen < -len(self)) | (chosen >= len(self))]
        if wrong.size:
            raise InputError(
                f"Indices must be at least {-len(self)} and below {len(self)}; got {wrong[0]}."
            )
        indices = chosen.tolist()
        return CropSet(
            name=self.name,
            paths=tuple(self.paths[i] for i in indices),
            pids=self.pids[chosen],
            camids=self.camids[chosen],
            keys=tuple(self.keys[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices) if self.labels else (),
            split=self.split,
            ignored_pids=self.ignored_pids,
        )

    def of_pids(self, pids: Iterable[int]) -> CropSet:
        """Return the crops of these people."""
        return self.select(self._are_of(pids))

    def without_pids(self, pids: Iterable[int]) -> CropSet:
        """Return the crops of everybody else."""
        return self.select(~self._are_of(pids))

    def without_ignored(self) -> CropSet:
        """Return the crops without junk and distractors; training needs this."""
        return self.without_pids(self.ignored_pids)

    def _are_of(self, pids: Iterable[int]) -> NDArray[np.bool_]:
        """Return (N,) bool, which crops are of these people."""
        try:
            wanted = np.array(list(pids))
        except (TypeError, ValueError) as error:
            raise InputError(f"pids must be several pids; got {shown(pids)}.") from error
        if wanted.size and (wanted.ndim != 1 or wanted.dtype.kind not in "iu"):
            raise InputError(f"pids must be whole numbers; got {shown(pids)}.")
        return np.isin(self.pids, wanted)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One data set under one protocol. A split the data does not have is empty.

    Args:
        name: The data set and, where it has several, the protocol.
        train: Crops to learn from.
        query: Crops that ask.
        gallery: Crops that are searched.
    """

    name: str
    train: CropSet
    query: CropSet
    gallery: CropSet

    def summary(self) -> str:
        """Return a small table: identities, crops and cameras of each split."""
        rows = [f"{self.name:<28} identities   crops  cameras"]
        for split in ("train", "query", "gallery"):
            crops: CropSet = getattr(self, split)
            cameras = len(np.unique(crops.camids))
            rows.append(f"  {split:<26} {crops.num_identities:>10} {len(crops):>7} {cameras:>8}")
        return "\n".join(rows)


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except Exception as error:  # each library has its own
        raise InputError(f"{name} cannot be read as an array: {error}") from error


def _texts(values: Iterable[Any], name: str, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a sequence, one for each crop; got {shown(values)}.")
    texts = tuple(values)
    wrong = [one for one in texts if not isinstance(one, kinds)]
    if wrong:
        wanted = "paths" if len(kinds) > 1 else "texts"
        raise InputError(f"{name} must be {wanted}; got {shown(wrong[0])} among them.")
    return texts


def _whole_numbers(values: ArrayLike, name: str, length: int) -> NDArray[np.int64]:
    array = _as_array(values, name)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} must be whole numbers; got {array.dtype}.")
    if array.dtype.kind == "u" and (array > np.iinfo(np.int64).max).any():
        raise InputError(f"{name} must fit in 64 bits with a sign; got {array.max()}.")
    if array.shape != (length,):
        raise InputError(
            f"{name} must have shape ({length},), one for each path; got {array.shape}."
        )
    array = array.astype(np.int64)  # a copy: the caller's array is not locked
    array.flags.writeable = False
    return array


def _set(target: object, name: str, value: object) -> None:
    object.__setattr__(target, name, value)  # the classes are frozen
