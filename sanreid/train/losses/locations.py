"""Where each texel looks in the crop and whether it is seen, compared with the truth, for SAN-PG.

Rendered pairs know where the body's surface is in the crop. SAN-PG's look-up
(:mod:`sanreid.train.networks.copying`) learns it from them directly, rather than through the
colors alone, whose gradient leads a look-up only over the few pixels around it.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.errors import InputError
from sanreid.train.losses.objective import LossContext, LossInputs, register_loss

__all__ = ["location_loss", "visibility_loss"]

_VISIBILITY = 0.2  # its weight beside that of the locations


def location_loss(looked: Tensor, seen: Tensor) -> Tensor:
    """Compute the mean distance, per axis, between where texels look and where they are seen.

    Args:
        looked: (N, S, S, 2) float, x and y from -1 at the left and upper edge of the crop to 1.
        seen: (N, 2, S, S) float, the same of the texels that the crop shows; NaN for the others.

    Returns:
        A scalar, at least 0; 0 if no texel is seen.

    Raises:
        InputError: The shapes do not belong together.
    """
    looked = looked.permute(0, 3, 1, 2)
    if looked.shape != seen.shape:
        raise InputError(
            f"looked must be (N, S, S, 2) and seen (N, 2, S, S), of the same N and S; got "
            f"{tuple(looked.permute(0, 2, 3, 1).shape)} and {tuple(seen.shape)}."
        )
    known = ~seen.isnan()
    distance = (looked.float() - seen.nan_to_num(0.0)).abs() * known
    return distance.sum() / known.sum().clamp_min(1)


def visibility_loss(logits: Tensor, seen: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy between whether texels pass for seen and are.

    Args:
        logits: (N, 1, S, S) float.
        seen: (N, 2, S, S) float, as :func:`location_loss` takes it.

    Returns:
        A scalar, at least 0.
    """
    truth = ~seen[:, :1].isnan()
    return F.binary_cross_entropy_with_logits(logits.float(), truth.float())


# --- entries in the objective -----------------------------------------------------------------


def _visibility_weight(context: LossContext) -> float:
    return _VISIBILITY * context.config.locations


@register_loss("locations", weight="locations", of_decoder=True)
def _locations(inputs: LossInputs) -> Tensor | None:
    if inputs.pit_lookup is None or inputs.targets.pit_locations is None:
        return None
    return location_loss(inputs.pit_lookup.locations, inputs.targets.pit_locations)


@register_loss("visibility", weight=_visibility_weight, of_decoder=True)
def _visibility(inputs: LossInputs) -> Tensor | None:
    if inputs.pit_lookup is None or inputs.targets.pit_locations is None:
        return None
    return visibility_loss(inputs.pit_lookup.visibility, inputs.targets.pit_locations)
