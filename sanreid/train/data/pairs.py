"""Synthetic pairs of image and texture, as training reads them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sanreid.errors import DatasetError
from sanreid.train.config import PitConfig
from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.pit import PITDataset
from sanreid.train.runtime import to_device

__all__ = ["Pairs"]


class Pairs:
    """The pairs of a folder, decoded once; the texture of each identity is kept once.

    9,290 pairs of 929 identities take 411 MB at 128 x 64, 1.1 GB at 256 x 128; the
    texels that their pixels show take 304 MB and 1.2 GB more.

    Args:
        config: The folder, and how many identities are held out.
        size: (height, width) of the images.
        split: ``"train"``, or ``"val"`` for the identities held out.
        device: Where they are kept.
        workers: Threads that decode.
        with_texels: Also keep which texel each pixel shows.

    Attributes:
        images: (M, 3, H, W) uint8.
        textures: (I, 3, 256, 256) uint8, one per identity.
        digest: That of the pairs' index.

    Raises:
        DatasetError: The folder has no pairs, or a shard is damaged.
    """

    def __init__(
        self,
        config: PitConfig,
        *,
        size: tuple[int, int],
        split: Literal["train", "val"] = "train",
        device: torch.device | None = None,
        workers: int = 4,
        with_texels: bool = False,
    ) -> None:
        folder = Path(config.folder)
        if config.held_out:
            self._pairs = PITDataset(folder, split=split, held_out=config.held_out)
        else:
            self._pairs = PITDataset(folder)
        if not len(self._pairs):
            raise DatasetError(f"{folder} has no pairs to train on.")
        identities, first, texture_of = np.unique(
            self._pairs.identities, return_index=True, return_inverse=True
        )
        self.num_identities = len(identities)
        self.digest = self._pairs.digest
        images = torch.empty(len(self._pairs), 3, *size, dtype=torch.uint8)
        textures = torch.empty(self.num_identities, 3, 256, 256, dtype=torch.uint8)
        texels = torch.empty(len(images), *size, dtype=torch.int32) if with_texels else None

        def read_image(index: int) -> None:
            image = Image.fromarray(self._pairs.crop(index))
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            images[index] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            if texels is not None:
                texels[index] = torch.from_numpy(_texels(self._pairs.uv(index), size))

        def read_texture(index: int) -> None:
            texture = self._pairs.texture(int(first[index]))
            textures[index] = torch.from_numpy(texture).permute(2, 0, 1)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(read_image, range(len(images))))
            list(pool.map(read_texture, range(len(textures))))

        where = device or torch.device("cpu")
        self._texels = None if texels is None else texels.to(where)
        self.images, self.textures = images.to(where), textures.to(where)
        self._texture_of = torch.from_numpy(texture_of.reshape(-1)).to(where)

    def __len__(self) -> int:
        return len(self._pairs)

    def describe(self) -> dict[str, Any]:
        """Return the entry of these pairs in the training data of a manifest."""
        return {
            "name": "PIT, rendered people",
            "terms": "none of their own",
            "identities": self.num_identities,
            "crops": len(self),
        }

    def name(self, index: int) -> str:
        """Return a description of a pair for messages."""
        return f"pair {index} of {self._pairs.folder}"

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images (B, 3, H, W) and textures (B, 3, 256, 256), uint8, of B pairs."""
        indices = to_device(indices, self.images.device)
        return self.images[indices], self.textures[self._texture_of[indices]]

    def texels_of(self, indices: Tensor) -> Tensor | None:
        """Return the texel that each pixel of B pairs shows; None without ``with_texels``.

        Returns:
            (B, H, W) int64, row * 256 + column; -1 off the body.
        """
        if self._texels is None:
            return None
        return self._texels[to_device(indices, self._texels.device)].long()

    def seen(self, indices: Sequence[int]) -> Tensor:
        """Return the texels visible in the images, (B, 1, 256, 256) bool, on the CPU."""
        return torch.from_numpy(np.stack([self._pairs.seen(index) for index in indices]))[:, None]


def _texels(uv: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.int32]:
    """Return the texels at H x W pixels out of (h, w, 2) coordinates, those at their middles."""
    rows, columns = (
        ((np.arange(count) + 0.5) * (whole / count)).astype(np.int64)
        for count, whole in zip(size, uv.shape[:2], strict=True)
    )
    u, v = np.moveaxis(uv[np.ix_(rows, columns)], 2, 0)
    place = [np.minimum(one * TEXTURE_SIZE, TEXTURE_SIZE - 1).astype(np.int32) for one in (u, v)]
    return np.where(u >= 0, place[1] * TEXTURE_SIZE + place[0], -1).astype(np.int32)
