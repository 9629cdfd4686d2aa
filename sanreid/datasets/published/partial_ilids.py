"""Partial-iLIDS: queries that show a part of the person, out of i-LIDS.

Source: Zheng et al., "Partial Person Re-identification", ICCV 2015. The layout::

    Partial_iLIDS/    Probe/ 1.jpg   Gallery/ 1.jpg    119 crops each, 119 people
"""

from __future__ import annotations

from pathlib import Path

from sanreid.datasets.crops import Dataset
from sanreid.datasets.published.layouts import Layout
from sanreid.datasets.published.part_queries import read_part_queries
from sanreid.datasets.registry import register_dataset

__all__ = ["read_partial_ilids"]

_LAYOUT = Layout(
    title="Partial-iLIDS",
    inside=("Partial_iLIDS", "PartialILIDS", "PartialiLIDS", "partial_ilids"),
    source="https://github.com/lingxiao-he/Partial-Person-ReID",
)


@register_dataset("partial_ilids")
def read_partial_ilids(root: str | Path, *, complete: bool = True) -> Dataset:
    """Read Partial-iLIDS.

    Args:
        root: The unpacked archive, or the folder it lies in.
        complete: Refuse a copy whose splits have not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
    """
    return read_part_queries(
        _LAYOUT, root, ("Probe", "Gallery"), "partial_ilids",
        r"(\d+)(?:_\d+)?\.\w+", "PPP.jpg", 119 if complete else None, nested=False,
    )  # fmt: skip
