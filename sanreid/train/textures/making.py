"""Pseudo ground truth: paint the textures of a whole set of crops into a store."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.datasets import CropSet
from sanreid.errors import InputError
from sanreid.images import load_crop
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.generator import Generator
from sanreid.train.textures.writer import TextureWriter

__all__ = ["make_textures"]

logger = logging.getLogger(__name__)


def make_textures(
    crops: CropSet,
    out: str | Path,
    generator: Generator,
    *,
    batch_size: int = 64,
    quality: int = 85,
    threads: int | None = None,
) -> Path:
    """Paint every crop of a set that has no texture in the store yet; resumes where it stopped.

    Args:
        crops: The set; the textures are stored under its keys.
        out: The file of the store.
        generator: As :func:`sanreid.train.textures.generator.load_generator` returns it.
        batch_size: Crops painted at once.
        quality: JPEG quality of the textures.
        threads: Threads that decode and compress; the number of CPUs if None.

    Returns:
        The path of the store.

    Raises:
        InputError: ``batch_size`` is below 1.
        DatasetError: The file is not a store, or one of another generator or quality.
        ImageError: A crop cannot be read.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1; got {batch_size}.")
    about = {"generator": generator.name, "digest": generator.digest}
    header = TextureHeader(quality=quality, confidence_size=(64, 64), about=about)
    started = time.monotonic()
    threads = threads or os.cpu_count() or 1
    with TextureWriter(out, header) as writer, ThreadPoolExecutor(threads) as pool:
        todo = [n for n, key in enumerate(crops.keys) if key not in writer]
        for first in range(0, len(todo), batch_size):
            rows = todo[first : first + batch_size]

            def load(row: int) -> Tensor:
                pixels = load_crop(crops.paths[row], generator.encoder.input_size)
                return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)

            painted = generator.paint(torch.stack(list(pool.map(load, rows))))
            small = F.interpolate(painted.confidences, size=(64, 64), mode="area")
            writer.add(
                [crops.keys[row] for row in rows],
                ((painted.textures + 1) * 127.5).round().to(torch.uint8).cpu(),
                (small * 255).round().to(torch.uint8).cpu(),
                workers=threads,
            )
            done = first + len(rows)
            if first // batch_size % 20 == 0 or done == len(todo):
                logger.info(
                    "%d of %d textures, %.0f s", done, len(todo), time.monotonic() - started
                )
    return Path(out)
