"""VIPeR: one crop of 632 people under each of two cameras, and no official split.

Source: Gray et al., "Evaluating Appearance Models for Recognition, Reacquisition, and Tracking",
PETS 2007. Splits are those of :mod:`sanreid.datasets.published.halves`. The layout::

    VIPeR/    cam_a/000_45.bmp  cam_b/000_45.bmp    632 crops each
"""

from __future__ import annotations

import re
from pathlib import Path

from sanreid.datasets.crops import Dataset
from sanreid.datasets.names import list_images
from sanreid.datasets.published.halves import random_halves
from sanreid.datasets.published.layouts import Layout, match_names
from sanreid.datasets.registry import register_dataset

__all__ = ["read_viper"]

_LAYOUT = Layout(
    title="VIPeR",
    inside=("VIPeR", "VIPeR.v1.0", "viper"),
    source="https://vision.soe.ucsc.edu/node/178",
)


@register_dataset("viper")
def read_viper(
    root: str | Path, *, split: int | None = 0, query_camera: int = 0, complete: bool = True
) -> Dataset:
    """Read VIPeR; a person has the same number under both cameras, the angle differs.

    Args:
        root: The folder that holds ``cam_a`` and ``cam_b``, or the folder that one lies in.
        split: Which random half of the people is for training; None: nobody.
        query_camera: 0 (``cam_a``) or 1 (``cam_b``), the camera that asks.
        complete: Refuse a copy that has not as many crops as published.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
        InputError: ``split`` or ``query_camera`` is out of range.
    """
    base = _LAYOUT.locate(root, ("cam_a", "cam_b"))
    files = [f"{cam}/{file}" for cam in ("cam_a", "cam_b") for file in list_images(base / cam)]
    crops = match_names(
        base,
        files,
        re.compile(r"cam_([ab])/(\d+)_\d+\.\w+"),
        lambda match: (int(match[2]), int(match[1] == "b")),
        name=_LAYOUT.title,
        key_prefix="viper",
        looks_like="those of VIPeR are (cam_a/NNN_AA.bmp)",
    )
    return random_halves(crops, _LAYOUT, split, query_camera, 1_264 if complete else None)
