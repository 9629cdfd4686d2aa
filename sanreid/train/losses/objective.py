"""The sum that one joint step minimises, from a network's output.

The paper's ablation rows are the weights: identity and triplet alone are the baseline; with
reconstruction it is the paper's "SAN-basic"; with the TR constraint SAN; with synthetic pairs in
each batch the full row. One backward and one optimizer serve all terms. Departure: the released
code steps twice per batch with three optimizers; its second backward runs through a graph whose
weights the first step has changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sanreid.train.config import LossConfig
from sanreid.train.loop import distributed
from sanreid.train.losses.camera_proxies import CameraProxies
from sanreid.train.losses.terms import (
    batch_hard_triplet_loss,
    identity_loss,
    reconstruction_loss,
    tr_constraint,
)
from sanreid.train.networks.san import SANOutput

__all__ = ["Objective", "Targets"]


@dataclass(frozen=True, slots=True)
class Targets:
    """What one batch should give.

    Args:
        labels: (N,) int64, contiguous identities.
        textures: (N, 3, 256, 256) in [-1, 1], or None.
        mask: (N, 1, 256, 256) weights in [0, 1], or None: every place counts.
        pit_textures: (M, 3, 256, 256) of the synthetic pairs, or None.
        pit_mask: As ``mask``.
        places: (N,) int64, the proxy of each crop's person under its camera, or None.
    """

    labels: Tensor
    textures: Tensor | None = None
    mask: Tensor | None = None
    pit_textures: Tensor | None = None
    pit_mask: Tensor | None = None
    places: Tensor | None = None


class Objective:
    """Compute the terms and their weighted sum.

    Args:
        config: Weights and margins.
        pit_weight: Weight of the synthetic pairs' reconstruction loss relative to the crops'.
        proxies: The memory of the cross-camera loss, which follows each batch; None where
            that loss has no weight.
    """

    def __init__(
        self,
        config: LossConfig,
        *,
        pit_weight: float = 1.0,
        proxies: CameraProxies | None = None,
    ) -> None:
        self.config = config
        self.pit_weight = pit_weight
        self.proxies = proxies

    def __call__(
        self,
        output: SANOutput | None,
        targets: Targets,
        pit_textures: Tensor | None = None,
        *,
        decoder_share: float = 1.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the sum and its unweighted terms by name; those of SA-Dec by ``decoder_share``.

        Across processes, triplets are mined in the joint batch; the sum's gradient, averaged
        over the processes, is that of one process with the joint batch.
        """
        terms = self._terms(output, targets, pit_textures)
        c = self.config
        weights = {
            "identity": c.identity,
            "triplet": c.triplet,
            "cross_camera": c.cross_camera,
            "tr": c.tr * decoder_share,
            "reconstruction": c.reconstruction * decoder_share,
            "pit": c.reconstruction * self.pit_weight * decoder_share,
        }
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return total, terms

    def _terms(
        self, output: SANOutput | None, targets: Targets, pit_textures: Tensor | None
    ) -> dict[str, Tensor]:
        c = self.config
        terms = {} if output is None else self._real_terms(output, targets)
        if c.reconstruction > 0 and pit_textures is not None and targets.pit_textures is not None:
            terms["pit"] = _joint_mean(pit_textures, targets.pit_textures, targets.pit_mask)
        return terms

    def _real_terms(self, output: SANOutput, targets: Targets) -> dict[str, Tensor]:
        c = self.config
        terms: dict[str, Tensor] = {}
        if c.identity > 0:
            terms["identity"] = identity_loss(
                output.logits, targets.labels, label_smoothing=c.label_smoothing
            )
        if c.triplet > 0 or c.tr > 0 or c.cross_camera > 0:
            pids = distributed.gather(targets.labels)
        if c.triplet > 0:
            vectors = output.pooled if c.triplet_on == "pooled" else output.embedding
            terms["triplet"] = batch_hard_triplet_loss(
                distributed.gather(vectors), pids, margin=c.margin, soft_margin=c.soft_margin
            )
        if self.proxies is not None and targets.places is not None:
            embeddings = distributed.gather(output.embedding)
            places = distributed.gather(targets.places)
            terms["cross_camera"] = self.proxies.loss(embeddings, pids, places)
            self.proxies.update(embeddings, places)
        if c.reconstruction > 0 and output.texture is not None and targets.textures is not None:
            terms["reconstruction"] = _joint_mean(output.texture, targets.textures, targets.mask)
        if c.tr > 0:
            maps = [distributed.gather(one) for one in output.block_maps]
            terms["tr"] = tr_constraint(
                maps, pids, margin=c.tr_margin, pairing=c.tr_pairing, distance=c.tr_distance
            )
        return terms


def _joint_mean(predicted: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """The reconstruction loss, weighted so that its average over processes is the joint one."""
    loss = reconstruction_loss(predicted, target, mask=mask)
    if mask is None or distributed.world_size() == 1:
        return loss
    own = mask.float().expand(len(predicted), -1, -1, -1).sum()
    mean = distributed.all_sum(own) / distributed.world_size()
    return loss * own / mean.clamp_min(torch.finfo(mean.dtype).tiny)
