"""Copying what the crop shows into the texture, for SAN-PG.

SA-Dec paints from feature maps of a quarter of the crop's height or less, so that patterns and
straps blur. Here each texel also looks up the crop itself, at its mean location over the training
pairs plus an offset. The offsets of all texels are a sum of learned maps, as many as the body has
ways to move, whose coefficients are read from the encoder's last map as a whole: where the body's
surface is depends on pose and camera, not on what is beside a texel. The same coefficients tell
which texels the crop shows at all. Two small convolutions correct these by what was found at full
and at a quarter of the resolution. It is a part of SA-Dec where ``decoder.copy`` is on.

Source: our own; looking up the input by a predicted flow is known from Zhou et al., "View
Synthesis by Appearance Flow", ECCV 2016.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

__all__ = ["SIDE", "TEXTURE_SIZE", "WAYS", "Lookup", "TextureCopier"]

TEXTURE_SIZE = 256

WAYS = 32  # maps of offsets that are summed
SIDE = 64  # of such a map: locations change slowly over the body
_GRID = (8, 4)  # cells of the crop that the coefficients are read from
_GIST = 16  # channels of each cell
_COARSE = 4  # the factor of the second, coarser look-up
_HIDDEN = 16


class Lookup(NamedTuple):
    """Where each texel looks in the crop, and whether it is seen there."""

    locations: Tensor  # (N, 256, 256, 2) float32, x and y, as grid_sample takes them
    visibility: Tensor  # (N, 1, 256, 256) float32, logits


class TextureCopier(nn.Module):
    """Correct a painted texture by pixels of the crop; at first it changes nothing.

    Args:
        deep: Channels of the encoder's last map.
        channels: Channels of SA-Dec's finest map.

    Attributes:
        base: (2, 256, 256) float32, the mean location (x, y) of each texel in a crop, from -1 at
            the left and upper edge to 1; the crop's center at first.
    """

    base: Tensor

    def __init__(self, deep: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("base", torch.zeros(2, TEXTURE_SIZE, TEXTURE_SIZE))
        self.gist = nn.Sequential(
            nn.AdaptiveAvgPool2d(_GRID),
            nn.Conv2d(deep, _GIST, 1),
            nn.Flatten(),
            nn.Linear(_GIST * _GRID[0] * _GRID[1], WAYS),
        )
        self.offsets = nn.Linear(WAYS, 2 * SIDE * SIDE)
        self.visible = nn.Linear(WAYS, SIDE * SIDE)
        self.mix = nn.Conv2d(channels + 9, _HIDDEN, 3, padding=1)
        self.correct = nn.Conv2d(_HIDDEN, 3, 3, padding=1)
        for last in (self.offsets, self.visible, self.correct):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type] # it has one

    def look_at(self, mean: Tensor, modes: Tensor) -> None:
        """Set where texels look: the mean, (2, 256, 256), and at most 32 modes, (K, 2, 64, 64)."""
        with torch.no_grad():
            self.base.copy_(mean)
            self.offsets.weight[:, : len(modes)] = modes.flatten(1).T

    def forward(self, crops: Tensor, texture: Tensor, features: Tensor, lookup: Lookup) -> Tensor:
        """Return the corrected textures, (N, 3, 256, 256) in [-1, 1].

        Args:
            crops: (N, 3, H, W), normalized.
            texture: (N, 3, 256, 256), painted.
            features: (N, C, h, w), SA-Dec's finest map.
            lookup: What :meth:`look_up` returned for the crops' last map.
        """
        coarse = F.avg_pool2d(crops, _COARSE)
        found = [
            F.grid_sample(
                one, lookup.locations.to(one.dtype), padding_mode="border", align_corners=False
            )
            for one in (crops, coarse)
        ]
        known = torch.cat([_stretched(features), texture, *found], 1)
        correction = self.correct(F.relu(self.mix(known)))
        corrected: Tensor = texture + correction * torch.sigmoid(lookup.visibility)
        return corrected.clamp(-1, 1)

    def look_up(self, stage: Tensor) -> Lookup:
        """Return where each texel looks, and whether it is seen.

        Args:
            stage: (N, C, h, w), the encoder's last map.
        """
        gist = self.gist(stage)
        offsets = self.offsets(gist).float().view(-1, 2, SIDE, SIDE)
        visibility = self.visible(gist).float().view(-1, 1, SIDE, SIDE)
        locations = (self.base + _stretched(offsets)).permute(0, 2, 3, 1)
        return Lookup(locations, _stretched(visibility))


def _stretched(x: Tensor) -> Tensor:
    size = (TEXTURE_SIZE, TEXTURE_SIZE)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
