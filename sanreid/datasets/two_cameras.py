"""CUHK01, VIPeR and PKU-Reid: two views of everybody, and no official split.

The published protocols train on a random half of the people and test on the other, one camera
asking and the other answering, averaged over ten splits. Here split s shuffles the people by a
generator seeded with s. With ``split=None`` nobody is trained on and everybody is tested, which
is how a model from elsewhere is measured.

Sources: Li et al., "Human Reidentification with Transferred Metric Learning", ACCV 2012
(CUHK01); Gray et al., "Evaluating Appearance Models for Recognition, Reacquisition, and
Tracking", PETS 2007 (VIPeR); Ma et al., "Orientation Driven Bag of Appearances for Person
Re-identification", arXiv:1605.02464 (PKU-Reid). The layouts::

    campus/              0001001.png ... 0971004.png        3,884 crops, 971 people
    VIPeR/               cam_a/000_45.bmp  cam_b/000_45.bmp   632 crops each
    PKUv1a_128x48/       001_01_1.png or 001/01_1.jpg       1,824 crops, 114 people, 8 directions
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.layouts import Layout
from sanreid.datasets.names import list_images, match_names
from sanreid.errors import InputError

__all__ = ["read_cuhk01", "read_pku_reid", "read_viper"]

_CUHK01 = Layout(
    title="CUHK01",
    inside=("CUHK01", "cuhk01"),
    source="http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html",
)
_VIPER = Layout(
    title="VIPeR",
    inside=("VIPeR", "VIPeR.v1.0", "viper"),
    source="https://vision.soe.ucsc.edu/node/178",
)
_PKU = Layout(
    title="PKU-Reid",
    inside=("PKUv1a_128x48", "pku_reid", "PKU-Reid"),
    source="https://github.com/charliememory/PKU-Reid-Dataset",
)


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
    base = _CUHK01.locate(root, ("campus",))
    crops = _CUHK01.read(
        base,
        "campus",
        r"(\d{4})(00[1-4])\.\w+",
        lambda match: (int(match[1]), int(int(match[2]) >= 3)),
        key_prefix="cuhk01",
        looks_like="IIIINNN.png",
    )
    return _halves(crops, _CUHK01, split, query_camera, 3_884 if complete else None)


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
    base = _VIPER.locate(root, ("cam_a", "cam_b"))
    files = [f"{cam}/{file}" for cam in ("cam_a", "cam_b") for file in list_images(base / cam)]
    crops = match_names(
        base,
        files,
        re.compile(r"cam_([ab])/(\d+)_\d+\.\w+"),
        lambda match: (int(match[2]), int(match[1] == "b")),
        name=_VIPER.title,
        key_prefix="viper",
        looks_like="those of VIPeR are (cam_a/NNN_AA.bmp)",
    )
    return _halves(crops, _VIPER, split, query_camera, 1_264 if complete else None)


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
    base = _PKU.locate(root, ())
    inside = [base / name for name in _PKU.inside if (base / name).is_dir()]
    base = inside[0] if inside else base
    files = list_images(base) or list_images(base, nested=True)
    if not files:
        raise _PKU.error(f"there are no images in {base}", ["PID_CC_V.png", "PID/CC_V.jpg"])
    crops = match_names(
        base,
        files,
        re.compile(r"(?:train/|val/)?(\d+)[_/](\d\d)_\d\.\w+"),
        lambda match: (int(match[1]), int(match[2])),
        name=_PKU.title,
        key_prefix="pku_reid",
        looks_like="those of PKU-Reid are (PID_CC_V.png or PID/CC_V.jpg)",
    )
    return _halves(crops, _PKU, split, query_camera, 1_824 if complete else None)


def _halves(
    crops: CropSet, layout: Layout, split: int | None, query_camera: int, count: int | None
) -> Dataset:
    """Shuffle the people, train on the first half, test on the rest across the cameras."""
    if query_camera not in (0, 1) or (split is not None and split < 0):
        raise InputError(
            "split must be at least 0 (or None) and query_camera 0 or 1; "
            f"got {split!r} and {query_camera!r}."
        )
    cameras = np.unique(crops.camids)
    if len(cameras) != 2:
        raise layout.error(f"it has crops of {len(cameras)} cameras instead of 2")
    if count is not None and len(crops) != count:
        raise layout.error(
            f"it has {len(crops):,} crops instead of {count:,} (complete=False reads it "
            "nevertheless, but results on a part must not be called by the data set's name)"
        )
    people = crops.identities
    trained = people[:0]
    if split is not None:
        trained = np.random.default_rng(split).permutation(people)[: len(people) // 2]
    tested = crops.without_pids(trained.tolist())
    asking = tested.camids == cameras[query_camera]
    return Dataset(
        layout.title if split is None else f"{layout.title}, split {split}",
        replace(crops.of_pids(trained.tolist()), split="train"),
        replace(tested.select(asking), split="query"),
        replace(tested.select(~asking), split="gallery"),
    )
