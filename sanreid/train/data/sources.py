"""From the sources of a configuration to the crops that a run trains on or is measured on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from sanreid.datasets import CropSet, merge_crops, read_crops, read_csv, read_split
from sanreid.datasets.combining import number_together
from sanreid.datasets.listed import listed_in
from sanreid.errors import DatasetError
from sanreid.train.config import SourceConfig
from sanreid.utils.arguments import first_repeated

__all__ = [
    "data_digest",
    "joined_for_evaluation",
    "joined_for_training",
    "read_source",
    "share_groups",
]


def read_source(source: SourceConfig, *, keep_ignored: bool = False) -> CropSet:
    """Read the crops of one source, without the identities that it excludes.

    Args:
        source: What to read.
        keep_ignored: Keep junk and distractors, as for a gallery.

    Raises:
        DatasetError: The folder, or a file of identities, is missing, lists nobody or leaves no
            crop.
    """
    if source.dataset:
        every = read_split(source.dataset, source.folder, source.split, source.options)
    elif Path(source.folder).suffix.lower() == ".csv":
        every = read_csv(source.folder)
    else:
        every = read_crops(source.folder, names=source.names)
    if source.name:  # for display only: the keys, and so the textures, do not depend on it
        every = replace(every, name=source.name)
    crops = every if keep_ignored else every.without_ignored()
    kept = np.ones(len(crops), dtype=np.bool_)
    if source.exclude_pids:
        kept &= ~listed_in(source.exclude_pids, [crops])[0]
    if source.only_pids:
        kept &= listed_in(source.only_pids, [crops])[0]
    crops = crops.select(kept)
    if source.one_camera:
        crops = replace(crops, camids=np.zeros_like(crops.camids))
    if source.max_identities:
        crops = crops.of_pids(crops.identities[: source.max_identities].tolist())
    if not len(crops):
        raise DatasetError(
            f"{source.folder} has {len(every)} crops, and none is left after exclude_pids, "
            "only_pids and max_identities."
        )
    return crops


def joined_for_evaluation(sets: Sequence[CropSet], *, same_people: bool = False) -> CropSet:
    """Concatenate evaluation sources; cameras keep their numbers.

    Args:
        sets: The sources.
        same_people: Equal pids in different sources are the same person; otherwise nobody is in
            two sources.
    """
    if same_people:
        sets = number_together(sets)
    pids, start = [], 1
    for crops in sets:
        moved = crops.pids if same_people else crops.pids - crops.pids.min() + start
        pids.append(moved)
        start = int(moved.max()) + 1
    return CropSet(
        name="+".join(crops.name for crops in sets),
        paths=tuple(path for crops in sets for path in crops.paths),
        pids=np.concatenate(pids),
        camids=np.concatenate([crops.camids for crops in sets]),
        keys=tuple(f"{n}/{key}" for n, crops in enumerate(sets) for key in crops.keys),
    )


def joined_for_training(sets: Sequence[CropSet], *, people: Sequence[str] = ()) -> CropSet:
    """Concatenate training sources; nobody is in two of them, unless ``people`` says so.

    The keys become distinct by the index of their source, so that folders may share a name.

    Args:
        sets: The sources; their crops stay in this order.
        people: For each source, a name that it shares with the sources of the same people and
            cameras; empty: its people and cameras are in no other. If omitted, all are empty.

    Raises:
        DatasetError: A crop is in two of the sources.
    """
    folder_of = cache(os.path.realpath)
    twice = first_repeated(
        Path(folder_of(path.parent), path.name) for crops in sets for path in crops.paths
    )
    if twice is not None:
        raise DatasetError(
            f"{twice} is in two of data.sources: its people would count as different ones. "
            "Name each folder once."
        )
    named = [
        replace(crops, keys=tuple(f"{n}/{key}" for key in crops.keys))
        for n, crops in enumerate(sets)
    ]
    groups: dict[str, list[int]] = {}
    for n in range(len(named)):
        groups.setdefault((people[n] if people else "") or f"\0{n}", []).append(n)
    merged = merge_crops([_same_people([named[n] for n in group]) for group in groups.values()])
    index_of = {key: index for index, key in enumerate(merged.keys)}
    return merged.select([index_of[key] for crops in named for key in crops.keys])


def share_groups(sources: Sequence[SourceConfig]) -> tuple[list[int], list[float]]:
    """Return the group of each source in the batches, and the share of each group.

    Those without a share, and of the same people as no source with one, are the last group.
    """
    names = [source.people or f"\0{n}" for n, source in enumerate(sources)]
    share_of = {
        name: source.share for name, source in zip(names, sources, strict=True) if source.share
    }
    said, shares = list(share_of), list(share_of.values())
    groups = [said.index(name) if name in share_of else len(said) for name in names]
    return groups, [*shares, 1 - sum(shares)] if len(said) in groups else shares


def _same_people(sets: Sequence[CropSet]) -> CropSet:
    """Concatenate sources of the same people under the same cameras.

    Numbers of people and cameras stay as they are; people with names are counted together.
    """
    sets = number_together(sets)
    return CropSet(
        name=sets[0].name,
        paths=tuple(path for crops in sets for path in crops.paths),
        pids=np.concatenate([crops.pids for crops in sets]),
        camids=np.concatenate([crops.camids for crops in sets]),
        keys=tuple(key for crops in sets for key in crops.keys),
        split=sets[0].split if len({crops.split for crops in sets}) == 1 else "",
    )


def data_digest(crops: CropSet) -> str:
    """Return a digest of the crops' keys, identities and cameras.

    A key begins with the name of the crop's folder; where that folder is does not matter.
    """
    digest = hashlib.sha256()
    rows = zip(crops.keys, crops.pids.tolist(), crops.camids.tolist(), strict=True)
    for key, pid, camid in rows:
        digest.update(f"{key} {pid} {camid}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
