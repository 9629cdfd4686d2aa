"""The four terms that SAN minimizes, as functions, and their entries in the objective.

Source: Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification",
AAAI 2020, arXiv:1905.13143; each function names its other sources. Distances are computed in
float32 (float64 for inputs of that type), even under autocast.

Shapes: N crops, D embedding dimensions, C channels, H x W locations, L decoder blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.errors import InputError
from sanreid.train import runtime
from sanreid.train.losses.margin_softmax import margin_logits
from sanreid.train.losses.objective import LossContext, LossInputs, register_loss

__all__ = [
    "batch_hard_triplet_loss",
    "identity_loss",
    "reconstruction_loss",
    "tr_constraint",
    "unit_rows",
]


def identity_loss(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.1) -> Tensor:
    r"""Cross-entropy over identities against smoothed labels.

    The label's class gets :math:`1 - \epsilon + \epsilon / C`, every other :math:`\epsilon / C`.

    Args:
        logits: (N, C) float, C identities.
        labels: (N,) int64 in [0, C).
        label_smoothing: :math:`\epsilon`, in [0, 1).

    Returns:
        A scalar, at least 0.

    Source:
        Szegedy et al., CVPR 2016, for the smoothing; 0.1 as in the SAN paper.
    """
    return F.cross_entropy(_precise(logits), labels, label_smoothing=label_smoothing)


def batch_hard_triplet_loss(
    embeddings: Tensor, pids: Tensor, *, margin: float = 0.3, soft_margin: bool = False
) -> Tensor:
    r"""Triplet loss on the hardest positive and the hardest negative of each anchor.

    .. math::
        L = \frac{1}{N} \sum_a \max\bigl(0,\; \max_{p} d(a, p) - \min_{n} d(a, n) + m\bigr)

    Args:
        embeddings: (N, D) float, not necessarily normalized.
        pids: (N,) int; every pid occurs at least twice, and there are at least two.
        margin: m, in the unit of the Euclidean distance d; unused with ``soft_margin``.
        soft_margin: Replace :math:`\max(0, x + m)` by :math:`\log(1 + e^x)`.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: Some anchor has no positive or no negative in the batch. On a GPU, where
            checking would make the host wait, such an anchor counts as 0.

    Source:
        Hermans et al., "In Defense of the Triplet Loss", arXiv:1703.07737; L_Triplet of SAN.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        x = _precise(embeddings)
        # Not by the matrix-product shortcut, which loses the digits of small distances.
        distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        gaps = _hardest_gaps(distances, pids)
        return (F.softplus(gaps) if soft_margin else F.relu(gaps + margin)).mean()


def reconstruction_loss(
    predicted_textures: Tensor, target_textures: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """Mean absolute difference of textures, weighted by a mask if one is given.

    Args:
        predicted_textures: (N, C, H, W) float in [-1, 1].
        target_textures: (N, C, H, W) float in [-1, 1].
        mask: (N, 1, H, W), (1, 1, H, W) or (N, C, H, W) weights in [0, 1]: visibility or
            confidence; 0 leaves a texel out. The mean is weighted by it.

    Returns:
        A scalar in [0, 2] for textures in their range; 0 if the mask is 0 everywhere.

    Raises:
        InputError: The shapes differ.

    Source:
        L_Rec of SAN; the mask is ours, for texels that no camera saw.
    """
    if predicted_textures.shape != target_textures.shape:
        raise InputError(
            f"The predicted textures have the shape {tuple(predicted_textures.shape)}, the "
            f"targets {tuple(target_textures.shape)}; they must be the same."
        )
    difference = (_precise(predicted_textures) - _precise(target_textures)).abs()
    if mask is None:
        return difference.mean()
    try:
        weights = mask.to(difference.dtype).expand_as(difference)
    except RuntimeError:
        raise InputError(
            f"A mask of shape {tuple(mask.shape)} does not fit textures of shape "
            f"{tuple(difference.shape)}; use (N, 1, H, W)."
        ) from None
    total = weights.sum()
    return (difference * weights).sum() / total.clamp_min(torch.finfo(total.dtype).tiny)


def tr_constraint(
    feature_maps: Sequence[Tensor],
    pids: Tensor,
    *,
    margin: float = 0.3,
    pairing: str = "batch_hard",
    distance: str = "squared",
) -> Tensor:
    """Triplet ReID constraint: on every SA-Dec block, same identity close, others far.

    The maps are semantically aligned (each location is one point of the body), so they are
    compared location by location, by the mean squared difference over channels and locations,
    without pooling. The losses of the blocks are summed.

    Args:
        feature_maps: L maps (N, C_l, H_l, W_l), one per decoder block.
        pids: (N,) int, as in :func:`batch_hard_triplet_loss`.
        margin: Per block, in the unit of the squared feature, or as ``distance`` says.
        pairing: ``"batch_hard"``: each crop is an anchor, with its hardest positive and
            negative by ``pids``; the mean over anchors. ``"fixed_positions"``: the pairs of the
            released code, for comparison: one triplet per block and group of four, at fixed
            positions in the batch, the last group never an anchor; the sum over groups.
        distance: Of ``"batch_hard"``: ``"squared"``, or ``"relative"``: divided by the mean
            over the pairs of different identities in the batch, so that maps cannot approach
            the margin by becoming small or all alike.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: Some anchor has no positive or no negative (not on a GPU, as in
            :func:`batch_hard_triplet_loss`); ``fixed_positions`` with a batch
            that is not a sequence of groups of four crops of one identity each; no map at all;
            an unknown ``pairing`` or ``distance``.

    Source:
        L_TR of SAN. Departures: mining by identity in place of the released code's fixed
        positions, which never compare the last group and need four crops each; the relative
        distance.
    """
    if not feature_maps:
        raise InputError("The TR constraint needs at least one feature map; got none.")
    if pairing == "fixed_positions":
        return _fixed_positions(feature_maps, pids, margin)
    if pairing != "batch_hard":
        raise InputError(f"pairing must be 'batch_hard' or 'fixed_positions'; got {pairing!r}.")
    if distance not in ("squared", "relative"):
        raise InputError(f"distance must be 'squared' or 'relative'; got {distance!r}.")
    with torch.autocast(pids.device.type, enabled=False):
        losses = []
        for one in feature_maps:
            distances = _mean_squared_differences(one)
            if distance == "relative":
                distances = distances / _between_identities(distances, pids)
            losses.append(F.relu(_hardest_gaps(distances, pids) + margin).mean())
        return torch.stack(losses).sum()


def _between_identities(distances: Tensor, pids: Tensor) -> Tensor:
    """Return the mean over pairs of different identities; above 0."""
    negatives = (pids[:, None] != pids[None, :]).to(distances.dtype)
    tiny = torch.finfo(distances.dtype).tiny
    return ((distances * negatives).sum() / negatives.sum().clamp_min(1)).clamp_min(tiny)


def _hardest_gaps(distances: Tensor, pids: Tensor) -> Tensor:
    """(N, N) distances to (N,): each anchor's farthest positive minus its nearest negative."""
    if pids.shape != distances.shape[:1]:
        raise InputError(
            f"There are {len(distances)} rows but pids of shape {tuple(pids.shape)}; "
            "one pid per row is needed."
        )
    same = pids[:, None] == pids[None, :]
    itself = torch.eye(len(pids), dtype=torch.bool, device=pids.device)
    positive, negative = same & ~itself, ~same
    # On a GPU checking would make the host wait in every step; the sampler ensures it.
    if not pids.is_cuda and not (positive.any(1) & negative.any(1)).all():
        raise InputError(
            "Every anchor needs a positive and a negative in the batch; "
            "draw batches with PKSampler(p >= 2, k >= 2)."
        )
    farthest = distances.masked_fill(~positive, -torch.inf).amax(1)
    nearest = distances.masked_fill(~negative, torch.inf).amin(1)
    return farthest - nearest


def _mean_squared_differences(feature_map: Tensor) -> Tensor:
    """(N, C, H, W) to (N, N), the mean over C, H, W of squared differences; at least 0.

    Uses one matrix product; the batch's mean map is subtracted first, which changes no
    difference and keeps the digits that a product of large numbers would lose.
    """
    x = _precise(feature_map).flatten(1)
    x = x - x.mean(0, keepdim=True).detach()
    squared = x.square().sum(1)
    distances: Tensor = (squared[:, None] + squared[None, :] - 2 * x @ x.T) / x.shape[1]
    return distances.clamp_min(0)


# Anchor, positive and negative of each block, counted from the start of a group of four.
_RELEASED_POSITIONS = ((0, 1, 4), (1, 2, 5), (2, 3, 6), (3, 0, 4))


def _fixed_positions(feature_maps: Sequence[Tensor], pids: Tensor, margin: float) -> Tensor:
    groups = pids.reshape(-1, 4) if len(pids) % 4 == 0 else None
    if groups is None or len(groups) < 2 or (groups != groups[:, :1]).any():
        raise InputError(
            "pairing 'fixed_positions' needs at least two groups of four neighbouring crops of "
            "one identity (k = 4); use 'batch_hard' for any other batch."
        )
    if len(feature_maps) != len(_RELEASED_POSITIONS):
        raise InputError(f"pairing 'fixed_positions' is for four blocks; got {len(feature_maps)}.")
    starts = torch.arange(0, len(pids) - 4, 4, device=pids.device)
    losses = []
    for feature_map, (anchor, positive, negative) in zip(
        feature_maps, _RELEASED_POSITIONS, strict=True
    ):
        x = _precise(feature_map).flatten(1)
        near = (x[starts + anchor] - x[starts + positive]).square().mean(1)
        far = (x[starts + anchor] - x[starts + negative]).square().mean(1)
        losses.append(F.relu(near - far + margin).sum())
    return torch.stack(losses).sum()


def _precise(x: Tensor) -> Tensor:
    """Return ``x`` in at least float32: half precisions lose the digits of small differences."""
    return x if x.dtype == torch.float64 else x.float()


def unit_rows(embeddings: Tensor) -> Tensor:
    """Return rows of L2 norm 1, in at least float32."""
    return F.normalize(_precise(embeddings), dim=1)


# --- entries in the objective ---------------------------------------------------------------


@register_loss("identity", weight="identity")
def _identity(inputs: LossInputs) -> Tensor | None:
    if inputs.output is None:
        return None
    c, logits, labels = inputs.config, inputs.output.logits, inputs.targets.labels
    if c.identity_softmax != "plain":
        logits = margin_logits(
            logits, labels, kind=c.identity_softmax, scale=c.identity_scale,
            margin=c.identity_margin,
        )  # fmt: skip
    return identity_loss(logits, labels, label_smoothing=c.label_smoothing)


@register_loss("triplet", weight="triplet")
def _triplet(inputs: LossInputs) -> Tensor | None:
    if inputs.output is None:
        return None
    c = inputs.config
    on_pooled = c.triplet_on == "pooled"
    vectors = runtime.gather(inputs.output.pooled) if on_pooled else inputs.embeddings
    return batch_hard_triplet_loss(
        vectors, inputs.pids, margin=c.margin, soft_margin=c.soft_margin
    )


@register_loss("reconstruction", weight="reconstruction", of_decoder=True)
def _reconstruction(inputs: LossInputs) -> Tensor | None:
    targets = inputs.targets
    if inputs.output is None or inputs.output.texture is None or targets.textures is None:
        return None
    return _joint_mean(inputs.output.texture, targets.textures, targets.mask)


@register_loss("tr", weight="tr", of_decoder=True)
def _tr(inputs: LossInputs) -> Tensor | None:
    if inputs.output is None:
        return None
    c = inputs.config
    maps = [runtime.gather(one) for one in inputs.output.block_maps]
    return tr_constraint(
        maps, inputs.pids, margin=c.tr_margin, pairing=c.tr_pairing, distance=c.tr_distance
    )


def _pit_weight(context: LossContext) -> float:
    return context.config.reconstruction * context.pit_weight


@register_loss("pit", weight=_pit_weight, of_decoder=True)
def _pit(inputs: LossInputs) -> Tensor | None:
    if inputs.pit_textures is None or inputs.targets.pit_textures is None:
        return None
    return _joint_mean(inputs.pit_textures, inputs.targets.pit_textures, inputs.targets.pit_mask)


def _joint_mean(predicted: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Return the reconstruction loss, weighted so that processes average to the joint one."""
    loss = reconstruction_loss(predicted, target, mask=mask)
    if mask is None or runtime.world_size() == 1:
        return loss
    own = mask.float().expand(len(predicted), -1, -1, -1).sum()
    mean = runtime.all_sum(own) / runtime.world_size()
    return loss * own / mean.clamp_min(torch.finfo(mean.dtype).tiny)
