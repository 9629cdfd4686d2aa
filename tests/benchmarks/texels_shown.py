"""How well a texture generator knows which texel each pixel of a crop shows.

    python -m tests.benchmarks.texels_shown /made/pairs san-pg

On the held-out pairs: the pixels of the body that are found, as intersection over union with
the rendered truth; and over the pixels in both, the distance from the predicted texel to the true
one, in texels of a texture of 256 x 256.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from sanreid.train.config import PitConfig
from sanreid.train.data.pairs import Pairs
from sanreid.train.networks.normalization import normalize_crops
from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.networks.surface import shown
from sanreid.train.textures.generator import Generator, load_generator

_BATCH = 32


def distances(predicted: Tensor, true: Tensor) -> Tensor:
    """Return how far apart texels, row * 256 + column, lie on the texture."""
    rows = predicted // TEXTURE_SIZE - true // TEXTURE_SIZE
    columns = predicted % TEXTURE_SIZE - true % TEXTURE_SIZE
    return torch.hypot(rows.float(), columns.float())


@torch.inference_mode()
def predicted_texels(generator: Generator, crops: Tensor) -> Tensor:
    """Return the texels, (N, H, W), of uint8 crops, (N, 3, H, W); -1 off the body."""
    module, size = generator.module, (crops.shape[2], crops.shape[3])
    if module.copier is None:
        raise SystemExit(f"{generator.name} does not copy, so it knows no texels.")
    encoder = generator.encoder
    normal = normalize_crops(crops, mean=encoder.mean, std=encoder.std)
    surface = module.copier.surface(normal, module.encoder.trunk(normal))
    texels, likely = shown(surface, size, TEXTURE_SIZE)
    return torch.where(likely > 0, texels, -1)


def measure(folder: str, weights: str, held_out: int) -> dict[str, float]:
    """Return the figures by name."""
    generator = load_generator(weights)
    pairs = Pairs(
        PitConfig(folder=folder, held_out=held_out),
        size=generator.encoder.input_size,
        split="val",
        with_texels=True,
    )
    both, either, far = 0, 0, []
    for start in range(0, len(pairs), _BATCH):
        indices = torch.arange(start, min(start + _BATCH, len(pairs)))
        true = pairs.texels_of(indices)
        assert true is not None
        predicted = predicted_texels(generator, pairs.images[indices])
        known = (true >= 0) & (predicted >= 0)
        both += int(known.sum())
        either += int(((true >= 0) | (predicted >= 0)).sum())
        far.append(distances(predicted[known], true[known]))
    apart = torch.cat(far)
    return {
        "intersection over union": both / max(either, 1),
        "median distance": float(apart.median()),
        "within 8 texels": float((apart <= 8).float().mean()),
        "within 16 texels": float((apart <= 16).float().mean()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", help="a folder that pit render made")
    parser.add_argument("weights", help="a texture generator that copies")
    parser.add_argument("--held-out", type=int, default=60, help="identities (default 60)")
    args = parser.parse_args(argv)
    for name, value in measure(args.pairs, args.weights, args.held_out).items():
        print(f"{name:24} {value:.3f}")


if __name__ == "__main__":
    main()
