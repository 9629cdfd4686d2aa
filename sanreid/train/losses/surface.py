"""Which texel each pixel of a rendered crop shows, compared with the truth, for SAN-PG.

Rendered pairs know which texel of the body each of their pixels shows. SAN-PG's head
(:mod:`sanreid.train.networks.surface`) learns it from them directly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.errors import InputError
from sanreid.train import runtime
from sanreid.train.losses.objective import LossInputs, register_loss
from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.networks.surface import Surface, cells_of

__all__ = ["surface_loss"]

_WITHIN = 4.0  # weight of the distance within a cell beside the choice of the cell


def surface_loss(surface: Surface, texels: Tensor) -> Tensor:
    """Compute how far the predicted texels are from the true ones.

    It is the mean cross-entropy of each pixel's cell and, over pixels of the body, 4 times the
    mean absolute distance per axis within the true cell, in cells.

    Args:
        surface: The prediction.
        texels: (N, H, W) int64, the texel that each pixel shows, row * 256 + column; -1 off the
            body.

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
    cell_loss = F.cross_entropy(surface.cells.float(), torch.where(body, cells + 1, 0))
    index = cells[:, None, None].expand(-1, 1, 2, -1, -1)
    predicted = surface.within.float().gather(1, index)[:, 0]
    distance = (predicted - within.permute(0, 3, 1, 2)).abs().mean(1) * body
    mean_count = runtime.all_sum(body.sum().float()) / runtime.world_size()
    return cell_loss + _WITHIN * distance.sum() / mean_count.clamp_min(1)


# --- entry in the objective -------------------------------------------------------------------


@register_loss("surface", weight="surface", of_decoder=True)
def _surface(inputs: LossInputs) -> Tensor | None:
    if inputs.pit_surface is None or inputs.targets.pit_texels is None:
        return None
    return surface_loss(inputs.pit_surface, inputs.targets.pit_texels)
