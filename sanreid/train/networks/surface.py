"""Which texel of the body's surface each pixel of a crop shows.

The texture is divided into 8 x 8 cells. For each pixel the head predicts the cell, or that it
shows no body, and for each cell the position in it. Neighbouring pixels across a seam of the
atlas, whose texels are far apart, need no special care.

Source: dense correspondence by a part and coordinates within it is known from Güler, Neverova and
Kokkinos, "DensePose: Dense Human Pose Estimation In The Wild", CVPR 2018; the parts here are
squares of the texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

__all__ = ["CELLS", "Surface", "SurfaceHead", "cells_of", "shown", "stretched"]

CELLS = 8  # along each side of the texture
_WIDTH = 64


class Surface(NamedTuple):
    """What the pixels of N crops show, at half the crops' height and width, rounded up."""

    cells: Tensor  # (N, 1 + 64, H / 2, W / 2), logits; the first is "no body"
    within: Tensor  # (N, 64, 2, H / 2, W / 2), u and v from the cell's centre, in cells


class SurfaceHead(nn.Module):
    """Predict what each pixel shows, from the encoder's maps and the crop.

    Args:
        channels: Channels of the encoder's stages, fine to coarse.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Conv2d(number, _WIDTH, 1, bias=False) for number in channels[2::-1]
        )
        self.smooth = nn.ModuleList(_Convolution(_WIDTH, _WIDTH) for _ in range(3))
        self.pixels = _Convolution(3, _WIDTH, stride=2)
        self.last = _Convolution(_WIDTH, _WIDTH)
        self.cells = nn.Conv2d(_WIDTH, 1 + CELLS**2, 1)
        self.within = nn.Conv2d(_WIDTH, 2 * CELLS**2, 1)

    def forward(self, crops: Tensor, stages: Sequence[Tensor]) -> Surface:
        """Run on normalized crops, (N, 3, H, W), and their stage maps, fine to coarse."""
        first, *finer = (
            lateral(stage) for lateral, stage in zip(self.lateral, stages[2::-1], strict=True)
        )
        known = self.smooth[0](first)
        for own, smooth in zip(finer, self.smooth[1:], strict=True):
            known = smooth(own + _grown(known, own))
        pixels = self.pixels(crops)
        known = self.last(pixels + _grown(known, pixels))
        within = self.within(known)
        return Surface(self.cells(known), within.unflatten(1, (CELLS**2, 2)))


def cells_of(texels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the cell of each texel, and where in it the texel lies.

    Args:
        texels: (...) int64, row * size + column.
        size: S, texels along each side of the texture.

    Returns:
        (...) int64 from 0 to 63; (..., 2) float32, u and v from -0.5 to 0.5.
    """
    index = torch.stack([texels % size, texels // size], -1)
    scaled = (index + 0.5) * (CELLS / size)
    cell = scaled.floor()
    return (cell[..., 1] * CELLS + cell[..., 0]).long(), scaled - cell - 0.5


def shown(surface: Surface, shape: tuple[int, int], size: int) -> tuple[Tensor, Tensor]:
    """Return each pixel's most likely texel.

    Args:
        surface: What the pixels show.
        shape: (H, W) of the crops.
        size: S, texels along each side of the texture.

    Returns:
        (N, H, W) int64, row * size + column; (N, H, W) float32, the probability of its cell, 0
        where no body is most likely.
    """
    probability, best = stretched(surface.cells.float().softmax(1), shape).max(1)
    cell = (best - 1).clamp_min(0)
    index = cell[:, None]
    coordinates = []
    for axis, first in ((0, cell % CELLS), (1, cell // CELLS)):
        within = stretched(surface.within[:, :, axis].float(), shape).gather(1, index)[:, 0]
        coordinate = (first + 0.5 + within.clamp(-0.75, 0.75)) * (size / CELLS)
        coordinates.append(coordinate.long().clamp(0, size - 1))
    column, row = coordinates
    return row * size + column, probability * (best > 0)


def stretched(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize maps, (N, C, h, w), to (N, C, *shape)."""
    return F.interpolate(x, size=shape, mode="bilinear", align_corners=False)


class _Convolution(nn.Sequential):
    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )


def _grown(x: Tensor, like: Tensor) -> Tensor:
    return stretched(x, (like.shape[2], like.shape[3]))
