"""Synthetic pairs of image and texture: as training reads them, and as a source with identities.

    python -m sanreid.train.data.pairs PAIRS OUT

writes the images of a folder of pairs as crops with reID names, OUT/crops, and their textures as
a store, OUT/textures.tex. So rendered people, each seen from several places, become one more
source of a run, whose textures are known:

    [[data.sources]]
    folder = "OUT/crops"
    names = "market1501"
    one_camera = true
    textures = "OUT/textures.tex"
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sanreid.datasets import read_crops
from sanreid.errors import DatasetError, SanreidError
from sanreid.train.config import PitConfig
from sanreid.train.loop.device import sent
from sanreid.train.pit import PITDataset
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.writer import TextureWriter
from sanreid.utils.files import atomic_write

__all__ = ["Pairs", "as_source", "main"]

logger = logging.getLogger(__name__)

_AT_ONCE = 256  # textures compressed in one go


class Pairs:
    """The pairs of a folder, decoded once; the texture of an identity is kept once.

    9,290 pairs of 929 identities take 411 MB at 128 x 64, 1.1 GB at 256 x 128.

    Args:
        config: The folder and how many identities are held out.
        size: (height, width) of the images.
        split: ``"train"``, or ``"val"``: the identities held out.
        device: Where they shall lie.
        workers: Threads that decode.

    Attributes:
        images: (M, 3, H, W) uint8.
        textures: (I, 3, 256, 256) uint8, one an identity.

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
        images = torch.empty(len(self._pairs), 3, *size, dtype=torch.uint8)
        textures = torch.empty(self.num_identities, 3, 256, 256, dtype=torch.uint8)

        def read_image(place: int) -> None:
            image = Image.fromarray(self._pairs.crop(place))
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            images[place] = torch.from_numpy(np.array(image)).permute(2, 0, 1)

        def read_texture(place: int) -> None:
            texture = self._pairs.texture(int(first[place]))
            textures[place] = torch.from_numpy(texture).permute(2, 0, 1)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(read_image, range(len(images))))
            list(pool.map(read_texture, range(len(textures))))
        where = device or torch.device("cpu")
        self.images, self.textures = images.to(where), textures.to(where)
        self._texture_of = torch.from_numpy(texture_of.reshape(-1)).to(where)

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, place: int) -> str:
        """Say which pair it is, for a message."""
        return f"pair {place} of {self._pairs.folder}"

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Give images (B, 3, H, W) and textures (B, 3, 256, 256) of (B,) places, uint8."""
        places = sent(places, self.images.device)
        return self.images[places], self.textures[self._texture_of[places]]

    def seen(self, places: Sequence[int]) -> Tensor:
        """Read the texels that the images show, (B, 1, 256, 256) bool, on the CPU."""
        return torch.from_numpy(np.stack([self._pairs.seen(place) for place in places]))[:, None]


def as_source(pairs: str | Path, out: str | Path, *, workers: int = 2) -> Path:
    """Write pairs as crops with reID names and a store of their textures.

    Image number C of an identity is taken by its camera C, numbered from 1 like the people. An
    interrupted call is gone on with.

    Args:
        pairs: A folder of pairs, as ``python -m sanreid.train.pit render`` writes it.
        out: The folder to write; made where it is not there.
        workers: Threads that compress.

    Returns:
        The folder of the crops, ``out/crops``; beside it lies ``textures.tex``.

    Raises:
        DatasetError: There are no pairs, or a shard is damaged.
    """
    data = PITDataset(pairs)
    folder = Path(out) / "crops"
    folder.mkdir(parents=True, exist_ok=True)
    names = {}
    for place, row in enumerate(data.rows):
        name = f"{row['identity'] + 1:06d}_c{row['image'] + 1}_rendered_0.jpg"
        names[name] = place
        if not (folder / name).is_file():
            with atomic_write(folder / name) as file:
                file.write(data.jpeg(place))
    crops = read_crops(folder, names="market1501")
    places = {key: names[path.name] for key, path in zip(crops.keys, crops.paths, strict=True)}
    header = TextureHeader(quality=92, about={"generator": f"rendered, {Path(pairs).name}"})
    with TextureWriter(Path(out) / "textures.tex", header) as writer:
        todo = [key for key in crops.keys if key not in writer]
        for begin in range(0, len(todo), _AT_ONCE):
            keys = todo[begin : begin + _AT_ONCE]
            textures = np.stack([data.texture(places[key]) for key in keys])
            writer.add(keys, torch.from_numpy(textures).permute(0, 3, 1, 2), workers=workers)
            logger.info("%d of %d textures", begin + len(keys), len(todo))
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sanreid.train.data.pairs",
        description="Write rendered pairs as a source of crops with identities and textures.",
    )
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="a folder of pairs")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give the exit status: 0 done, 1 sanreid error, 2 bad usage."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        folder = as_source(args.pairs, args.out)
    except (SanreidError, OSError) as error:
        sys.stderr.write(f"sanreid: {error}\n")
        return 1
    sys.stdout.write(f"{folder}, {args.out / 'textures.tex'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
