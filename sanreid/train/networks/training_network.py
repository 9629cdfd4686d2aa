"""The network of a run, and the one forward pass that DistributedDataParallel wraps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sanreid.train.config import TrainConfig
from sanreid.train.networks.initialization import load_first_weights
from sanreid.train.networks.san import SAN, SANPG, SANOutput, build_san, build_san_pg

__all__ = ["JointForward", "build_network", "running_statistics_kept"]


def build_network(
    config: TrainConfig, num_classes: int, device: torch.device, *, load_start: bool = True
) -> SAN | SANPG:
    """Build, initialise and place the network of a run; the same for the same seed.

    Args:
        config: The run's configuration.
        num_classes: Identities; not looked at for SAN-PG.
        device: Where it shall lie.
        load_start: Load the first weights that ``config.init`` names.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's generator is put back afterwards
        torch.manual_seed(config.run.seed)
        decoder = config.decoder if config.loss.needs_decoder else None
        network: SAN | SANPG = (
            build_san_pg(config.encoder, config.decoder)
            if config.is_san_pg
            else build_san(config.encoder, num_classes=num_classes, decoder=decoder)
        )
    if load_start:
        load_first_weights(network, config.init)
    if config.is_san_pg:  # painting reads the stage maps; pooling and head stay as they are
        network.encoder.head.requires_grad_(requires_grad=False)
        network.encoder.pooling.requires_grad_(requires_grad=False)
    if config.run.channels_last:
        network.to(memory_format=torch.channels_last)
    return network.to(device)


class JointForward(nn.Module):
    """One forward pass over the real crops and, where given, the synthetic ones.

    Args:
        network: SAN, or SAN-PG for synthetic crops alone.
        separate_batch_norm: Normalise the synthetic crops by their own batch statistics and
            leave the running statistics to the real crops; else both are one batch.
    """

    def __init__(self, network: SAN | SANPG, *, separate_batch_norm: bool) -> None:
        super().__init__()
        self.network = network
        self.separate_batch_norm = separate_batch_norm

    def forward(
        self, crops: Tensor | None, pit_crops: Tensor | None = None
    ) -> tuple[SANOutput | None, Tensor | None]:
        """Give the real crops' output and the synthetic crops' textures."""
        if crops is None:
            return None, None if pit_crops is None else self.network.paint(pit_crops)
        if pit_crops is None:
            return self.network(crops), None
        if self.separate_batch_norm:
            output = self.network(crops)
            with running_statistics_kept(self.network):
                return output, self.network.paint(pit_crops)
        n = len(crops)
        both: SANOutput = self.network(torch.cat([crops, pit_crops]))
        real = SANOutput(
            embedding=both.embedding[:n],
            pooled=both.pooled[:n],
            logits=both.logits[:n],
            texture=None if both.texture is None else both.texture[:n],
            block_maps=tuple(one[:n] for one in both.block_maps),
        )
        return real, None if both.texture is None else both.texture[n:]


@contextmanager
def running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers in ``train()`` normalise by the batch and learn nothing from it."""
    layers = [
        (layer, layer.momentum, layer.num_batches_tracked)
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.training
    ]
    counts = [None if count is None else count.clone() for _, _, count in layers]
    for layer, _, _ in layers:
        layer.momentum = 0.0  # running = (1 - 0) * running + 0 * batch
    try:
        yield
    finally:
        for (layer, momentum, counter), count in zip(layers, counts, strict=True):
            layer.momentum = momentum
            if counter is not None and count is not None:
                counter.copy_(count)
