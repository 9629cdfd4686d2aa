"""Target textures of real crops, kept in step with the mirroring of the crops.

The textures come from stores that the texture generator wrote; the tables of their atlas (which
texel is the mirror image of which, which lie on the body at all) come from a small ``.npz``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sanreid.datasets import CropSet
from sanreid.errors import DatasetError
from sanreid.train.config import DataConfig, SourceConfig
from sanreid.train.loop.device import sent
from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.pit.tables import ATLAS_PATH
from sanreid.train.textures.mirroring import mirror_textures
from sanreid.train.textures.store import TextureStore

__all__ = [
    "AtlasTables",
    "HeldTextures",
    "TextureSource",
    "as_target",
    "in_step",
    "load_atlas_tables",
    "open_atlas",
]


_COARSER = 4  # sides of held confidences, which are smooth, to those of the textures
_AT_ONCE = 256  # textures decoded in one go


@dataclass(frozen=True, slots=True)
class AtlasTables:
    """What training must know of the atlas. S is 256.

    Args:
        mirror: (S * S,) int64: the texel at the same place of the other side of the body.
        valid: (S, S) bool: texels that lie on the body; the others are not compared.
    """

    mirror: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> AtlasTables:
        """Give the tables on another device."""
        return AtlasTables(self.mirror.to(device), self.valid.to(device))


def load_atlas_tables(path: str | Path) -> AtlasTables:
    """Read an ``.npz`` with ``mirror`` and ``valid``.

    Raises:
        DatasetError: The file is missing, lacks a table, or ``mirror`` is no permutation that
            undoes itself on the body.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            mirror = np.asarray(file["mirror"]).astype(np.int64).reshape(-1)
            valid = np.asarray(file["valid"]).astype(bool)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read as atlas tables, an .npz with 'mirror' and 'valid': {error}"
        ) from error
    texels = TEXTURE_SIZE * TEXTURE_SIZE
    if mirror.shape != (texels,) or valid.shape != (TEXTURE_SIZE, TEXTURE_SIZE):
        raise DatasetError(
            f"{path}: 'mirror' must have {texels} entries and 'valid' {TEXTURE_SIZE} x "
            f"{TEXTURE_SIZE}; got {mirror.shape} and {valid.shape}."
        )
    if mirror.min() < 0 or mirror.max() >= texels:
        raise DatasetError(f"{path}: 'mirror' points outside the texture.")
    body = np.flatnonzero(valid)
    if not np.array_equal(mirror[mirror[body]], body):
        raise DatasetError(f"{path}: 'mirror' done twice does not give the same body again.")
    return AtlasTables(torch.from_numpy(mirror), torch.from_numpy(valid))


class TextureSource:
    """The target textures of a run's crops, by the crops' places in the run.

    Args:
        sources: The run's sources; ``textures`` names the store of each that has one.
        sets: The crops of each source, those of all sources in this order.

    Raises:
        DatasetError: A store is missing, or crops have no texture in theirs.
    """

    def __init__(self, sources: Sequence[SourceConfig], sets: Sequence[CropSet]) -> None:
        opened: dict[str, TextureStore] = {}
        self._of: list[tuple[TextureStore, str] | None] = []
        for source, crops in zip(sources, sets, strict=True):
            if not source.textures:
                self._of += [None] * len(crops)
                continue
            if source.textures not in opened:
                opened[source.textures] = TextureStore(source.textures)
            store = opened[source.textures]
            if absent := store.missing(crops.keys):
                raise DatasetError(
                    f"{len(absent)} of {len(crops)} crops of {source.folder} have no texture in "
                    f"{source.textures}, for example {absent[0]!r}; make them with "
                    "python -m sanreid.train.textures.generator."
                )
            self._of += [(store, key) for key in crops.keys]

    def __len__(self) -> int:
        return len(self._of)

    def read(self, places: Sequence[int], *, workers: int = 2) -> tuple[Tensor, Tensor]:
        """Give textures (N, 3, S, S) uint8 and confidences (N, 1, S, S) uint8.

        A crop whose source has no store has confidence 0 everywhere; a store without
        confidences has 255.
        """
        size = (TEXTURE_SIZE, TEXTURE_SIZE)
        textures = torch.zeros(len(places), 3, *size, dtype=torch.uint8)
        confidences = torch.zeros(len(places), 1, *size, dtype=torch.uint8)
        wanted = [self._of[place] for place in places]
        for store in {id(one[0]): one[0] for one in wanted if one is not None}.values():
            rows, keys = [], []
            for row, one in enumerate(wanted):
                if one is not None and one[0] is store:
                    rows.append(row)
                    keys.append(one[1])
            found = store.batch(keys, size=size, workers=workers)
            textures[rows] = found.textures
            certain = found.confidences
            confidences[rows] = 255 if certain is None else certain
        return textures, confidences


class HeldTextures:
    """Every texture of a run decoded once and kept on the device, for GPUs with the room.

    24,059 textures of 256 x 256 take 4.7 GB, their confidences, at a quarter of each side, 0.1.

    Args:
        source: Where they come from.
        device: Where they shall lie.
        workers: Threads that decode.
    """

    def __init__(self, source: TextureSource, device: torch.device, *, workers: int) -> None:
        side = TEXTURE_SIZE // _COARSER
        self.textures = torch.empty(
            len(source), 3, TEXTURE_SIZE, TEXTURE_SIZE, dtype=torch.uint8, device=device
        )
        self.confidences = torch.empty(
            len(source), 1, side, side, dtype=torch.uint8, device=device
        )
        for begin in range(0, len(source), _AT_ONCE):
            rows = range(begin, min(begin + _AT_ONCE, len(source)))
            textures, confidences = source.read(rows, workers=workers)
            self.textures[begin : rows.stop] = textures.to(device)
            coarse = functional.avg_pool2d(confidences.float(), _COARSER)
            self.confidences[begin : rows.stop] = coarse.round().to(torch.uint8).to(device)

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Give textures and confidences, (N, 3, S, S) and (N, 1, S, S) uint8, on the device."""
        places = sent(places, self.textures.device)
        sure = functional.interpolate(
            self.confidences[places].float(),
            size=(TEXTURE_SIZE, TEXTURE_SIZE),
            mode="bilinear",
            align_corners=False,
        )
        return self.textures[places], sure.round().to(torch.uint8)


def as_target(textures: Tensor) -> Tensor:
    """Map uint8 textures to float32 in [-1, 1], 0 to -1 and 255 to 1."""
    return textures.float().div_(127.5).sub_(1)


def in_step(
    textures: Tensor, confidences: Tensor, mirrored: Tensor, tables: AtlasTables
) -> tuple[Tensor, Tensor]:
    """Mirror the bodies of the crops that were mirrored; give target and mask.

    Args:
        textures: (N, 3, S, S) uint8.
        confidences: (N, 1, S, S) uint8.
        mirrored: (N,) bool.
        tables: Of the textures' atlas.

    Returns:
        (N, 3, S, S) in [-1, 1] and (N, 1, S, S) weights in [0, 1], 0 off the body.
    """
    target = as_target(mirror_textures(textures, mirrored, tables.mirror))
    mask = mirror_textures(confidences, mirrored, tables.mirror).float() / 255
    return target, mask * tables.valid


def open_atlas(config: DataConfig) -> AtlasTables:
    """Give the atlas tables that ``config`` names, else those packaged with sanreid."""
    return load_atlas_tables(config.atlas or ATLAS_PATH)
