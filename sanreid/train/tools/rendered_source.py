"""Rendered pairs as one more source of a run: people with identities, whose textures are known."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from sanreid.datasets import read_crops
from sanreid.errors import DatasetError
from sanreid.train.pit import PITDataset
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.writer import TextureWriter
from sanreid.utils.files import atomic_write

__all__ = ["as_source"]

logger = logging.getLogger(__name__)

_CHUNK = 256  # textures compressed in one go


def as_source(pairs: str | Path, out: str | Path, *, workers: int = 2) -> Path:
    """Write pairs as crops with reID names and a store of their textures.

    Image number C of an identity is named as seen by camera C; both count from 1. An interrupted
    call is resumed.

    Args:
        pairs: A folder of pairs, as ``python -m sanreid.train pit render`` writes it.
        out: The folder to write; created if missing.
        workers: Threads that compress the textures.

    Returns:
        The folder of the crops, ``out/crops``; ``textures.tex`` is beside it.

    Raises:
        DatasetError: There are no pairs, a shard is damaged, or ``out`` holds other crops or the
            textures of other pairs.
    """
    data = PITDataset(pairs)
    folder = Path(out) / "crops"
    folder.mkdir(parents=True, exist_ok=True)
    about = {"generator": f"rendered, {Path(pairs).name}", "digest": data.digest}
    header = TextureHeader(quality=92, about=about)
    with TextureWriter(Path(out) / "textures.tex", header) as writer:  # refuses other pairs
        names = {}
        for index, row in enumerate(data.rows):
            name = f"{row['identity'] + 1:06d}_c{row['image'] + 1}_rendered_0.jpg"
            names[name] = index
            if not (folder / name).is_file():
                with atomic_write(folder / name) as file:
                    file.write(data.jpeg(index))
        crops = read_crops(folder, names="market1501")
        if others := [path for path in crops.paths if path.name not in names]:
            raise DatasetError(
                f"{others[0]} is not one of the crops of {pairs}; write to another folder, or "
                "remove what is there."
            )
        index_of = {
            key: names[path.name] for key, path in zip(crops.keys, crops.paths, strict=True)
        }
        todo = [key for key in crops.keys if key not in writer]
        for begin in range(0, len(todo), _CHUNK):
            keys = todo[begin : begin + _CHUNK]
            textures = np.stack([data.texture(index_of[key]) for key in keys])
            writer.add(keys, torch.from_numpy(textures).permute(0, 3, 1, 2), workers=workers)
            logger.info("%d of %d textures", begin + len(keys), len(todo))
    return folder
