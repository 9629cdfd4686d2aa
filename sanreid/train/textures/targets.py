"""Target textures as training reads them, mirrored together with their crops.

The textures come from stores that the texture generator wrote. The tables of their atlas (which
texel is the mirror image of which, which texels lie on the body) come from a small ``.npz``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sanreid.datasets import CropSet
from sanreid.errors import DatasetError, InputError
from sanreid.train.config import DataConfig, SourceConfig
from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.pit.tables import ATLAS_PATH
from sanreid.train.runtime import to_device
from sanreid.train.textures.store import TextureStore

__all__ = [
    "AtlasTables",
    "DecodedTextures",
    "TextureSource",
    "as_target",
    "load_atlas_tables",
    "mirror_textures",
    "mirrored_targets",
    "mirrored_texels",
    "open_atlas",
]


_COARSER = 4  # confidences are smooth: decoded ones are kept at a quarter of each side
_CHUNK = 256  # textures decoded in one go


@dataclass(frozen=True, slots=True)
class AtlasTables:
    """What training needs to know of the atlas. S is 256.

    Args:
        mirror: (S * S,) int64: for each texel, the same point on the other side of the body.
        valid: (S, S) bool: texels that lie on the body; the others are not compared.
    """

    mirror: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> AtlasTables:
        """Return the tables on another device."""
        return AtlasTables(self.mirror.to(device), self.valid.to(device))


def open_atlas(config: DataConfig) -> AtlasTables:
    """Read the atlas tables that ``config`` names, or those packaged with sanreid."""
    return load_atlas_tables(config.atlas or ATLAS_PATH)


def load_atlas_tables(path: str | Path) -> AtlasTables:
    """Read an ``.npz`` with ``mirror`` and ``valid``.

    Raises:
        DatasetError: The file is missing, lacks a table, or ``mirror`` is not its own inverse
            on the body.
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
        raise DatasetError(f"{path}: 'mirror' applied twice does not return the same body.")
    return AtlasTables(torch.from_numpy(mirror), torch.from_numpy(valid))


class TextureSource:
    """The target textures of a run's crops, by the index of the crop in the run.

    Args:
        sources: The run's sources; ``textures`` names the store of each that has one.
        sets: The crops of each source, in the same order.

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
                    "python -m sanreid.train textures."
                )
            self._of += [(store, key) for key in crops.keys]

    @property
    def digest(self) -> str:
        """The hex digest of the textures of all crops, by their checksums."""
        checksums = [0 if one is None else one[0].checksum(one[1]) for one in self._of]
        return hashlib.sha256(np.array(checksums, "<u4").tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._of)

    def read(self, indices: Sequence[int], *, workers: int = 2) -> tuple[Tensor, Tensor]:
        """Read textures (N, 3, S, S) uint8 and confidences (N, 1, S, S) uint8.

        The confidence is 0 everywhere for a crop whose source has no store, and 255 for a store
        without confidences.
        """
        size = (TEXTURE_SIZE, TEXTURE_SIZE)
        textures = torch.zeros(len(indices), 3, *size, dtype=torch.uint8)
        confidences = torch.zeros(len(indices), 1, *size, dtype=torch.uint8)
        wanted = [self._of[index] for index in indices]
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


class DecodedTextures:
    """Every texture of a run, decoded once and kept on the device, for GPUs with enough memory.

    24,059 textures of 256 x 256 take 4.7 GB; their confidences, at a quarter of each side, 0.1.

    Args:
        source: Where they come from.
        device: Where they are kept.
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
        for begin in range(0, len(source), _CHUNK):
            rows = range(begin, min(begin + _CHUNK, len(source)))
            textures, confidences = source.read(rows, workers=workers)
            self.textures[begin : rows.stop] = textures.to(device)
            coarse = functional.avg_pool2d(confidences.float(), _COARSER)
            self.confidences[begin : rows.stop] = coarse.round().to(torch.uint8).to(device)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return textures and confidences, (N, 3, S, S) and (N, 1, S, S) uint8, on the device."""
        indices = to_device(indices, self.textures.device)
        fine = functional.interpolate(
            self.confidences[indices].float(),
            size=(TEXTURE_SIZE, TEXTURE_SIZE),
            mode="bilinear",
            align_corners=False,
        )
        return self.textures[indices], fine.round().to(torch.uint8)


def as_target(textures: Tensor) -> Tensor:
    """Map uint8 textures to float32 in [-1, 1], 0 to -1 and 255 to 1."""
    return textures.float().div_(127.5).sub_(1)


def mirrored_targets(
    textures: Tensor, confidences: Tensor | None, mirrored: Tensor, tables: AtlasTables
) -> tuple[Tensor, Tensor]:
    """Return targets and masks, with the bodies of mirrored crops mirrored.

    Args:
        textures: (N, 3, S, S) uint8.
        confidences: (N, 1, S, S) uint8; None for textures that are known everywhere.
        mirrored: (N,) bool, which crops were mirrored.
        tables: Tables of the textures' atlas.

    Returns:
        (N, 3, S, S) in [-1, 1] and (N, 1, S, S) weights in [0, 1], 0 off the body.
    """
    target = as_target(mirror_textures(textures, mirrored, tables.mirror))
    if confidences is None:
        return target, tables.valid.float().expand(len(textures), 1, -1, -1)
    mask = mirror_textures(confidences, mirrored, tables.mirror).float() / 255
    return target, mask * tables.valid


def mirrored_texels(texels: Tensor, mirrored: Tensor, tables: AtlasTables) -> Tensor:
    """Return the texels that the pixels of mirrored crops show: those of the body's other side.

    Args:
        texels: (N, H, W) int64, row * 256 + column; -1 off the body. The pixels are where they
            are after the crops were mirrored.
        mirrored: (N,) bool, which crops were mirrored.
        tables: Tables of the textures' atlas.

    Returns:
        (N, H, W) int64, -1 off the body.
    """
    swapped = torch.where(texels >= 0, tables.mirror[texels.clamp_min(0)], -1)
    return torch.where(mirrored[:, None, None], swapped, texels)


def mirror_textures(textures: Tensor, mirrored: Tensor, texel_map: Tensor | None = None) -> Tensor:
    """Mirror the bodies of some textures by the atlas's own left-right symmetry.

    Mirroring a crop swaps the left and the right half of the body. In the texture that is a
    permutation of texels, which depends on the atlas, and in general not a flip of the picture.

    Args:
        textures: (N, C, H, W), colors or any other value per texel; not changed.
        mirrored: (N,) bool, which bodies to mirror.
        texel_map: (H * W,) int64: texel t of the mirrored texture is texel ``texel_map[t]`` of
            the given one. None is the identity, correct only for an atlas without sides.

    Raises:
        InputError: A shape does not fit.
    """
    if textures.dim() != 4 or mirrored.shape != textures.shape[:1]:
        raise InputError(
            "mirror_textures() takes (N, C, H, W) textures and (N,) flags; "
            f"got {tuple(textures.shape)} and {tuple(mirrored.shape)}."
        )
    if texel_map is None:
        return textures.clone()
    if texel_map.shape != (textures.shape[2] * textures.shape[3],):
        raise InputError(
            f"texel_map must have one index for each of {textures.shape[2]} x "
            f"{textures.shape[3]} texels; got shape {tuple(texel_map.shape)}."
        )
    turned = textures.flatten(2)[:, :, texel_map].view_as(textures)
    # All are computed and some are taken: to ask which would make the host wait for a GPU.
    return torch.where(mirrored[:, None, None, None], turned, textures)
