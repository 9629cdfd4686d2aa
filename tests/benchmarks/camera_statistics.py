"""Batch-norm statistics moved towards each camera's own, with and without camera normalisation.

    SANREID_DATA=/data python -m tests.benchmarks.camera_statistics --shares 0 0.3 0.6

Every camera gets an encoder of its own, whose running means and variances are those of the
training moved by a share of the way to those of the camera's crops. Each crop is a query under the
Market-1501 rule. ``--people 20`` takes the first 20 people of each set.

Source: Zhuang et al., "Rethinking the Distribution Gap of Person Re-identification with
Camera-Based Batch Normalization", ECCV 2020, arXiv:2001.08680.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

import sanreid
from sanreid.images import load_crop
from tests.benchmarks.camera_normalization import accuracy
from tests.benchmarks.embedded_sets import crops_of, sets_parser
from tests.benchmarks.report import write_report

MOST = 512  # crops of a camera that its statistics are taken from
BATCH = 64


def own_statistics(encoder, paths):
    """The mean and variance of each batch-norm layer over the crops, by the layer's name."""
    module = copy.deepcopy(encoder.module)
    layers = _layers(module)
    for layer in layers.values():
        layer.reset_running_stats()
        layer.momentum = None  # the mean over batches
        layer.train()
    mean, std = (
        np.array(one, dtype=np.float32) for one in (encoder.config.mean, encoder.config.std)
    )
    with torch.inference_mode():
        for begin in range(0, len(paths), BATCH):
            crops = [load_crop(path, encoder.input_size) for path in paths[begin : begin + BATCH]]
            pixels = (np.stack(crops) / np.float32(255) - mean) / std
            module(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    return {name: (one.running_mean, one.running_var) for name, one in layers.items()}


def moved(encoder, statistics, share):
    """A copy of the encoder with its statistics moved by ``share`` of the way."""
    module = copy.deepcopy(encoder.module)
    for name, layer in _layers(module).items():
        for own, towards in zip(
            (layer.running_mean, layer.running_var), statistics[name], strict=True
        ):
            own.lerp_(towards, share)
    return sanreid.SANEncoder(module, encoder.config, device="cpu", dtype="float32")


def measure(name, encoder, parts, shares):
    """A row per share: (mAP, rank-1) raw and normalised."""
    paths = [path for part in parts for path in part.paths]
    whose = [f"{n} {pid}" for n, part in enumerate(parts) for pid in part.pids.tolist()]
    pids = np.unique(whose, return_inverse=True)[1] + 1
    camids = np.concatenate([part.camids for part in parts])
    of_camera = {camid: np.flatnonzero(camids == camid) for camid in np.unique(camids)}
    statistics = {}
    for camid, rows in of_camera.items():
        some = np.random.default_rng(0).permutation(rows)[:MOST]
        statistics[camid] = own_statistics(encoder, [paths[row] for row in some])
    for share in shares:
        embeddings = np.zeros((len(paths), encoder.embedding_dim), dtype=np.float32)
        for camid, rows in of_camera.items():
            own = moved(encoder, statistics[camid], share)
            embeddings[rows] = own.encode([paths[row] for row in rows])
        normalized = sanreid.CameraNormalizer.fit(embeddings, camids)(embeddings, camids)
        yield {
            "set": name,
            "crops": len(paths),
            "share": share,
            "raw": accuracy(embeddings, pids, camids),
            "normalized": accuracy(normalized, pids, camids),
        }


def _layers(module):
    kinds = nn.BatchNorm1d, nn.BatchNorm2d
    return {name: one for name, one in module.named_modules() if isinstance(one, kinds)}


def main() -> None:
    parser = sets_parser(__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.3, 0.6])
    parser.add_argument("--sets", nargs="+", default=["pku", "cuhk03val"])
    parser.add_argument("--people", type=int, help="the first so many people of each folder")
    args = parser.parse_args()
    encoder = sanreid.SANEncoder.from_pretrained(args.weights, device="cpu", dtype="float32")
    rows = []
    for name in args.sets:
        parts = [
            part.of_pids(part.identities[: args.people].tolist())
            for part in crops_of(name, args.data)
        ]
        for row in measure(name, encoder, parts, args.shares):
            rows.append(row)
            figures = ["{:.3f} / {:.3f}".format(*row[key]) for key in ("raw", "normalized")]
            print(
                f"{name:<10} {row['crops']:>5} crops  share {row['share']}",
                *figures,
                sep="  ",
                flush=True,
            )
    write_report(args.json, "camera_statistics", rows, encoder=encoder.fingerprint)


if __name__ == "__main__":
    main()
