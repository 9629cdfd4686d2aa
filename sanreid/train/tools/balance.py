"""How strong the gradient of each loss term of a run is at the encoder, to choose weights by.

The values of the terms say little about that: a mean absolute difference over a texture moves
the encoder far less than a triplet loss of the same value. The norms of the gradients show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sanreid.errors import ConfigError, InputError, TrainingError
from sanreid.train.checkpoint import load_into_network, load_run, network_state
from sanreid.train.config.loader import override
from sanreid.train.data.crop_batches import CropBatches
from sanreid.train.loop.learner import Learner
from sanreid.train.runtime import resolve_device

__all__ = ["TermGradient", "gradient_balance"]

_STAGES = ("layer2", "layer3", "layer4")


class TermGradient(NamedTuple):
    """The gradient of one unweighted term at one stage of the encoder; means over batches."""

    norm: float
    relative: float  # to the norm of the gradient of identity and triplet loss together
    cosine: float  # with that gradient


def gradient_balance(
    folder: Path, *, overrides: Sequence[str] = (), batches: int = 4
) -> dict[str, dict[str, TermGradient]]:
    """Measure the gradients of the terms at a run's last checkpoint; nothing is changed.

    Args:
        folder: The run's folder.
        overrides: Changes of the run's settings, as ``--set`` takes them: ``loss.tr=0.1`` adds
            a term that the run left out.
        batches: Batches to average over, at least 1; at most those of an epoch are taken.

    Returns:
        By term, then by stage of the encoder (``"layer2"``, ``"layer3"``, ``"layer4"``) that is
        trained.

    Raises:
        InputError: ``batches`` is below 1.
        ConfigError: The run has no identity or triplet loss to compare with.
        TrainingError: The folder holds no run, or no checkpoint; its crops have changed; an
            override makes another network.
    """
    if batches < 1:
        raise InputError(f"batches must be at least 1; got {batches}.")
    before, state = load_run(folder, which="last")
    config = override(before, ["run.precision='fp32'", "loss.decoder_every=1", *overrides])
    if not config.loss.identity + config.loss.triplet:
        raise ConfigError(f"{folder} has neither identity nor triplet loss to compare with.")
    if config.loss.needs_decoder and not before.loss.needs_decoder:
        raise ConfigError(f"{folder} was trained without SA-Dec, which loss.tr asks about.")
    if config.clusters.enabled:
        raise ConfigError(f"{folder} learns from clusters, which its batches cannot do without.")
    device = resolve_device(config.run.device)
    source = CropBatches(config, device)
    if source.digest.split()[0] != state["data_digest"].split()[0]:  # textures may be others
        raise TrainingError(
            f"The crops are not those that the run in {folder} trained on, whose people its "
            "classifier knows: check data.sources."
        )
    learner = Learner(
        config,
        num_classes=source.num_classes,
        device=device,
        proxy_pids=source.proxy_pids,
        teacher_dim=source.teacher_dim,
        load_start=False,
    )
    load_into_network(learner.network, network_state(state), folder)
    learner.load_losses(state)
    learner.begin_epoch(config.run.epochs)
    trunk = learner.network.encoder.trunk
    stages_of = {name: list(getattr(trunk, name, nn.Identity()).parameters()) for name in _STAGES}
    parts = {
        name: learned
        for name, parameters in stages_of.items()
        if (learned := [p for p in parameters if p.requires_grad])
    }
    sums: dict[str, dict[str, Tensor]] = {}
    chosen = source.epoch(0)[:batches]
    for number, indices in enumerate(chosen):
        raw = source.read(indices, number=number)
        _, terms = learner.loss(source.batch(raw, number=number, epoch=config.run.epochs))
        for stage, parameters in parts.items():
            gradients = {name: _gradient(term, parameters) for name, term in terms.items()}
            main = sum(
                (gradients[name] for name in ("identity", "triplet") if name in gradients),
                torch.zeros((), dtype=torch.float64, device=device),
            )
            for name, gradient in gradients.items():
                norm, length = gradient.norm(), main.norm()
                found = torch.stack([norm, norm / length, gradient @ main / (norm * length)])
                stages = sums.setdefault(name, {})
                stages[stage] = stages.get(stage, torch.zeros(())) + found.cpu() / len(chosen)
    return {
        name: {stage: TermGradient(*values.tolist()) for stage, values in stages.items()}
        for name, stages in sums.items()
    }


def _gradient(term: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return the gradient of a term at the parameters as one vector; 0 where it has none.

    In float64: millions of squares are summed.
    """
    found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten().double()
            for p, g in zip(parameters, found, strict=True)
        ]
    )
