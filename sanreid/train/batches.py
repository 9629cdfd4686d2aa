"""What one step trains on: augmented crops, their labels, and textures in step with them.

The work is in two parts. Reading (rows of the store, decoding textures) needs no device and is
done one batch ahead in a thread; the rest (augmentation, mirroring) runs on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.train import distributed
from sanreid.train.config import TrainConfig
from sanreid.train.data import CropStore, PKSampler
from sanreid.train.feeding import data_digest, read_source, step_generator
from sanreid.train.objective import Targets
from sanreid.train.pairs import Pairs
from sanreid.train.targets import TextureSource, in_step, open_atlas
from sanreid.train.transforms import BatchAugmentation

__all__ = ["Batch", "Batches", "CropBatches", "PairBatches", "Raw", "ReadAhead"]


class Raw(NamedTuple):
    """What was read of one batch, uint8 on the CPU (the images where the store is)."""

    places: Tensor  # (N,) int64, of crops; of pairs where there are no crops
    images: Tensor | None = None
    textures: Tensor | None = None
    confidences: Tensor | None = None
    pit_images: Tensor | None = None
    pit_textures: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on the device.

    Args:
        places: (N,) int64, the crops' (or pairs') places in their source.
        crops: (N, 3, H, W) float32, augmented and normalised; None for SAN-PG.
        targets: Labels and textures.
        pit_crops: (M, 3, H, W) float32 of synthetic pairs, or None.
    """

    places: Tensor
    crops: Tensor | None
    targets: Targets
    pit_crops: Tensor | None = None


class Batches(Protocol):
    """Where a run's batches come from.

    A batch depends on the configuration and its number alone, so a resumed run sees what an
    uninterrupted one would have seen.
    """

    num_classes: int
    training_data: list[dict[str, Any]]
    digest: str

    def __len__(self) -> int:
        """Give the number of batches in an epoch."""
        ...

    def places(self, epoch: int) -> list[Tensor]:
        """Give the places of every batch of an epoch."""
        ...

    def read(self, places: Tensor, *, number: int) -> Raw:
        """Read one batch, the run's ``number``-th; safe to call from another thread."""
        ...

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make one batch on the device out of what was read."""
        ...

    def names(self, places: Tensor) -> list[str]:
        """Say which crops lie at ``places``."""
        ...


class CropBatches:
    """Real crops in P x K batches, with their textures and synthetic pairs where configured.

    Args:
        config: The run's configuration.
        device: Where the batches shall lie.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        sets = [read_source(source) for source in config.data.sources]
        self.training_data: list[dict[str, Any]] = [
            {
                "name": source.name or crops.name,
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
        self.num_classes: int = self.store.num_classes
        self.digest = data_digest(self.store.crops)
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
        self._augmenter = _Augmenter(config, device)
        self.textures: TextureSource | None = None
        self.pairs: Pairs | None = None
        if config.loss.reconstruction > 0:
            if any(source.textures for source in config.data.sources):
                self.textures = TextureSource(config.data, [crops.keys for crops in sets])
            if config.pit.folder:
                self.pairs = Pairs(config.pit, size=config.encoder.input_size)
            self.tables = open_atlas(config.data).to(device)

    def __len__(self) -> int:
        return len(self.sampler)

    def places(self, epoch: int) -> list[Tensor]:
        """Give the places of every batch of an epoch."""
        return list(self.sampler.epoch(epoch))

    def read(self, places: Tensor, *, number: int) -> Raw:
        """Read one batch; ``number`` decides the synthetic pairs."""
        textures = confidences = pit_images = pit_textures = None
        if self.textures is not None:
            keys = [self.store.keys[place] for place in places.tolist()]
            textures, confidences = self.textures.read(keys)
        if self.pairs is not None:
            count = self.config.pit.per_batch
            generator = step_generator(self.config.run.seed + 1, number)
            drawn = torch.randint(len(self.pairs), (count,), generator=generator)
            pit_images, pit_textures, _ = self.pairs.read(_share(drawn).tolist())
        images = self.store.batch(places)
        return Raw(places, images, textures, confidences, pit_images, pit_textures)

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make one batch on the device; ``number`` decides the augmentation."""
        assert raw.images is not None  # noqa: S101 - read() gave them
        generator = step_generator(self.config.run.seed, number)
        crops, mirrored = self._augmenter(raw.images, generator, epoch)
        textures = mask = pit_crops = pit_textures = pit_mask = None
        if raw.textures is not None and raw.confidences is not None:
            own = raw.textures.to(self.device), raw.confidences.to(self.device)
            textures, mask = in_step(*own, mirrored, self.tables)
        if raw.pit_images is not None and raw.pit_textures is not None:
            pit_crops, pit_mirrored = self._augmenter(raw.pit_images, generator, epoch)
            pairs = _whole(raw.pit_textures.to(self.device))
            pit_textures, pit_mask = in_step(*pairs, pit_mirrored, self.tables)
        labels = self.labels[raw.places.to(self.device)]
        targets = Targets(labels, textures, mask, pit_textures, pit_mask)
        return Batch(raw.places, crops, targets, pit_crops)

    def names(self, places: Tensor) -> list[str]:
        """Give the files of the crops at ``places``."""
        return [str(self.store.paths[place]) for place in places.tolist()]


class PairBatches:
    """Synthetic pairs alone, for SAN-PG; each once an epoch but for a last incomplete batch."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.pairs = Pairs(config.pit, size=config.encoder.input_size)
        self.tables = open_atlas(config.data).to(device)
        self.num_classes = 0
        self.training_data: list[dict[str, Any]] = [
            {
                "name": "PIT, rendered people",
                "terms": "none of their own",
                "identities": self.pairs.num_identities,
                "crops": len(self.pairs),
            }
        ]
        self.digest = f"{len(self.pairs)} pairs, held out {config.pit.held_out}"
        self._augmenter = _Augmenter(config, device)

    def __len__(self) -> int:
        return max(1, len(self.pairs) // self.config.pit.per_batch)

    def places(self, epoch: int) -> list[Tensor]:
        """Give the places of every batch of an epoch."""
        generator = step_generator(self.config.run.seed + 2, epoch)
        order = torch.randperm(len(self.pairs), generator=generator)
        count = self.config.pit.per_batch
        return [_share(order[n * count : (n + 1) * count]) for n in range(len(self))]

    def read(self, places: Tensor, *, number: int) -> Raw:  # noqa: ARG002 - as the protocol has it
        """Read one batch."""
        images, textures, _ = self.pairs.read(places.tolist())
        return Raw(places, pit_images=images, pit_textures=textures)

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make one batch on the device; ``number`` decides the augmentation."""
        assert raw.pit_images is not None  # noqa: S101 - read() gave them
        assert raw.pit_textures is not None  # noqa: S101 - as above
        generator = step_generator(self.config.run.seed, number)
        crops, mirrored = self._augmenter(raw.pit_images, generator, epoch)
        pairs = _whole(raw.pit_textures.to(self.device))
        textures, mask = in_step(*pairs, mirrored, self.tables)
        labels = torch.zeros(len(crops), dtype=torch.int64, device=self.device)
        targets = Targets(labels, pit_textures=textures, pit_mask=mask)
        return Batch(raw.places, None, targets, crops)

    def names(self, places: Tensor) -> list[str]:
        """Say which pairs lie at ``places``."""
        return [self.pairs.name(place) for place in places.tolist()]


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


class _Augmenter:
    """Images to crops as the configuration says, at the epoch's size."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        options: dict[str, Any] = asdict(config.augmentation)
        encoder = config.encoder
        self._augment = BatchAugmentation(**options, mean=encoder.mean, std=encoder.std)
        self._run = config.run
        self._device = device

    def __call__(
        self, images: Tensor, generator: torch.Generator, epoch: int
    ) -> tuple[Tensor, Tensor]:
        """Give the crops, and which of them were mirrored."""
        crops, mirrored = self._augment(
            images.to(self._device, non_blocking=True),
            generator=generator,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        for step in self._run.sizes:
            if epoch < step.until_epoch:
                crops = F.interpolate(crops, size=step.size, mode="bilinear", antialias=True)
                break
        if self._run.channels_last:
            crops = crops.contiguous(memory_format=torch.channels_last)
        return crops, mirrored


def _share(places: Tensor) -> Tensor:
    """This process's part of a joint batch."""
    share = len(places) // distributed.world_size()
    return places[distributed.rank() * share : (distributed.rank() + 1) * share]


def _whole(textures: Tensor) -> tuple[Tensor, Tensor]:
    """Textures that are known everywhere, with the confidences that say so."""
    return textures, torch.full_like(textures[:, :1], 255)
