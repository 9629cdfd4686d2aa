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

from sanreid.errors import DatasetError
from sanreid.train.config import DataConfig
from sanreid.train.data import TextureStore
from sanreid.train.pit.tables import ATLAS_PATH
from sanreid.train.sa_dec import TEXTURE_SIZE
from sanreid.train.transforms import mirror_textures

__all__ = [
    "AtlasTables",
    "TextureSource",
    "as_target",
    "in_step",
    "load_atlas_tables",
    "open_atlas",
]


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
    return AtlasTables(torch.from_numpy(mirror), torch.from_numpy(valid))


class TextureSource:
    """The texture stores of a run's sources, read by the crops' keys.

    Args:
        config: Its sources name the stores; ``atlas`` names the tables.
        keys: The keys of the crops that have a texture to be read, by source.

    Raises:
        DatasetError: A store or the tables are missing, or crops have no texture in theirs.
    """

    def __init__(self, config: DataConfig, keys: Sequence[Sequence[str]]) -> None:
        self._stores: dict[str, TextureStore] = {}
        opened: dict[str, TextureStore] = {}
        for source, own in zip(config.sources, keys, strict=True):
            if not source.textures:
                continue
            store = opened.setdefault(source.textures, TextureStore(source.textures))
            if absent := store.missing(own):
                raise DatasetError(
                    f"{len(absent)} of {len(own)} crops of {source.folder} have no texture in "
                    f"{source.textures}, for example {absent[0]!r}; make them with "
                    "python -m sanreid.train.textures."
                )
            self._stores.update(dict.fromkeys(own, store))

    def read(self, keys: Sequence[str], *, workers: int = 2) -> tuple[Tensor, Tensor]:
        """Give textures (N, 3, S, S) uint8 and confidences (N, 1, S, S) uint8.

        A crop whose source has no store has confidence 0 everywhere; a store without
        confidences has 255.
        """
        size = (TEXTURE_SIZE, TEXTURE_SIZE)
        textures = torch.zeros(len(keys), 3, *size, dtype=torch.uint8)
        confidences = torch.zeros(len(keys), 1, *size, dtype=torch.uint8)
        stores = [self._stores.get(key) for key in keys]
        for store in {id(one): one for one in stores if one is not None}.values():
            rows = [n for n, one in enumerate(stores) if one is store]
            found = store.batch([keys[n] for n in rows], size=size, workers=workers)
            textures[rows] = found.textures
            certain = found.confidences
            confidences[rows] = 255 if certain is None else certain
        return textures, confidences


def as_target(textures: Tensor) -> Tensor:
    """Map uint8 textures to float32 in [-1, 1], 0 to -1 and 255 to 1."""
    return textures.float() / 127.5 - 1


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
