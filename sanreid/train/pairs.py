"""Synthetic pairs of image and texture, as the training reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from sanreid.train.config import PitConfig

__all__ = ["PairSource", "open_pairs"]


class PairSource(Protocol):
    """Pairs by place; safe to read from another thread."""

    def __len__(self) -> int:
        """Give the number of pairs."""
        ...

    def read(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Give images (M, 3, H, W) uint8 and textures (M, 3, 256, 256) uint8."""
        ...


def open_pairs(config: PitConfig, *, size: tuple[int, int]) -> PairSource:
    """Open a folder of pairs, the images resized to ``size``."""
    raise NotImplementedError(config, size)
