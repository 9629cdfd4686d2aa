"""Partial-REID: queries that show a part of the person, or one behind an obstacle.

Source: Zheng et al., "Partial Person Re-identification", ICCV 2015. The layout::

    Partial-REID_Dataset/   partial_body_images/ 001_001.jpg   300 crops, 60 people
                            occluded_body_images/ ...          300 crops
                            whole_body_images/ ...             300 crops
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sanreid.datasets.crops import Dataset
from sanreid.datasets.published.layouts import Layout
from sanreid.datasets.published.part_queries import read_part_queries
from sanreid.datasets.registry import register_dataset
from sanreid.utils.arguments import check_choice

__all__ = ["read_partial_reid"]

_LAYOUT = Layout(
    title="Partial-REID",
    inside=("Partial-REID_Dataset", "Partial_REID", "partial_reid"),
    source="http://isee.sysu.edu.cn/resource (Partial-REID_Dataset.rar)",
)


@register_dataset("partial_reid")
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
    check_choice(queries, "queries", ("partial", "occluded"))
    return read_part_queries(
        _LAYOUT, root, (f"{queries}_body_images", "whole_body_images"), "partial_reid",
        r"(\d+)_\d+\.\w+", "PPP_NNN.jpg", 300 if complete else None, nested=False,
    )  # fmt: skip
