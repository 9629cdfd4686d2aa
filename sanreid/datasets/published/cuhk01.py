"""CUHK01: two views of 971 people from a pair of cameras, and no official split.

Source: Li et al., "Human Reidentification with Transferred Metric Learning", ACCV 2012. Splits
are those of :mod:`sanreid.datasets.published.halves`. The layout::

    campus/    0001001.png ... 0971004.png    3,884 crops, 971 people
"""

from __future__ import annotations

from pathlib import Path

from sanreid.datasets.crops import Dataset
from sanreid.datasets.published.halves import random_halves
from sanreid.datasets.published.layouts import Layout
from sanreid.datasets.registry import register_dataset

__all__ = ["read_cuhk01"]

_LAYOUT = Layout(
    title="CUHK01",
    inside=("CUHK01", "cuhk01"),
    source="http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html",
)


@register_dataset("cuhk01")
def read_cuhk01(
    root: str | Path, *, split: int | None = 0, query_camera: int = 0, complete: bool = True
) -> Dataset:
    """Read CUHK01; shots 1 and 2 are camera 0, shots 3 and 4 camera 1.

    Args:
        root: The folder that holds ``campus``, or the folder that one lies in.
        split: Which random half of the people is for training; None: nobody.
        query_camera: 0 or 1, the camera that asks; the other one answers.
        complete: Refuse a copy that has not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
        InputError: ``split`` or ``query_camera`` is out of range.
    """
    base = _LAYOUT.locate(root, ("campus",))
    crops = _LAYOUT.read(
        base,
        "campus",
        r"(\d{4})(00[1-4])\.\w+",
        lambda match: (int(match[1]), int(int(match[2]) >= 3)),
        key_prefix="cuhk01",
        looks_like="IIIINNN.png",
    )
    return random_halves(crops, _LAYOUT, split, query_camera, 3_884 if complete else None)
