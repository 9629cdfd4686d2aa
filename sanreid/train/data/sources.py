"""From the configuration's folders to the crops a run trains and is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sanreid.datasets import CropSet, merge_crops, read_crops, read_split
from sanreid.datasets.combining import number_together
from sanreid.errors import DatasetError
from sanreid.train.config import SourceConfig
from sanreid.train.data import CropStore
from sanreid.train.data.transforms import CameraLooks

__all__ = [
    "camera_looks",
    "data_digest",
    "joined_for_evaluation",
    "joined_for_training",
    "read_source",
    "step_generator",
]


def read_source(source: SourceConfig, *, keep_ignored: bool = False) -> CropSet:
    """Read one source's crops, left-out identities removed.

    Args:
        source: What to read.
        keep_ignored: Keep junk and distractors, as a gallery does.

    Raises:
        DatasetError: The folder, or a file of identities, is missing or leaves nothing over.
    """
    if source.dataset:
        every = read_split(source.dataset, source.folder, source.split, source.options)
    else:
        every = read_crops(source.folder, names=source.names)
    if source.name:  # for people alone: the keys, and so the textures, do not depend on it
        every = replace(every, name=source.name)
    crops = every if keep_ignored else every.without_ignored()
    if source.exclude_pids:
        listed = _listed(crops, source.exclude_pids)
        if not listed.any():
            raise DatasetError(
                f"Nobody of {source.folder} is listed in {source.exclude_pids}, so nobody would "
                "be left out: is it the list of another data set?"
            )
        crops = crops.select(~listed)
    if source.only_pids:
        crops = crops.select(_listed(crops, source.only_pids))
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
    """Put evaluation sources together; cameras keep their numbers.

    Args:
        sets: The sources.
        same_people: Equal pids in different sources are the same person; else nobody is in two.
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


def joined_for_training(sets: Sequence[CropSet]) -> CropSet:
    """Put training sources together: nobody is in two of them, and no camera is either.

    The keys become distinct by each source's place, so that folders may have the same name.

    Raises:
        DatasetError: A crop is in two of the sources.
    """
    paths = [path for crops in sets for path in crops.paths]
    if len(set(paths)) != len(paths):
        seen: set[Path] = set()
        twice = next(path for path in paths if path in seen or seen.add(path))  # type: ignore[func-returns-value] # add() gives None, which is the point
        raise DatasetError(
            f"{twice} is in two of data.sources: its people would count as different ones. "
            "Name each folder once."
        )
    return merge_crops(
        [
            replace(crops, keys=tuple(f"{n}/{key}" for key in crops.keys))
            for n, crops in enumerate(sets)
        ]
    )


def data_digest(crops: CropSet) -> str:
    """Give a digest of the crops' keys and identities; where the folders lie does not count."""
    digest = hashlib.sha256()
    for key, pid in zip(crops.keys, crops.pids.tolist(), strict=True):
        digest.update(f"{key} {pid}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def camera_looks(store: CropStore, *, crops_each: int = 200) -> tuple[CameraLooks, Tensor]:
    """Measure the colours that each camera shows on the whole.

    Args:
        store: The crops.
        crops_each: How many of each camera are looked at, spread over all of its crops.

    Returns:
        The looks of C cameras, and (N,) int64, which of them saw each crop; on the CPU.
    """
    numbers, cameras = torch.unique(store.camids, return_inverse=True)
    means, spreads = [], []
    for camera in range(len(numbers)):
        own = torch.nonzero(cameras == camera)[:, 0]
        chosen = own[torch.linspace(0, len(own) - 1, min(len(own), crops_each)).long()]
        pixels = store.batch(chosen).float().div(255).transpose(0, 1).flatten(1)
        means.append(pixels.mean(1))
        spreads.append(pixels.std(1))
    return CameraLooks(torch.stack(means).cpu(), torch.stack(spreads).cpu()), cameras


def step_generator(seed: int, batch: int) -> torch.Generator:
    """Give the generator of one batch's augmentation.

    It depends on nothing that came before, so that a resumed run draws what the other would
    have drawn.
    """
    digest = hashlib.sha256(f"{seed} {batch}".encode()).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest[:7], "big"))
    return generator


def _listed(crops: CropSet, path: str) -> NDArray[np.bool_]:
    """Say which crops show people of a list, by number or, where people have names, by name."""
    try:
        lines = {line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()}
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a list of identities: {error}") from error
    lines.discard("")
    numbers = [int(line) for line in lines if line.removeprefix("-").isdecimal()]
    if not crops.labels and len(numbers) < len(lines):
        raise DatasetError(
            f"{path} cannot be read as a list of identities, one number a line; it has "
            f"{min(line for line in lines if not line.removeprefix('-').isdecimal())!r}."
        )
    named = np.array([label in lines for label in crops.labels] or False, dtype=np.bool_)
    return np.isin(crops.pids, numbers) | named
