"""Synthetic pairs of image and texture, as the training reads them, and how well they are met."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sanreid.errors import DatasetError
from sanreid.train.config import PitConfig
from sanreid.train.pit import PITDataset

__all__ = ["Pairs"]


class Pairs:
    """The pairs of a folder, images resized; safe to read from several threads.

    Args:
        config: The folder and how many identities are held out.
        size: (height, width) of the images.
        split: ``"train"``, or ``"val"``: the identities held out.

    Raises:
        DatasetError: The folder has no pairs.
    """

    def __init__(
        self, config: PitConfig, *, size: tuple[int, int], split: Literal["train", "val"] = "train"
    ) -> None:
        self.size = size
        folder = Path(config.folder)
        if config.held_out:
            self._pairs = PITDataset(folder, split=split, held_out=config.held_out)
        else:
            self._pairs = PITDataset(folder)
        if not len(self._pairs):
            raise DatasetError(f"{folder} has no pairs to train on.")

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def num_identities(self) -> int:
        """How many synthetic people there are."""
        return len(np.unique(self._pairs.identities))

    def name(self, place: int) -> str:
        """Say which pair it is, for a message."""
        return f"pair {place} of {self._pairs.folder}"

    def read(self, places: Sequence[int], *, workers: int = 2) -> tuple[Tensor, Tensor, Tensor]:
        """Read some pairs.

        Returns:
            Images (M, 3, H, W) uint8, textures (M, 3, 256, 256) uint8 and the texels that the
            images show, (M, 1, 256, 256) bool.
        """
        with ThreadPoolExecutor(workers) as pool:
            samples = list(pool.map(self._one, places))
        images, textures, seen = zip(*samples, strict=True)
        return (
            torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack(textures)).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack(seen))[:, None],
        )

    def _one(self, place: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
        sample = self._pairs[place]
        height, width = self.size
        image = Image.fromarray(sample.crop).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image), sample.texture, sample.seen
