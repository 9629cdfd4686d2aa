"""The colors of each camera, by which one camera's crops can be given the style of another's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sanreid.train.data.store import CropStore

__all__ = ["CameraColorStats", "camera_color_stats"]


class CameraColorStats(NamedTuple):
    """The overall colors of C cameras, for images in [0, 1]."""

    mean: Tensor  # (C, 3) of RGB
    std: Tensor  # (C, 3)


def camera_color_stats(
    store: CropStore, *, crops_each: int = 200
) -> tuple[CameraColorStats, Tensor]:
    """Measure the overall colors of each camera.

    Args:
        store: The crops.
        crops_each: How many crops of each camera are measured, spread over all of its crops.

    Returns:
        The colors of C cameras, and (N,) int64, the camera of each crop; on the CPU.
    """
    numbers, cameras = torch.unique(store.camids, return_inverse=True)
    means, stds = [], []
    for camera in range(len(numbers)):
        own = torch.nonzero(cameras == camera)[:, 0]
        chosen = own[torch.linspace(0, len(own) - 1, min(len(own), crops_each)).long()]
        pixels = store.batch(chosen).float().div(255).transpose(0, 1).flatten(1)
        means.append(pixels.mean(1))
        stds.append(pixels.std(1))
    return CameraColorStats(torch.stack(means).cpu(), torch.stack(stds).cpu()), cameras
