"""How near the true texture a copy of the crop's pixels comes, at their true texels.

    python -m tests.benchmarks.copied_pixels /made/pairs

On the held-out pairs, each pixel of a crop is put at the texel that it shows, by the rendered
truth, and the texels between them take the color of the nearest one. It is compared with the true
texture over the texels that the crop shows: as it is, and after the best line per channel and crop
was fitted to the truth, which no generator can know. What remains is light and shadow, noise, blur
and JPEG. Beside it stands the mean texture of the other identities. Mean absolute differences,
colors in [0, 1].
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sanreid.train.pit import PITDataset
from sanreid.train.pit.tables import load_tables

Array = NDArray[np.float64]

SIZES = ((128, 64), (256, 128))
_SIDE = 256


def laid_out(crop: Array, uv: NDArray[np.floating[Any]]) -> Array:
    """Return the texture, (256, 256, 3), of the pixels of a crop at their texels."""
    body = uv[..., 0] >= 0
    column, row = (np.minimum(uv[body] * _SIDE, _SIDE - 1).astype(int)).T
    total, count = np.zeros((_SIDE, _SIDE, 3)), np.zeros((_SIDE, _SIDE))
    np.add.at(total, (row, column), crop[body])
    np.add.at(count, (row, column), 1)
    near = ndimage.distance_transform_edt(count == 0, return_distances=False, return_indices=True)
    mean: Array = total / np.maximum(count, 1)[..., None]
    return mean[tuple(near)]


def fitted(copy: Array, truth: Array) -> Array:
    """Return (M, 3) copied colors after the best line of each channel."""
    lines = [np.polyfit(x, y, 1) for x, y in zip(copy.T, truth.T, strict=True)]
    return np.stack([np.polyval(*each) for each in zip(lines, copy.T, strict=True)], 1)


def measure(folder: str) -> dict[str, float]:
    """Return the mean absolute differences by answer."""
    others = PITDataset(folder, split="train")
    first = np.unique(others.identities, return_index=True)[1].tolist()
    mean = np.mean([others.texture(number) for number in first], 0)
    pairs, valid = PITDataset(folder, split="val"), load_tables()["valid"].astype(bool)
    sums: dict[str, Array] = {}
    for number in range(len(pairs)):
        sample = pairs[number]
        seen = sample.seen & valid
        truth = sample.texture[seen].astype(np.float64)
        answers = {"mean texture": mean[seen]}
        for height, width in SIZES:
            crop = Image.fromarray(sample.crop).resize((width, height), Image.Resampling.BOX)
            every = sample.uv.shape[0] // height
            uv = sample.uv[every // 2 :: every, every // 2 :: every]
            copy = laid_out(np.asarray(crop, np.float64), uv)[seen]
            answers[f"copy of {height} x {width}"] = copy
            answers[f"copy of {height} x {width}, colors fitted"] = fitted(copy, truth)
        for name, colors in answers.items():
            off = np.abs(np.clip(colors, 0, 255) - truth) / 255
            sums[name] = sums.get(name, np.zeros(2)) + np.array([off.sum(), off.size])
    return {name: float(total / count) for name, (total, count) in sums.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", help="a folder that pit render made")
    figures = measure(parser.parse_args(argv).pairs)
    for name, value in figures.items():
        print(f"{name:38} {value:.4f}  {value / figures['mean texture']:.2f}")


if __name__ == "__main__":
    main()
