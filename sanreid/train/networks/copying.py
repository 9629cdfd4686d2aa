"""Copying what the crop shows into the texture, for SAN-PG.

SA-Dec paints from feature maps of a quarter of the crop's height or less, so patterns and straps
blur. Here each pixel of the crop is laid out on the texture at the texel that it shows
(:mod:`sanreid.train.networks.surface`; others call it splatting), gaps are filled from their
surroundings, and the colors lose the light of the scene by an affine map read from the encoder's
last map. Small convolutions decide how much of the result each texel of the painted texture takes
over, and correct the rest.

Source: our own; filling between scattered samples by a pyramid is from Gortler, Grzeszczuk,
Szeliski and Cohen, "The Lumigraph", SIGGRAPH 1996 (pull-push).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.networks.surface import Surface, SurfaceHead, shown, stretched

__all__ = ["TextureCopier", "laid_out"]

_LAID = 128  # texels along each side of what is laid out: about as fine as crops are
_SQUARE = (_LAID, _LAID)
_COARSE = 8  # along each side of the squares of texels whose mean is known beside it
_HIDDEN = 24


class TextureCopier(nn.Module):
    """Correct a painted texture by pixels of the crop; at first it only keeps it in range.

    Args:
        channels: Channels of the encoder's stages, fine to coarse.
        features: Channels of SA-Dec's finest map.
        mean: By what crops are normalized, as in :class:`sanreid.config.EncoderConfig`.
        std: As ``mean``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        features: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)
        self.surface = SurfaceHead(channels)
        self.mix = nn.Sequential(
            nn.Conv2d(features + 10, _HIDDEN, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=2, dilation=2),
            nn.ReLU(inplace=True),
        )
        self.correct = nn.Conv2d(features + 10 + _HIDDEN, 3 + 1, 3, padding=1)
        self.light = nn.Linear(channels[3], 3 * 4)
        for last in (self.correct, self.light):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type] # it has one

    def forward(
        self, crops: Tensor, stage: Tensor, surface: Surface, texture: Tensor, features: Tensor
    ) -> Tensor:
        """Return the corrected textures, (N, 3, 256, 256) in [-1, 1].

        Args:
            crops: (N, 3, H, W), normalized.
            stage: (N, C, h, w), the encoder's last map of them.
            surface: What their pixels show, as ``self.surface`` predicts it.
            texture: (N, 3, 256, 256), painted.
            features: (N, C, h, w), SA-Dec's finest map.
        """
        with torch.no_grad():  # the surface learns from its own truth
            fine, coarse, seen = laid_out(crops, surface)
        painted = stretched(texture, _SQUARE)
        laid = (one.to(texture.dtype) for one in (fine, coarse, seen))
        known = torch.cat([stretched(features, _SQUARE), painted, *laid], 1)
        decided = self.correct(torch.cat([known, self.mix(known)], 1))
        own, share = decided[:, :3], decided[:, 3:]
        correction = own + share * (self._lit(fine, stage) - painted)
        corrected = texture + stretched(correction, (TEXTURE_SIZE, TEXTURE_SIZE))
        beyond = corrected - corrected.clamp(-1, 1)
        return corrected - beyond.detach()  # in range, and what left it learns to return

    def _lit(self, colors: Tensor, stage: Tensor) -> Tensor:
        """Map colors of a normalized crop, (N, 3, S, S), to those of its person's texture."""
        change = self.light(stage.float().mean((2, 3))).float().view(-1, 3, 4)
        matrix = change[:, :, :3] + torch.diag(2 * self.std)  # at first only what was normalized
        offset = change[:, :, 3:] + (2 * self.mean - 1)[:, None]
        lit = torch.baddbmm(offset, matrix, colors.flatten(2))
        return lit.view_as(colors)


def laid_out(crops: Tensor, surface: Surface) -> tuple[Tensor, Tensor, Tensor]:
    """Lay the pixels of crops out on the texture.

    Args:
        crops: (N, 3, H, W).
        surface: What their pixels show.

    Returns:
        (N, 3, 128, 128) float32, gaps filled; the same averaged over 8 x 8 texels;
        (N, 1, 128, 128) float32, how much of each texel was seen, 0 to 1.
    """
    texels, likely = shown(surface, (crops.shape[2], crops.shape[3]), _LAID)
    weights = likely.flatten(1)[:, None]
    colored = torch.cat([crops.float().flatten(2) * weights, weights], 1)
    total = torch.zeros(len(crops), 4, _LAID**2, device=crops.device)
    total.scatter_add_(2, texels.flatten(1)[:, None].expand(-1, 4, -1), colored)
    total = total.view(len(crops), 4, _LAID, _LAID)
    surroundings = F.avg_pool2d(total, _COARSE) * _COARSE**2
    coarse = stretched(_filled(surroundings), _SQUARE)
    return _filled(total), coarse, total[:, 3:].clamp_max(1)


def _filled(total: Tensor) -> Tensor:
    """Return the colors of sums and weights, (N, 3 + 1, S, S); from coarser ones where light."""
    color, weight = total[:, :3], total[:, 3:]
    own = color / weight.clamp_min(1e-3)
    if total.shape[3] <= 2:
        return own
    around = _filled(F.avg_pool2d(F.avg_pool2d(total, 2) * 4, 3, 1, padding=1))
    share = weight.clamp_max(1)
    return own * share + stretched(around, (total.shape[2], total.shape[3])) * (1 - share)
