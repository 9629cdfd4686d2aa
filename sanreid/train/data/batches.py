"""What one step trains on: augmented crops, their labels, and textures in step with them.

The work is in two parts. Reading (rows of a store in memory, decoding textures) needs no device
and is done one batch ahead in a thread; the rest (rows of a store on the device, augmentation,
mirroring) runs on the device, and nothing of it makes the host wait.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.errors import ConfigError, InputError
from sanreid.train.config import TrainConfig
from sanreid.train.data import CropStore, PKSampler
from sanreid.train.data.pairs import Pairs
from sanreid.train.data.sources import (
    camera_looks,
    data_digest,
    joined_for_training,
    read_source,
    step_generator,
)
from sanreid.train.data.targets import HeldTextures, TextureSource, in_step, open_atlas
from sanreid.train.data.transforms import BatchAugmentation, CameraLooks
from sanreid.train.loop import distributed
from sanreid.train.loop.device import sent
from sanreid.train.losses.objective import Targets

__all__ = ["Batch", "Batches", "CropBatches", "PairBatches", "Raw"]


class Raw(NamedTuple):
    """What was read of one batch, uint8 on the CPU; what lies on the device is not in it."""

    places: Tensor  # (N,) int64, of crops; of pairs where there are no crops
    images: Tensor | None = None
    textures: Tensor | None = None
    confidences: Tensor | None = None
    pit_places: Tensor | None = None  # (M,) int64, of the pairs beside the crops


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
    proxy_pids: Tensor | None  # (M,) int64, whose each proxy of the cross-camera loss is
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
        self._augmenter = _Augmenter(config, device)
        sources, data = config.data.sources, config.data
        sets = [read_source(source) for source in sources]
        crops = joined_for_training(sets)
        self.training_data: list[dict[str, Any]] = [
            {
                "name": one.name,
                "terms": source.terms or "unknown",
                "identities": one.num_identities,
                "crops": len(one),
            }
            for source, one in zip(sources, sets, strict=True)
        ]
        # What may be wrong is looked at before the long work, which is decoding.
        if data.p % distributed.world_size():
            raise ConfigError(
                f"data.p must be divisible by the number of processes, "
                f"{distributed.world_size()}; got {data.p}."
            )
        self.sampler = PKSampler(
            np.unique(crops.pids, return_inverse=True)[1],
            crops.camids,
            p=data.p,
            k=data.k,
            seed=config.run.seed,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        self.digest = data_digest(crops)
        on_device = device if data.store == "device" else torch.device("cpu")
        self._textures: TextureSource | None = None
        self._held: HeldTextures | None = None
        self.pairs: Pairs | None = None
        if config.loss.reconstruction > 0:
            self.tables = open_atlas(data).to(device)
            if any(source.textures for source in sources):
                self._textures = TextureSource(sources, sets)
            if config.pit.folder:
                _check_share(config)
                self.pairs = Pairs(config.pit, size=config.encoder.input_size, device=on_device)
                self.training_data.append(_described(self.pairs))
        self.store = CropStore.from_crops(
            crops,
            size=config.encoder.input_size,
            cache_dir=Path(data.cache_dir) if data.cache_dir else None,
            device=on_device,
        )
        if self._textures is not None and data.store == "device":
            self._held = HeldTextures(self._textures, device, workers=os.cpu_count() or 1)
        self.num_classes: int = self.store.num_classes
        self.labels = self.store.labels.to(device)
        sightings = torch.stack([self.store.labels, self.store.camids], dim=1)
        people, own = torch.unique(sightings, dim=0, return_inverse=True)
        self.proxy_pids: Tensor | None = people[:, 0]
        self._proxies = own.to(device)
        self._looks: CameraLooks | None = None
        if config.augmentation.camera_style:
            looks, cameras = camera_looks(self.store)
            self._looks = CameraLooks(*(one.to(device) for one in looks))
            self._cameras = cameras.to(device)

    def __len__(self) -> int:
        return len(self.sampler)

    def places(self, epoch: int) -> list[Tensor]:
        """Give the places of every batch of an epoch."""
        return list(self.sampler.epoch(epoch))

    def read(self, places: Tensor, *, number: int) -> Raw:
        """Read one batch; ``number`` decides the synthetic pairs."""
        textures = confidences = pit_places = None
        if self._textures is not None and self._held is None:
            textures, confidences = self._textures.read(places.tolist())
        if self.pairs is not None:
            count = self.config.pit.per_batch
            generator = step_generator(self.config.run.seed + 1, number)
            drawn = torch.randint(len(self.pairs), (count,), generator=generator)
            pit_places = _share(drawn)
        images = self.store.batch(places) if self.store.device.type == "cpu" else None
        return Raw(places, images, textures, confidences, pit_places)

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make one batch on the device; ``number`` decides the augmentation."""
        generator = step_generator(self.config.run.seed, number)
        places = sent(raw.places, self.device)
        images = self.store.batch(places) if raw.images is None else raw.images
        cameras = None if self._looks is None else self._cameras[places]
        crops, mirrored = self._augmenter(
            images, generator, epoch, looks=self._looks, cameras=cameras
        )
        textures = mask = pit_crops = pit_textures = pit_mask = None
        if self._held is not None:
            textures, mask = in_step(*self._held.batch(places), mirrored, self.tables)
        elif raw.textures is not None and raw.confidences is not None:
            own = sent(raw.textures, self.device), sent(raw.confidences, self.device)
            textures, mask = in_step(*own, mirrored, self.tables)
        if raw.pit_places is not None and self.pairs is not None:
            pit_images, known = self.pairs.batch(raw.pit_places)
            pit_crops, pit_mirrored = self._augmenter(pit_images, generator, epoch)
            whole = _whole(sent(known, self.device))
            pit_textures, pit_mask = in_step(*whole, pit_mirrored, self.tables)
        targets = Targets(
            self.labels[places], textures, mask, pit_textures, pit_mask, self._proxies[places]
        )
        return Batch(raw.places, crops, targets, pit_crops)

    def names(self, places: Tensor) -> list[str]:
        """Give the files of the crops at ``places``."""
        return [str(self.store.paths[place]) for place in places.tolist()]


class PairBatches:
    """Synthetic pairs alone, for SAN-PG; each once an epoch but for a last incomplete batch."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self._augmenter = _Augmenter(config, device)
        _check_share(config)
        on_device = device if config.data.store == "device" else torch.device("cpu")
        self.pairs = Pairs(config.pit, size=config.encoder.input_size, device=on_device)
        self.tables = open_atlas(config.data).to(device)
        self.num_classes = 0
        self.proxy_pids: Tensor | None = None
        self.training_data: list[dict[str, Any]] = [_described(self.pairs)]
        self.digest = f"{len(self.pairs)} pairs, held out {config.pit.held_out}"

    def __len__(self) -> int:
        return max(1, len(self.pairs) // self.config.pit.per_batch)

    def places(self, epoch: int) -> list[Tensor]:
        """Give the places of every batch of an epoch."""
        generator = step_generator(self.config.run.seed + 2, epoch)
        order = torch.randperm(len(self.pairs), generator=generator)
        count = self.config.pit.per_batch
        return [_share(order[n * count : (n + 1) * count]) for n in range(len(self))]

    def read(self, places: Tensor, *, number: int) -> Raw:  # noqa: ARG002 - as the protocol has it
        """Read one batch: the pairs are decoded already."""
        return Raw(places)

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make one batch on the device; ``number`` decides the augmentation."""
        generator = step_generator(self.config.run.seed, number)
        images, known = self.pairs.batch(raw.places)
        crops, mirrored = self._augmenter(images, generator, epoch)
        textures, mask = in_step(*_whole(sent(known, self.device)), mirrored, self.tables)
        labels = torch.zeros(len(crops), dtype=torch.int64, device=self.device)
        targets = Targets(labels, pit_textures=textures, pit_mask=mask)
        return Batch(raw.places, None, targets, crops)

    def names(self, places: Tensor) -> list[str]:
        """Say which pairs lie at ``places``."""
        return [self.pairs.name(place) for place in places.tolist()]


class _Augmenter:
    """Images to crops as the configuration says, at the epoch's size."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        options: dict[str, Any] = asdict(config.augmentation)
        encoder = config.encoder
        try:
            self._augment = BatchAugmentation(**options, mean=encoder.mean, std=encoder.std)
        except InputError as error:
            raise ConfigError(f"augmentation: {error}") from None
        self._run = config.run
        self._device = device

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        epoch: int,
        *,
        looks: CameraLooks | None = None,
        cameras: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Give the crops, and which of them were mirrored."""
        images = sent(images, self._device)
        for step in self._run.sizes:  # before all else, which then costs less
            if epoch < step.until_epoch:
                small = F.interpolate(
                    images.float(), size=step.size, mode="bilinear", antialias=True
                )
                images = small.round_().to(torch.uint8)
                break
        crops, mirrored = self._augment(
            images,
            generator=generator,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            looks=looks,
            cameras=cameras,
        )
        if self._run.channels_last:
            crops = crops.contiguous(memory_format=torch.channels_last)
        return crops, mirrored


def _described(pairs: Pairs) -> dict[str, Any]:
    """Say what the pairs are, for the manifest of the weights trained on them."""
    return {
        "name": "PIT, rendered people",
        "terms": "none of their own",
        "identities": pairs.num_identities,
        "crops": len(pairs),
    }


def _check_share(config: TrainConfig) -> None:
    """See that the pairs of a joint batch can be shared among the processes."""
    count, processes = config.pit.per_batch, distributed.world_size()
    if count % processes or count // processes < 2:
        raise ConfigError(
            f"pit.per_batch must give each of {processes} processes as many pairs, at least 2; "
            f"got {count}."
        )


def _share(places: Tensor) -> Tensor:
    """This process's part of a joint batch."""
    share = len(places) // distributed.world_size()
    return places[distributed.rank() * share : (distributed.rank() + 1) * share]


def _whole(textures: Tensor) -> tuple[Tensor, Tensor]:
    """Textures that are known everywhere, with the confidences that say so."""
    return textures, torch.full_like(textures[:, :1], 255)
