"""What one step trains on: augmented crops, their labels, and textures in step with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.train import distributed
from sanreid.train.config import TrainConfig
from sanreid.train.data import CropStore, PKSampler
from sanreid.train.feeding import read_source, step_generator
from sanreid.train.objective import Targets
from sanreid.train.transforms import BatchAugmentation

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on the device.

    Args:
        places: (N,) int64, the crops' places in the store.
        crops: (N, 3, H, W) float32, augmented and normalised.
        targets: Labels and textures.
        pit_crops: (M, 3, H, W) float32 of synthetic pairs, or None.
    """

    places: Tensor
    crops: Tensor
    targets: Targets
    pit_crops: Tensor | None = None


class Batches:
    """The crops of a run, dealt into batches.

    A batch depends on the configuration and its number alone, so a resumed run sees what an
    uninterrupted one would have seen.

    Args:
        config: The run's configuration.
        device: Where the batches shall lie.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        sets = [read_source(source) for source in config.data.sources]
        self.training_data = [
            {
                "name": crops.name,
                "terms": source.terms or "unknown",
                "identities": crops.num_identities,
                "crops": len(crops),
            }
            for source, crops in zip(config.data.sources, sets, strict=True)
        ]
        self.store = CropStore.from_crops(
            sets,
            size=config.encoder.input_size,
            cache_dir=Path(config.data.cache_dir) if config.data.cache_dir else None,
            device=device if config.data.store == "device" else "cpu",
        )
        self.labels = self.store.labels.to(device)
        self.sampler = PKSampler(
            self.store.labels,
            self.store.camids,
            p=config.data.p,
            k=config.data.k,
            seed=config.run.seed,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        options: dict[str, Any] = asdict(config.augmentation)
        self.augment = BatchAugmentation(
            **options, mean=config.encoder.mean, std=config.encoder.std
        )

    @property
    def num_classes(self) -> int:
        """Identities to tell apart."""
        return self.store.num_classes

    def __len__(self) -> int:
        return len(self.sampler)

    def places(self, epoch: int) -> list[Tensor]:
        """Give the places of every batch of an epoch."""
        return list(self.sampler.epoch(epoch))

    def batch(self, places: Tensor, *, number: int, epoch: int) -> Batch:
        """Make one batch.

        Args:
            places: (N,) int64, places in the store.
            number: The batch's number in the run, from 0; decides the augmentation.
            epoch: For the progressive input size.
        """
        images = self.store.batch(places).to(self.device, non_blocking=True)
        generator = step_generator(self.config.run.seed, number)
        augmented = self.augment(
            images,
            generator=generator,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        crops = self._sized(augmented.crops, epoch)
        if self.config.run.channels_last:
            crops = crops.contiguous(memory_format=torch.channels_last)
        return Batch(places, crops, Targets(labels=self.labels[places.to(self.device)]))

    def names(self, places: Tensor) -> list[str]:
        """Give the files of the crops at ``places``."""
        return [str(self.store.paths[place]) for place in places.tolist()]

    def _sized(self, crops: Tensor, epoch: int) -> Tensor:
        for step in self.config.run.sizes:
            if epoch < step.until_epoch:
                return F.interpolate(crops, size=step.size, mode="bilinear", antialias=True)
        return crops
