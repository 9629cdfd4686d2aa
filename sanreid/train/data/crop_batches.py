"""P x K batches of augmented crops, with labels, textures and synthetic pairs."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sanreid.datasets import CropSet
from sanreid.errors import ConfigError, InputError
from sanreid.train import runtime
from sanreid.train.config import TrainConfig
from sanreid.train.data.batches import Batch, Raw
from sanreid.train.data.camera_colors import CameraColorStats, camera_color_stats
from sanreid.train.data.pairs import Pairs
from sanreid.train.data.sampling import PKSampler
from sanreid.train.data.sources import (
    data_digest,
    joined_for_training,
    read_source,
    share_groups,
)
from sanreid.train.data.store import CropStore
from sanreid.train.data.transforms import AugmentedBatch, BatchAugmentation, resize_crops
from sanreid.train.losses.objective import Targets
from sanreid.train.runtime import to_device
from sanreid.train.teacher.embeddings import teacher_embeddings
from sanreid.train.textures.targets import (
    DecodedTextures,
    TextureSource,
    mirrored_targets,
    open_atlas,
)
from sanreid.utils.words import counted

__all__ = ["Augmenter", "CropBatches", "check_share", "share", "step_generator"]


class CropBatches:
    """Real crops in P x K batches, with their textures and synthetic pairs if configured.

    Args:
        config: The run's configuration.
        device: The device of the batches.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self._augmenter = Augmenter(config, device)
        sources, data = config.data.sources, config.data
        sets = [read_source(source) for source in sources]
        crops = joined_for_training(sets, people=[source.people for source in sources])
        self.training_data: list[dict[str, Any]] = [
            {
                "name": one.name,
                "terms": source.terms or "unknown",
                "identities": one.num_identities,
                "crops": len(one),
            }
            for source, one in zip(sources, sets, strict=True)
        ]
        # What may be wrong is checked before the slow part, which is decoding.
        if data.p % runtime.world_size():
            raise ConfigError(
                f"data.p must be divisible by the number of processes, "
                f"{runtime.world_size()}; got {data.p}."
            )
        self._groups: NDArray[np.int64] | None = None
        self._group_shares: list[float] = []
        if any(source.share for source in sources):
            groups, self._group_shares = share_groups(sources)
            self._groups = np.repeat(groups, [len(one) for one in sets])
        self._prepare(crops)
        self.digest = data_digest(crops)
        on_device = device if data.store == "device" else torch.device("cpu")
        self._textures: TextureSource | None = None
        self._decoded: DecodedTextures | None = None
        self.pairs: Pairs | None = None
        if config.loss.reconstruction > 0:
            self.tables = open_atlas(data).to(device)
            if any(source.textures for source in sources):
                self._textures = TextureSource(sources, sets)
                self.digest = f"{self.digest} {self._textures.digest}"
            if config.pit.folder:
                check_share(config)
                self.pairs = Pairs(config.pit, size=config.encoder.input_size, device=on_device)
                self.training_data.append(self.pairs.describe())
                self.digest = f"{self.digest} {self.pairs.digest}"
        self._taught: Tensor | None = None
        self.teacher_dim = 0
        if config.loss.teacher.weights:
            taught = teacher_embeddings(config.loss.teacher, crops, _cache_dir(config))
            self._taught = taught.rows.to(device)
            self.teacher_dim = self._taught.shape[1]
            self.digest = f"{self.digest} {taught.digest}"
        self.store = self._open_store(crops, config)
        if self._textures is not None and data.store == "device":
            self._decoded = DecodedTextures(self._textures, device, workers=os.cpu_count() or 1)
        self.num_classes: int = self.store.num_classes
        self._assign(self.store.labels)
        self._colors: CameraColorStats | None = None
        if config.augmentation.camera_style:
            colors, cameras = camera_color_stats(self.store)
            self._colors = CameraColorStats(*(one.to(device) for one in colors))
            self._cameras = cameras.to(device)

    def _open_store(self, crops: CropSet, config: TrainConfig) -> CropStore:
        """Decode the crops."""
        return CropStore.from_crops(
            crops,
            size=config.encoder.input_size,
            cache_dir=_cache_dir(config),
            device=self.device if config.data.store == "device" else torch.device("cpu"),
        )

    def _prepare(self, crops: CropSet) -> None:
        """Deal the crops into batches, before they are decoded."""
        self._sampler = self._dealt(np.unique(crops.pids, return_inverse=True)[1], crops.camids)
        self._length = len(self._sampler)

    def _dealt(self, labels: NDArray[np.int64], camids: NDArray[np.int64]) -> PKSampler:
        return PKSampler(
            labels,
            camids,
            p=self.config.data.p,
            k=self.config.data.k,
            seed=self.config.run.seed,
            rank=runtime.rank(),
            world_size=runtime.world_size(),
            groups=self._groups,
            group_shares=self._group_shares,
        )

    def _assign(self, labels: Tensor) -> None:
        """Set the identity of each crop, (N,) int64, and the proxy of each under its camera."""
        self.labels = labels.to(self.device)
        sightings = torch.stack([labels, self.store.camids], dim=1)
        people, own = torch.unique(sightings, dim=0, return_inverse=True)
        self.proxy_pids: Tensor | None = people[:, 0]
        self._proxies = own.to(self.device)

    def __len__(self) -> int:
        return self._length

    def summary(self) -> str:
        """Return in a few words what there is to train on."""
        cameras = len(torch.unique(self.store.camids))
        numbers = [
            self._people(),
            counted(len(self.store.labels), "crop", "crops"),
            counted(cameras, "camera", "cameras"),
        ]
        if self.pairs is not None:
            numbers.append(counted(len(self.pairs), "synthetic pair", "synthetic pairs"))
        return ", ".join(numbers)

    def _people(self) -> str:
        return counted(self.num_classes, "person", "people")

    def epoch(self, epoch: int) -> list[Tensor]:
        """Return the indices of every batch of an epoch."""
        return list(self._sampler.epoch(epoch))

    def read(self, indices: Tensor, *, number: int) -> Raw:
        """Read one batch; ``number`` decides the synthetic pairs."""
        textures = confidences = pit_indices = None
        with_decoder = self._with_decoder(number)
        if with_decoder and self._textures is not None and self._decoded is None:
            textures, confidences = self._textures.read(indices.tolist())
        if with_decoder and self.pairs is not None:
            count = self.config.pit.per_batch
            generator = step_generator(self.config.run.seed + 1, number)
            drawn = torch.randint(len(self.pairs), (count,), generator=generator)
            pit_indices = share(drawn)
        on_cpu = self.store.images.device.type == "cpu"
        images = self.store.images[indices] if on_cpu else None
        return Raw(indices, images, textures, confidences, pit_indices)

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make a batch on the device; ``number`` decides the augmentation."""
        generator = step_generator(self.config.run.seed, number)
        indices = to_device(raw.indices, self.device)
        images = self.store.images[indices] if raw.images is None else raw.images
        cameras = None if self._colors is None else self._cameras[indices]
        augmented = self._augmenter(images, generator, epoch, colors=self._colors, cameras=cameras)
        mirrored = augmented.mirrored
        textures = mask = pit_crops = pit_textures = pit_mask = None
        with_decoder = self._with_decoder(number)
        if with_decoder and self._decoded is not None:
            textures, mask = mirrored_targets(*self._decoded.batch(indices), mirrored, self.tables)
        elif raw.textures is not None and raw.confidences is not None:
            own = to_device(raw.textures, self.device), to_device(raw.confidences, self.device)
            textures, mask = mirrored_targets(*own, mirrored, self.tables)
        if raw.pit_indices is not None and self.pairs is not None:
            pit_images, known = self.pairs.batch(raw.pit_indices)
            pit_crops, pit_mirrored, *_ = self._augmenter(pit_images, generator, epoch)
            known = to_device(known, self.device)
            pit_textures, pit_mask = mirrored_targets(known, None, pit_mirrored, self.tables)
        targets = Targets(
            self.labels[indices],
            textures,
            mask,
            pit_textures,
            pit_mask,
            proxies=self._proxies[indices],
            taught=None if self._taught is None else self._taught[indices].float(),
        )
        return Batch(raw.indices, augmented.crops, targets, pit_crops, with_decoder)

    def _with_decoder(self, number: int) -> bool:
        """Return whether SA-Dec takes part in the step that the batch belongs to."""
        epoch, position = divmod(number, len(self))
        accumulate = self.config.run.accumulate
        step = epoch * -(-len(self) // accumulate) + position // accumulate
        return step % self.config.loss.decoder_every == 0

    def names(self, indices: Tensor) -> list[str]:
        """Return the files of the crops at ``indices``."""
        return [str(self.store.paths[index]) for index in indices.tolist()]


def _cache_dir(config: TrainConfig) -> Path | None:
    return Path(config.data.cache_dir) if config.data.cache_dir else None


class Augmenter:
    """Augment images as the configuration says, at the epoch's size.

    Args:
        config: The run's configuration.
        device: The device of the batches.

    Raises:
        ConfigError: An option is out of range.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        options: dict[str, Any] = asdict(config.augmentation)
        encoder = config.encoder
        try:
            self._augment = BatchAugmentation(**options, mean=encoder.mean, std=encoder.std)
        except InputError as error:
            raise ConfigError(f"augmentation: {error}") from None
        self._run = config.run
        self._sizes = {n: config.run.smaller_size(n) for n in range(config.run.epochs)}
        self._device = device

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        epoch: int,
        *,
        colors: CameraColorStats | None = None,
        cameras: Tensor | None = None,
    ) -> AugmentedBatch:
        """Augment (N, 3, H, W) uint8 images."""
        images = to_device(images, self._device)
        images = resize_crops(images, self._sizes.get(epoch))  # all that follows then costs less
        augmented = self._augment(
            images,
            generator=generator,
            rank=runtime.rank(),
            world_size=runtime.world_size(),
            colors=colors,
            cameras=cameras,
        )
        if not self._run.channels_last:
            return augmented
        crops = augmented.crops.contiguous(memory_format=torch.channels_last)
        return augmented._replace(crops=crops)


def step_generator(seed: int, batch: int) -> torch.Generator:
    """Return the generator of one batch's augmentation.

    It depends on nothing that came before, so that a resumed run draws what the uninterrupted
    one would have drawn.
    """
    digest = hashlib.sha256(f"{seed} {batch}".encode()).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest[:7], "big"))
    return generator


def check_share(config: TrainConfig) -> None:
    """Check that the processes can share the pairs of a joint batch equally.

    Raises:
        ConfigError: They cannot.
    """
    count, processes = config.pit.per_batch, runtime.world_size()
    if count % processes or count // processes < 2:
        raise ConfigError(
            f"pit.per_batch must give each of {processes} processes as many pairs, at least 2; "
            f"got {count}."
        )


def share(indices: Tensor) -> Tensor:
    """Return this process's part of a joint batch."""
    size = len(indices) // runtime.world_size()
    return indices[runtime.rank() * size : (runtime.rank() + 1) * size]
