"""PKU-Reid: 114 people under two cameras from eight directions, and no official split.

Source: Ma et al., "Orientation Driven Bag of Appearances for Person Re-identification",
arXiv:1605.02464. Splits are those of :mod:`sanreid.datasets.published.halves`. The layout::

    PKUv1a_128x48/    001_01_1.png or 001/01_1.jpg    1,824 crops, 114 people, 8 directions
"""

from __future__ import annotations

import re
from pathlib import Path

from sanreid.datasets.crops import Dataset
from sanreid.datasets.names import list_images
from sanreid.datasets.published.halves import random_halves
from sanreid.datasets.published.layouts import Layout, match_names
from sanreid.datasets.registry import register_dataset

__all__ = ["read_pku_reid"]

_LAYOUT = Layout(
    title="PKU-Reid",
    inside=("PKUv1a_128x48", "pku_reid", "PKU-Reid"),
    source="https://github.com/charliememory/PKU-Reid-Dataset",
)


@register_dataset("pku_reid")
def read_pku_reid(
    root: str | Path, *, split: int | None = None, query_camera: int = 0, complete: bool = True
) -> Dataset:
    """Read PKU-Reid, with one folder for each person or all crops in one.

    Args:
        root: The folder of the crops or of the people; folders ``train`` and ``val`` in it, as
            some copies have them, are taken together.
        split: Which random half of the people is for training; None: nobody.
        query_camera: 0 (camera 1) or 1 (camera 2), the camera that asks.
        complete: Refuse a copy that has not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
        InputError: ``split`` or ``query_camera`` is out of range.
    """
    base = _LAYOUT.locate(root, ())
    inside = [base / name for name in _LAYOUT.inside if (base / name).is_dir()]
    base = inside[0] if inside else base
    files = list_images(base) or list_images(base, nested=True)
    if not files:
        raise _LAYOUT.error(f"there are no images in {base}", ["PID_CC_V.png", "PID/CC_V.jpg"])
    crops = match_names(
        base,
        files,
        re.compile(r"(?:train/|val/)?(\d+)[_/](\d\d)_\d\.\w+"),
        lambda match: (int(match[1]), int(match[2])),
        name=_LAYOUT.title,
        key_prefix="pku_reid",
        looks_like="those of PKU-Reid are (PID_CC_V.png or PID/CC_V.jpg)",
    )
    return random_halves(crops, _LAYOUT, split, query_camera, 1_824 if complete else None)
