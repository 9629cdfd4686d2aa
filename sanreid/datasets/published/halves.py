"""Random halves of the people: the protocol of data sets with two cameras and no official split.

The published protocols train on a random half of the people and test on the other, one camera
asking and the other answering, averaged over ten splits. Here split s shuffles the people by a
generator seeded with s. With ``split=None`` nobody is trained on and everybody is tested, which
is how a model from elsewhere is measured.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.published.layouts import Layout
from sanreid.utils.arguments import as_count

__all__ = ["random_halves"]


def random_halves(
    crops: CropSet, layout: Layout, split: int | None, query_camera: int, count: int | None
) -> Dataset:
    """Shuffle the people, train on the first half, test on the rest across the cameras.

    Args:
        crops: All crops of the data set.
        layout: For messages.
        split: Which random half is for training; None: nobody.
        query_camera: 0 or 1, the camera that asks; the other one answers.
        count: How many crops there must be; None: any number.

    Raises:
        DatasetError: Not two cameras, or another number of crops.
        InputError: ``split`` or ``query_camera`` is out of range.
    """
    if split is not None:
        split = as_count(split, "split", least=0)
    query_camera = as_count(query_camera, "query_camera", least=0, most=1)
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
