"""Crop sets taken apart and put together: queries against a gallery, several sources as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.crops import CropSet
from sanreid.datasets.people import NUMBER, number_people, people_of
from sanreid.errors import InputError
from sanreid.utils.arguments import check_kind, first_repeated

__all__ = ["first_per_camera", "merge_crops", "number_together", "split_by_camera"]


def split_by_camera(crops: CropSet) -> tuple[CropSet, CropSet]:
    """Make queries and a gallery out of one set of crops.

    The first crop of each person under each camera is a query; the rest is the gallery. Junk and
    distractors stay in the gallery. A query whose person no other camera saw cannot be answered;
    the evaluation does not count it.

    Returns:
        The queries and the gallery, each in the order of ``crops``.
    """
    check_kind(crops, "crops", CropSet, "a CropSet")
    is_query = first_per_camera(crops.pids, crops.camids)
    is_query &= ~np.isin(crops.pids, crops.ignored_pids)
    query, gallery = crops.select(is_query), crops.select(~is_query)
    return replace(query, split="query"), replace(gallery, split="gallery")


def first_per_camera(pids: NDArray[np.int64], camids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,) bool: True for the first crop of each person under each camera."""
    pairs = np.stack([np.asarray(pids), np.asarray(camids)], axis=1)
    is_first = np.zeros(len(pairs), dtype=bool)
    is_first[np.unique(pairs, axis=0, return_index=True)[1]] = True
    return is_first


def merge_crops(sets: Sequence[CropSet], *, name: str = "merged") -> CropSet:
    """Put several sources together; no person and no camera is shared between two of them.

    Junk and distractors are left out. pids and camids of each source are shifted so
    that they follow those of the sources before it; the first source keeps its own.

    Raises:
        InputError: No source, or two crops have the same key (the same folder twice, or two
            folders of the same name: give them different names).
    """
    check_kind(sets, "sets", Sequence, "a sequence of CropSet")
    for crops in sets:
        check_kind(crops, "each set", CropSet, "a CropSet")
    if not sets:
        raise InputError("merge_crops() needs at least one set of crops; got none.")
    kept = [crops.without_ignored() for crops in sets]
    keys = tuple(key for crops in kept for key in crops.keys)
    twice = first_repeated(keys)
    if twice is not None:
        raise InputError(
            f"Two crops have the key {twice!r}: the same folder is given twice, or two sources "
            "share a name. Give each source its own name."
        )
    return CropSet(
        name=name,
        paths=tuple(path for crops in kept for path in crops.paths),
        pids=_concatenate_shifted([crops.pids for crops in kept]),
        camids=_concatenate_shifted([crops.camids for crops in kept]),
        keys=keys,
        split=kept[0].split if len({crops.split for crops in kept}) == 1 else "",
    )


def number_together(sets: Sequence[CropSet]) -> list[CropSet]:
    """Number the people of several sets once, so that equal pids are the same person.

    Sets whose people are all numbers keep them; people with names are counted in each set for
    itself, and here for all sets together. ``7`` and ``0007`` are one person, unless one set has
    people of both names.
    """
    if not any(crops.labels for crops in sets):
        return list(sets)
    texts = _names_of_all(sets)
    ignored = tuple(sorted({pid for crops in sets for pid in crops.ignored_pids}))
    pids, counted = number_people([text for own in texts for text in own], ignored)
    if not counted:
        return list(sets)
    parts = np.split(pids, np.cumsum([len(crops) for crops in sets])[:-1])
    return [
        replace(crops, pids=own, labels=crops.labels or names, ignored_pids=ignored)
        for crops, own, names in zip(sets, parts, texts, strict=True)
    ]


def _names_of_all(sets: Sequence[CropSet]) -> list[tuple[str, ...]]:
    """Return each set's names, numbers spelled without leading zeros where no set needs them."""
    people = [people_of(crops.labels) for crops in sets]
    needed = {  # numbers that a set has two spellings of, each a person
        int(text)
        for who in people
        for text, person in who.items()
        if person == text and NUMBER.fullmatch(text)
    }
    plain = {
        text: str(person)
        for who in people
        for text, person in who.items()
        if person != text and person not in needed
    }
    return [
        tuple(plain.get(text, text) for text in crops.labels or map(str, crops.pids.tolist()))
        for crops in sets
    ]


def _concatenate_shifted(numbers: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Concatenate, each array shifted so that it starts after the largest so far."""
    shifted: list[NDArray[np.int64]] = []
    start: int | None = None
    for numbers_of_one in numbers:
        array = np.asarray(numbers_of_one)  # shifted, they stand for no names
        if array.size:
            shift = 0 if start is None else start - int(array.min())
            shifted.append(array + shift)
            start = int(shifted[-1].max()) + 1
    return np.concatenate(shifted) if shifted else np.zeros(0, dtype=np.int64)
