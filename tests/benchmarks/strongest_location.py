"""Where the last feature map of a run's encoder responds most strongly, on crops of CUHK03 val.

    SANREID_DATA=/data python -m tests.benchmarks.strongest_location RUN...

A location that is the strongest, with the same features, on every crop carries no identity.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sanreid.datasets import read_crops
from sanreid.images import load_crop
from sanreid.models import build_sa_enc
from sanreid.train.checkpoint import encoder_state, load_run
from sanreid.train.networks.normalization import normalize_crops

EVERY = 15  # take every 15th crop


def strongest(features: Tensor) -> dict[str, float]:
    """Describe the strongest location of feature maps (N, C, H, W).

    Returns:
        ``row`` and ``column`` of the location that is the strongest on most crops, the ``share``
        of crops on which it is, its strength relative to the mean of the ``others``, and the
        mean ``cosine`` of its features between two crops.
    """
    strength = features.square().sum(1).sqrt()
    width = strength.shape[2]
    flat = strength.flatten(1)
    location = int(flat.argmax(1).mode().values)
    there = torch.nn.functional.normalize(features.flatten(2)[:, :, location], dim=1)
    n = len(there)
    others = (flat.sum(1) - flat[:, location]) / (flat.shape[1] - 1)
    return {
        "row": location // width,
        "column": location % width,
        "share": float((flat.argmax(1) == location).float().mean()),
        "others": float((flat[:, location] / others).mean()),
        "cosine": float(((there @ there.T).sum() - n) / (n * (n - 1))),
    }


@torch.inference_mode()
def maps(run: Path, paths: list[Path]) -> Tensor:
    """Return the last stage's feature maps of crops, at the input size of the run's encoder."""
    config, state = load_run(run, which="last")
    encoder = build_sa_enc(config.encoder)
    encoder.load_state_dict(encoder_state(state))
    encoder.eval()
    crops = np.stack([load_crop(path, config.encoder.input_size) for path in paths])
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
    normal = normalize_crops(pixels, mean=config.encoder.mean, std=config.encoder.std)
    steps = range(0, len(normal), 16)
    return torch.cat([encoder(normal[n : n + 16]).stages[-1] for n in steps])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    args = parser.parse_args()
    folder = Path(os.environ["SANREID_DATA"]) / "cuhk03_pair1_labeled" / "val"
    paths = list(read_crops(folder, names="cuhk03").paths)[::EVERY]
    for run in args.runs:
        found = strongest(maps(run, paths))
        print(
            f"{run.name}: row {found['row']}, column {found['column']} is the strongest on "
            f"{found['share']:.0%} of {len(paths)} crops, {found['others']:.1f} times the others, "
            f"cosine between crops {found['cosine']:.2f}"
        )


if __name__ == "__main__":
    main()
