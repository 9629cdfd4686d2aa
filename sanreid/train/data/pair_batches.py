"""Batches of only synthetic pairs, for SAN-PG."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sanreid.train.config import TrainConfig
from sanreid.train.data.batches import Batch, Raw
from sanreid.train.data.crop_batches import Augmenter, check_share, share, step_generator
from sanreid.train.data.pairs import Pairs
from sanreid.train.losses.objective import Targets
from sanreid.train.runtime import to_device
from sanreid.train.textures.targets import mirrored_targets, mirrored_texels, open_atlas
from sanreid.utils.words import counted

__all__ = ["PairBatches"]


class PairBatches:
    """Only synthetic pairs, each once per epoch except those of a last incomplete batch.

    Args:
        config: The run's configuration.
        device: The device of the batches.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self._augmenter = Augmenter(config, device)
        check_share(config)
        on_device = device if config.data.store == "device" else torch.device("cpu")
        self.pairs = Pairs(
            config.pit,
            size=config.encoder.input_size,
            device=on_device,
            with_texels=config.loss.surface > 0,
        )
        self.tables = open_atlas(config.data).to(device)
        self.num_classes = 0
        self.proxy_pids: Tensor | None = None
        self.teacher_dim = 0
        self.training_data: list[dict[str, Any]] = [self.pairs.describe()]
        self.digest = self.pairs.digest

    def __len__(self) -> int:
        return max(1, len(self.pairs) // self.config.pit.per_batch)

    def summary(self) -> str:
        """Return in a few words what there is to train on."""
        return counted(len(self.pairs), "synthetic pair", "synthetic pairs")

    def epoch(self, epoch: int) -> list[Tensor]:
        """Return the indices of every batch of an epoch."""
        generator = step_generator(self.config.run.seed + 2, epoch)
        order = torch.randperm(len(self.pairs), generator=generator)
        count = self.config.pit.per_batch
        return [share(order[n * count : (n + 1) * count]) for n in range(len(self))]

    def read(self, indices: Tensor, *, number: int) -> Raw:  # noqa: ARG002 - as the protocol has it
        """Read one batch: the pairs are decoded already."""
        return Raw(indices)

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make a batch on the device; ``number`` decides the augmentation."""
        generator = step_generator(self.config.run.seed, number)
        images, known = self.pairs.batch(raw.indices)
        augmented = self._augmenter(images, generator, epoch)
        known = to_device(known, self.device)
        textures, mask = mirrored_targets(known, None, augmented.mirrored, self.tables)
        texels = self.pairs.texels_of(raw.indices)
        if texels is not None:
            moved = augmented.moved(to_device(texels, self.device))
            texels = mirrored_texels(moved, augmented.mirrored, self.tables)
        labels = torch.zeros(len(images), dtype=torch.int64, device=self.device)
        targets = Targets(labels, pit_textures=textures, pit_mask=mask, pit_texels=texels)
        return Batch(raw.indices, None, targets, augmented.crops)

    def names(self, indices: Tensor) -> list[str]:
        """Return descriptions of the pairs at ``indices``."""
        return [self.pairs.name(index) for index in indices.tolist()]
