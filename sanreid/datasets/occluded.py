"""Partial-REID, Partial-iLIDS and Occluded-REID: queries that show a part of the person.

They have no training split: a model trained elsewhere (usually on Market-1501) is measured.
Camera 0 is the query's and 1 the gallery's, so that no match is left out.

Sources: Zheng et al., "Partial Person Re-identification", ICCV 2015 (Partial-REID, and
Partial-iLIDS out of i-LIDS); Zhuo et al., "Occluded Person Re-identification", ICME 2018
(Occluded-REID). The layouts::

    Partial-REID_Dataset/   partial_body_images/ 001_001.jpg   300 crops, 60 people
                            occluded_body_images/ ...          300 crops
                            whole_body_images/ ...             300 crops
    Partial_iLIDS/          Probe/ 1.jpg   Gallery/ 1.jpg      119 crops each, 119 people
    Occluded_REID/          occluded_body_images/001/001_01.tif   1,000 crops, 200 people
                            whole_body_images/001/001_01.tif      1,000 crops
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.layouts import Layout, check_counts
from sanreid.errors import InputError

__all__ = ["read_occluded_reid", "read_partial_ilids", "read_partial_reid"]

_PARTIAL_REID = Layout(
    title="Partial-REID",
    inside=("Partial-REID_Dataset", "Partial_REID", "partial_reid"),
    source="http://isee.sysu.edu.cn/resource (Partial-REID_Dataset.rar)",
)
_PARTIAL_ILIDS = Layout(
    title="Partial-iLIDS",
    inside=("Partial_iLIDS", "PartialILIDS", "PartialiLIDS", "partial_ilids"),
    source="https://github.com/lingxiao-he/Partial-Person-ReID",
)
_OCCLUDED_REID = Layout(
    title="Occluded-REID",
    inside=("Occluded_REID", "OccludedREID", "occluded_reid"),
    source="https://github.com/tinajia2012/ICME2018_Occluded-Person-Reidentification_datasets",
)


def read_partial_reid(
    root: str | Path,
    *,
    queries: Literal["partial", "occluded"] = "partial",
    complete: bool = True,
) -> Dataset:
    """Read Partial-REID.

    Args:
        root: The unpacked archive, or the folder it lies in.
        queries: ``"partial"``: the visible part cut out by hand (He et al., CVPR 2018, and
            most since); ``"occluded"``: the whole box with the obstacle.
        complete: Refuse a copy whose splits have not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
        InputError: ``queries`` is neither.
    """
    if queries not in ("partial", "occluded"):
        raise InputError(f"queries must be 'partial' or 'occluded'; got {queries!r}.")
    return _read(
        _PARTIAL_REID, root, (f"{queries}_body_images", "whole_body_images"), "partial_reid",
        r"(\d+)_\d+\.\w+", "PPP_NNN.jpg", 300 if complete else None, nested=False,
    )  # fmt: skip


def read_partial_ilids(root: str | Path, *, complete: bool = True) -> Dataset:
    """Read Partial-iLIDS.

    Args:
        root: The unpacked archive, or the folder it lies in.
        complete: Refuse a copy whose splits have not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
    """
    return _read(
        _PARTIAL_ILIDS, root, ("Probe", "Gallery"), "partial_ilids",
        r"(\d+)(?:_\d+)?\.\w+", "PPP.jpg", 119 if complete else None, nested=False,
    )  # fmt: skip


def read_occluded_reid(root: str | Path, *, complete: bool = True) -> Dataset:
    """Read Occluded-REID.

    Args:
        root: The unpacked archive, or the folder it lies in.
        complete: Refuse a copy whose splits have not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
    """
    return _read(
        _OCCLUDED_REID, root, ("occluded_body_images", "whole_body_images"), "occluded_reid",
        r"(\d+)/\1_\d+\.\w+", "PPP/PPP_NN.tif", 1_000 if complete else None, nested=True,
    )  # fmt: skip


def _read(
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
