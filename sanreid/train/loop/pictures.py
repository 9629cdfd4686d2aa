"""Picture sheets of a run: each crop beside its target texture and its predicted texture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.utils.files import atomic_write

__all__ = ["sheet", "write_sheet"]

_GAP = 4  # pixels of white between pictures


def sheet(
    crops: Tensor,
    targets: Tensor | None,
    predicted: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> NDArray[np.uint8]:
    """Arrange crops and textures side by side, one row per crop.

    Args:
        crops: (N, 3, H, W) float, normalized.
        targets: (N, 3, S, S) in [-1, 1], or None if there are none.
        predicted: (N, 3, S, S); clipped to [-1, 1].
        mean: RGB mean of the normalization.
        std: RGB standard deviation of the normalization.

    Returns:
        (height, width, 3) uint8.
    """
    height = TEXTURE_SIZE
    width = round(height * crops.shape[3] / crops.shape[2])
    pixels = crops.float() * crops.new_tensor(list(std)).view(3, 1, 1)
    pixels = (pixels + crops.new_tensor(list(mean)).view(3, 1, 1)).clamp(0, 1) * 255
    pixels = torch.nn.functional.interpolate(pixels, size=(height, width), mode="nearest")
    columns = [_bytes(pixels)] + [
        _bytes((textures.float().clamp(-1, 1) + 1) * 127.5)
        for textures in (targets, predicted)
        if textures is not None
    ]
    rows = []
    for n in range(len(crops)):
        row = [np.pad(one[n], ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
               for one in columns]  # fmt: skip
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def write_sheet(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a sheet as PNG or JPEG, by the suffix of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        Image.fromarray(pixels).save(file, "JPEG" if path.suffix in {".jpg", ".jpeg"} else "PNG")


def _bytes(images: Tensor) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = (
        images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    )
    return rounded
