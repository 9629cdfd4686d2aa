"""Crops decoded once and kept as uint8: in memory, in a memory-mapped file or on the GPU.

An epoch then needs no decoding: a batch is a selection of rows. 24,059 crops at 128 x 64 are
591 MB, at 256 x 128 2.4 GB.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from sanreid.datasets import CropSet, merge_crops
from sanreid.errors import DatasetError, ImageError, InputError
from sanreid.images import load_crop
from sanreid.train.runtime import to_device
from sanreid.utils.files import atomic_write

__all__ = ["CropStore"]

logger = logging.getLogger(__name__)

_FORMAT = 1
_CHUNK = 64  # crops a thread decodes in one go


class CropStore:
    """Decoded crops of one size with their identities. N crops.

    Args:
        images: (N, 3, H, W) uint8, RGB.
        crops: The N crops they were decoded from.

    Attributes:
        images: (N, 3, H, W) uint8 on ``device``.
        labels: (N,) int64 on the CPU, the class of each crop, 0 to ``num_classes`` - 1, in the
            order of the pids.
        pids: (N,) int64 on the CPU.
        camids: (N,) int64 on the CPU.
        crops: The crops themselves, with ``paths`` and ``keys``.

    Raises:
        InputError: There are more images than crops or fewer, or they have another type or shape.
    """

    def __init__(self, images: Tensor, crops: CropSet) -> None:
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            raise InputError(
                "A crop store takes uint8 images of shape (N, 3, H, W); "
                f"got {images.dtype} of shape {tuple(images.shape)}."
            )
        if len(images) != len(crops):
            raise InputError(f"There are {len(images)} images for {len(crops)} crops.")
        self.images = images
        self.crops = crops
        self.pids = torch.tensor(crops.pids)
        self.camids = torch.tensor(crops.camids)
        classes, labels = torch.unique(self.pids, return_inverse=True)
        self.labels = labels
        self.num_classes = len(classes)

    @classmethod
    def from_crops(
        cls,
        sets: CropSet | Sequence[CropSet],
        *,
        size: tuple[int, int],
        cache_dir: str | Path | None = None,
        device: str | torch.device = "cpu",
        workers: int | None = None,
    ) -> CropStore:
        """Decode crops as inference does: EXIF turn, RGB, resize by PIL bilinear.

        Args:
            sets: One set, kept as it is, including junk; or several, whose identities are
                different people (see :func:`sanreid.datasets.merge_crops`).
            size: (H, W) in pixels.
            cache_dir: Keep the pixels in a memory-mapped file in this folder. The next store of
                the same files (by name, size and modification time) at the same size maps it
                again and decodes nothing. Several processes may do so at once.
            device: Where the images are kept; for a CUDA device all are copied there.
            workers: Threads that decode; the number of CPUs if None.

        Raises:
            ImageError: Crops cannot be read; the message names the first ones. Nothing is kept.
            DatasetError: ``cache_dir`` has too little free space.
            InputError: The size is not two positive numbers, or sources share keys.
        """
        if len(size) != 2 or min(size) < 1:
            raise InputError(f"size must be (height, width) in pixels; got {size!r}.")
        crops = sets if isinstance(sets, CropSet) else merge_crops(sets)
        threads = workers or os.cpu_count() or 1
        if cache_dir is None:
            images = torch.empty(len(crops), 3, *size, dtype=torch.uint8)
            _decode_into(images.numpy(), crops.paths, threads)
        else:
            images = _cached(Path(cache_dir), crops, size, threads)
        return cls(images.to(device), crops)

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file of each crop."""
        return self.crops.paths

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of each crop, under which its texture is stored."""
        return self.crops.keys

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every crop, in pixels."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self.images.device

    def batch(self, indices: Tensor) -> Tensor:
        """Return the images at ``indices``, (B, 3, H, W) uint8, on the store's device.

        Args:
            indices: (B,) int64.
        """
        return self.images[to_device(indices, self.images.device)]


def _cached(folder: Path, crops: CropSet, size: tuple[int, int], threads: int) -> Tensor:
    """Map the file of pixels, after writing it if it is missing or incomplete."""
    shape = (len(crops), 3, *size)
    count = int(np.prod(shape))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"crops-{size[0]}x{size[1]}-{_fingerprint(crops, size)}.u8"
    if path.exists() and path.stat().st_size == count:
        logger.info("Mapping %d decoded crops from %s.", len(crops), path)
    elif count == 0:
        return torch.empty(shape, dtype=torch.uint8)
    else:
        # Two processes that write at once replace each other's equal files.
        with atomic_write(path) as file:
            _reserve(file.fileno(), count, folder)
            file.truncate(count)
            pixels = np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
            _decode_into(pixels, crops.paths, threads)
            pixels.flush()
            del pixels  # Windows cannot replace a mapped file
    # A private mapping: a write would stay in this process and not reach the file.
    flat = torch.from_file(str(path), shared=False, size=count, dtype=torch.uint8)
    return flat.view(shape)


def _reserve(handle: int, count: int, folder: Path) -> None:
    """Allocate the disk space: a full disk is an error here, but a crash through a mapping."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, 0, count)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DatasetError(
                f"The decoded crops, {count / 2**20:,.0f} MiB, do not fit into {folder}: "
                f"{error.strerror}. Set another cache_dir, or none to keep them in memory."
            ) from error
        logger.debug("%s cannot reserve space: %s", folder, error)  # the file system's limit


def _fingerprint(crops: CropSet, size: tuple[int, int]) -> str:
    """Hash what decides the pixels: names, sizes and modification times of the files, versions."""
    facts = [_FORMAT, PIL.__version__, *size]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for path in crops.paths:
        try:
            stat = path.stat()
        except OSError as error:
            raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
        line = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]


def _decode_into(images: NDArray[np.uint8], paths: Sequence[Path], threads: int) -> None:
    """Fill ``images``, (N, 3, H, W), from ``paths``."""
    height, width = images.shape[2:]
    failures: list[str] = []

    def decode(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(paths))):
            try:
                image = load_crop(paths[index], (height, width))
            except ImageError as error:
                failures.append(str(error))
                continue
            images[index] = image.transpose(2, 0, 1)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(decode, range(0, len(paths), _CHUNK)):
            pass
    if failures:
        shown = "\n  ".join(sorted(failures)[:5])
        raise ImageError(f"{len(failures)} of {len(paths)} crops cannot be read:\n  {shown}")
