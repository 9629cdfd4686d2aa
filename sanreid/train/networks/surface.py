"""Which texel of the body's surface each pixel of a crop shows.

The texture is divided into 8 x 8 cells. For each pixel the head tells the cell, or that the pixel
shows no body, and for each cell where in it the pixel lies. So the seams of the atlas, where
neighbouring pixels have distant texels, cost nothing.

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

__all__ = ["CELLS", "Surface", "SurfaceHead", "cells_of", "shown"]

CELLS = 8  # along each side of the texture
_WIDTH = 64


class Surface(NamedTuple):
    """What the pixels of N crops show, at half the crops' height and width."""

    cells: Tensor  # (N, 1 + 64, H / 2, W / 2), logits; the first is "no body"
    within: Tensor  # (N, 64, 2, H / 2, W / 2), u and v from the cell's centre, in cells


class SurfaceHead(nn.Module):
    """Tell what each pixel shows, from the encoder's maps and the crop.

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
        known: Tensor | None = None
        for stage, lateral, smooth in zip(stages[2::-1], self.lateral, self.smooth, strict=True):
            own = lateral(stage)
            known = smooth(own if known is None else own + _grown(known, own))
        assert known is not None  # noqa: S101 - there are three stages
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
    place = torch.stack([texels % size, texels // size], -1)
    scaled = (place + 0.5) * (CELLS / size)
    cell = scaled.floor()
    return (cell[..., 1] * CELLS + cell[..., 0]).long(), scaled - cell - 0.5


def shown(surface: Surface, shape: tuple[int, int], size: int) -> tuple[Tensor, Tensor]:
    """Return the texel that each pixel shows most likely.

    Args:
        surface: What the pixels show.
        shape: (H, W) of the crops.
        size: S, texels along each side of the texture.

    Returns:
        (N, H, W) int64, row * size + column; (N, H, W) float32, how likely it is the texel's cell,
        0 where the pixel shows no body.
    """
    likely, best = _stretched(surface.cells.float().softmax(1), shape).max(1)
    cell = (best - 1).clamp_min(0)
    at = cell[:, None].expand(-1, 1, -1, -1)
    place = []
    for axis, first in ((0, cell % CELLS), (1, cell // CELLS)):
        within = _stretched(surface.within[:, :, axis].float(), shape).gather(1, at)[:, 0]
        place.append(((first + 0.5 + within.clamp(-0.75, 0.75)) * (size / CELLS)).long())
    u, v = (one.clamp(0, size - 1) for one in place)
    return v * size + u, likely * (best > 0)


class _Convolution(nn.Sequential):
    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )


def _grown(x: Tensor, like: Tensor) -> Tensor:
    return _stretched(x, (like.shape[2], like.shape[3]))


def _stretched(x: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=shape, mode="bilinear", align_corners=False)
