"""How the networks read pixels: RGB in [0, 1], less the mean, over the standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from sanreid.config import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["normalize_crops"]


def normalize_crops(
    crops: Tensor,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Tensor:
    """Normalize crops without augmentation, as for inference.

    Args:
        crops: (N, 3, H, W) uint8, RGB.
        mean: RGB mean, of images in [0, 1].
        std: RGB standard deviation.

    Returns:
        (N, 3, H, W) float32.
    """
    scaled = functional.to_dtype(crops, torch.float32, scale=True)
    normal: Tensor = functional.normalize(scaled, mean=list(mean), std=list(std))
    return normal
