"""Which texel each pixel of a rendered crop shows, compared with the truth, for SAN-PG.

Rendered pairs know which texel of the body each of their pixels shows. SAN-PG's head
(:mod:`sanreid.train.networks.surface`) learns it from them directly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.errors import InputError
from sanreid.train.losses.objective import LossInputs, register_loss
from sanreid.train.networks.copying import TEXTURE_SIZE
from sanreid.train.networks.surface import Surface, cells_of

__all__ = ["surface_loss"]

_WITHIN = 4.0  # weight of the distance within a cell beside the choice of the cell


def surface_loss(surface: Surface, texels: Tensor) -> Tensor:
    """Compute how far what pixels are said to show is from what they show.

    It is the mean cross-entropy of the cell of each pixel and, over pixels of the body, the mean
    distance per axis within the true cell, in cells.

    Args:
        surface: What is said.
        texels: (N, H, W) int64, the texel each pixel shows, row * 256 + column; -1 off the body.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: The shapes do not belong together.
    """
    wanted = (len(surface.cells), *surface.cells.shape[2:])
    if tuple(texels.shape) != wanted:
        raise InputError(f"texels must be of shape {wanted}; got {tuple(texels.shape)}.")
    cells, within = cells_of(texels.clamp_min(0), TEXTURE_SIZE)
    body = texels >= 0
    chosen = F.cross_entropy(surface.cells.float(), torch.where(body, cells + 1, 0))
    at = cells[:, None, None].expand(-1, 1, 2, -1, -1)
    said = surface.within.float().gather(1, at)[:, 0]
    apart = (said - within.permute(0, 3, 1, 2)).abs().mean(1) * body
    return chosen + _WITHIN * apart.sum() / body.sum().clamp_min(1)


# --- entry in the objective -------------------------------------------------------------------


@register_loss("surface", weight="surface", of_decoder=True)
def _surface(inputs: LossInputs) -> Tensor | None:
    if inputs.pit_surface is None or inputs.targets.pit_texels is None:
        return None
    return surface_loss(inputs.pit_surface, inputs.targets.pit_texels)
