"""Occluded-REID: queries of people behind obstacles.

Source: Zhuo et al., "Occluded Person Re-identification", ICME 2018. The layout::

    Occluded_REID/    occluded_body_images/001/001_01.tif   1,000 crops, 200 people
                      whole_body_images/001/001_01.tif      1,000 crops
"""

from __future__ import annotations

from pathlib import Path

from sanreid.datasets.crops import Dataset
from sanreid.datasets.published.layouts import Layout
from sanreid.datasets.published.part_queries import read_part_queries
from sanreid.datasets.registry import register_dataset

__all__ = ["read_occluded_reid"]

_LAYOUT = Layout(
    title="Occluded-REID",
    inside=("Occluded_REID", "OccludedREID", "occluded_reid"),
    source="https://github.com/tinajia2012/ICME2018_Occluded-Person-Reidentification_datasets",
)


@register_dataset("occluded_reid")
def read_occluded_reid(root: str | Path, *, complete: bool = True) -> Dataset:
    """Read Occluded-REID.

    Args:
        root: The unpacked archive, or the folder it lies in.
        complete: Refuse a copy whose splits have not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
    """
    return read_part_queries(
        _LAYOUT, root, ("occluded_body_images", "whole_body_images"), "occluded_reid",
        r"(\d+)/\1_\d+\.\w+", "PPP/PPP_NN.tif", 1_000 if complete else None, nested=True,
    )  # fmt: skip
