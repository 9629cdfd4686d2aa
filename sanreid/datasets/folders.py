"""Your own crops in folders ``train``, ``query`` and ``gallery``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sanreid.datasets.combining import number_together
from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.names import read_crops
from sanreid.datasets.registry import register_dataset
from sanreid.datasets.schemes import AUTO, Names
from sanreid.errors import DatasetError
from sanreid.utils.paths import as_path, is_folder

__all__ = ["SPLITS", "empty_split", "read_folders"]

SPLITS = ("train", "query", "gallery")


@register_dataset("folders")
def read_folders(root: str | Path, *, names: Names = AUTO, name: str | None = None) -> Dataset:
    """Read folders ``train``, ``query`` and ``gallery``, whichever there are.

    Args:
        root: The folder that holds them.
        names: How the crops are named, as in :func:`sanreid.datasets.read_crops`.
        name: What to call the data set; the folder's name when None.

    Returns:
        The splits; a person has the same pid in all of them.

    Raises:
        DatasetError: None of the three is there, or one cannot be read.
    """
    base = as_path(root, "the folder of the splits")
    there = [split for split in SPLITS if is_folder(base / split)]
    if not there:
        raise DatasetError(
            f"{base} has none of the folders train, query and gallery. For a single folder of "
            "crops use read_crops()."
        )
    title = name if name is not None else base.resolve().name
    parts = {split: empty_split(title, split) for split in SPLITS}
    for split in there:
        crops = read_crops(base / split, names=names, name=f"{title}/{split}")
        parts[split] = replace(crops, name=title, split=split)
    train, query, gallery = number_together(list(parts.values()))
    return Dataset(title, train, query, gallery)


def empty_split(title: str, split: str) -> CropSet:
    """Return a split without crops."""
    none = np.zeros(0, dtype=np.int64)
    return CropSet(title, (), none, none, split=split)
