"""Data sets whose queries show a part of the person, and whose gallery shows the whole.

They have no training split: a model trained elsewhere (usually on Market-1501) is measured.
Camera 0 is the query's and 1 the gallery's, so that no match is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.published.layouts import Layout, check_counts

__all__ = ["read_part_queries"]


def read_part_queries(
    layout: Layout,
    root: str | Path,
    folders: tuple[str, str],
    key_prefix: str,
    pattern: str,
    looks_like: str,
    count: int | None,
    *,
    nested: bool,
) -> Dataset:
    """Read the folders of queries and of the gallery; ``count`` crops in each, if not None."""
    base = layout.locate(root, folders)

    def read(camid: int, split: str) -> CropSet:
        return layout.read(
            base,
            folders[camid],
            pattern,
            lambda match: (int(match[1]), camid),
            key_prefix=key_prefix,
            looks_like=looks_like,
            split=split,
            nested=nested,
        )

    none = np.zeros(0, dtype=np.int64)
    train = CropSet(layout.title, (), none, none, split="train")
    dataset = Dataset(layout.title, train, read(0, "query"), read(1, "gallery"))
    if count is None:
        return dataset
    return check_counts(dataset, {"query": count, "gallery": count}, layout)
