"""What one step trains on: augmented crops, their labels, and textures in step with them.

The work is in two parts. Reading (rows of the store, decoding textures) needs no device and is
done one batch ahead in a thread; the rest (augmentation, mirroring) runs on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
from sanreid.train.pairs import PairSource, open_pairs
from sanreid.train.targets import TextureSource, in_step, need_atlas
from sanreid.train.transforms import BatchAugmentation

__all__ = ["Batch", "Batches", "Raw", "ReadAhead"]


@dataclass(frozen=True, slots=True)
class Raw:
    """What was read of one batch, all uint8 on the CPU (the images where the store is)."""

    places: Tensor
    images: Tensor
    textures: Tensor | None = None
    confidences: Tensor | None = None
    pit_images: Tensor | None = None
    pit_textures: Tensor | None = None


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
        self.textures: TextureSource | None = None
        self.pairs: PairSource | None = None
        if config.loss.reconstruction > 0:
            if any(source.textures for source in config.data.sources):
                self.textures = TextureSource(config.data, [crops.keys for crops in sets])
            if config.pit.folder:
                self.pairs = open_pairs(config.pit, size=config.encoder.input_size)
            self.tables = need_atlas(config.data).to(device)

    @property
    def num_classes(self) -> int:
        """Identities to tell apart."""
        return self.store.num_classes

    def __len__(self) -> int:
        return len(self.sampler)

    def places(self, epoch: int) -> list[Tensor]:
        """Give the places of every batch of an epoch."""
        return list(self.sampler.epoch(epoch))

    def read(self, places: Tensor, *, number: int) -> Raw:
        """Read one batch; safe to call from another thread.

        Args:
            places: (N,) int64, places in the store.
            number: The batch's number in the run, from 0; decides the synthetic pairs.
        """
        textures = confidences = pit_images = pit_textures = None
        if self.textures is not None:
            keys = [self.store.keys[place] for place in places.tolist()]
            textures, confidences = self.textures.read(keys)
        if self.pairs is not None:
            pit_images, pit_textures = self.pairs.read(self._drawn_pairs(number))
        return Raw(
            places, self.store.batch(places), textures, confidences, pit_images, pit_textures
        )

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make one batch on the device out of what was read.

        Args:
            raw: As :meth:`read` gave it.
            number: The same number; decides the augmentation.
            epoch: For the progressive input size.
        """
        generator = step_generator(self.config.run.seed, number)
        crops, mirrored = self._augmented(raw.images, generator, epoch)
        labels = self.labels[raw.places.to(self.device)]
        textures = mask = pit_crops = pit_textures = pit_mask = None
        if raw.textures is not None and raw.confidences is not None:
            textures, mask = in_step(
                raw.textures.to(self.device),
                raw.confidences.to(self.device),
                mirrored,
                self.tables,
            )
        if raw.pit_images is not None and raw.pit_textures is not None:
            pit_crops, pit_mirrored = self._augmented(raw.pit_images, generator, epoch)
            everywhere = torch.full_like(raw.pit_textures[:, :1], 255)
            pit_textures, pit_mask = in_step(
                raw.pit_textures.to(self.device),
                everywhere.to(self.device),
                pit_mirrored,
                self.tables,
            )
        targets = Targets(labels, textures, mask, pit_textures, pit_mask)
        return Batch(raw.places, crops, targets, pit_crops)

    def names(self, places: Tensor) -> list[str]:
        """Give the files of the crops at ``places``."""
        return [str(self.store.paths[place]) for place in places.tolist()]

    def _augmented(
        self, images: Tensor, generator: torch.Generator, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """Augmented crops at the epoch's size, and which of them were mirrored."""
        augmented = self.augment(
            images.to(self.device, non_blocking=True),
            generator=generator,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        crops = augmented.crops
        for step in self.config.run.sizes:
            if epoch < step.until_epoch:
                crops = F.interpolate(crops, size=step.size, mode="bilinear", antialias=True)
                break
        if self.config.run.channels_last:
            crops = crops.contiguous(memory_format=torch.channels_last)
        return crops, augmented.mirrored

    def _drawn_pairs(self, number: int) -> list[int]:
        """Places of this process's synthetic pairs in batch ``number``."""
        assert self.pairs is not None  # noqa: S101 - the caller looked
        generator = step_generator(self.config.run.seed + 1, number)
        drawn = torch.randint(len(self.pairs), (self.config.pit.per_batch,), generator=generator)
        share = self.config.pit.per_batch // distributed.world_size()
        first = distributed.rank() * share
        return [int(n) for n in drawn[first : first + share]]


class ReadAhead:
    """Read an epoch's batches, each while the one before it is trained on.

    Args:
        batches: Where they come from.
        places: The places of every batch of the epoch.
        first: Number of the epoch's first batch in the run.
        begin: Batches of the epoch already done.
    """

    def __init__(
        self, batches: Batches, places: Sequence[Tensor], *, first: int, begin: int
    ) -> None:
        self._batches = batches
        self._places = places
        self._first = first
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._next: tuple[int, Future[Raw]] | None = None
        self._ask(first + begin)

    def take(self, number: int) -> Raw:
        """Give the batch of that number in the run, and begin to read the next."""
        if self._next is None or self._next[0] != number:
            self._ask(number)
        assert self._next is not None  # noqa: S101 - just asked for
        raw = self._next[1].result()
        self._ask(number + 1)
        return raw

    def close(self) -> None:
        """Stop reading."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, number: int) -> None:
        place = number - self._first
        if place >= len(self._places):
            self._next = None
            return
        future = self._pool.submit(self._batches.read, self._places[place], number=number)
        self._next = (number, future)
