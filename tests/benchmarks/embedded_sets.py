"""Embeddings of the real crops of ``SANREID_DATA``, kept in a folder from run to run."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

import sanreid
from sanreid.datasets import read_crops

TITLES = {"pku": "PKU-Reid, a part", "cuhk03val": "CUHK03 val", "marketdev": "Market dev"}


def sets_parser(doc):
    """A parser with the options of every benchmark on these sets."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SANREID_DATA"))
    parser.add_argument("--weights", help="a name or a directory; default: the manifest's")
    parser.add_argument("--folder", type=Path, help="keep the embeddings here")
    parser.add_argument("--json", type=Path, help="write the results here")
    return parser


def load_sets(args):
    """The encoder's fingerprint, and (embeddings, pids, camids) by name; rows of norm 1."""
    encoder = sanreid.SANEncoder.from_pretrained(args.weights)
    return encoder.fingerprint, {name: _load(name, encoder, args) for name in TITLES}


def crop_paths(name, root):
    """The files of a set, in the order of its embeddings."""
    return [path for part in crops_of(name, root) for path in part.paths]


def kept_arrays(name, encoder, folder, make):
    """Arrays by name, from ``folder`` where this encoder's are there, else made, then kept."""
    path = folder / f"{name}.npz" if folder else None
    if path and path.is_file():
        with np.load(path) as arrays:
            if str(arrays.get("fingerprint")) == encoder.fingerprint:
                return {key: arrays[key] for key in arrays if key != "fingerprint"}
    arrays = make()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, fingerprint=encoder.fingerprint, **arrays)
    return arrays


def _load(name, encoder, args):
    arrays = kept_arrays(name, encoder, args.folder, lambda: _embedded(name, encoder, args))
    return arrays["embeddings"], arrays["pids"], arrays["camids"]


def _embedded(name, encoder, args):
    if args.data is None:
        raise SystemExit("give --data, or set SANREID_DATA")
    crops = crops_of(name, args.data)
    names = [f"{part.name}/{who}" for part in crops for who in part.labels or part.pids.tolist()]
    return {
        "embeddings": np.concatenate([encoder.encode(part.paths) for part in crops]),
        "pids": np.unique(names, return_inverse=True)[1] + 1,
        "camids": np.concatenate([part.camids for part in crops]),
    }


def crops_of(name, root):
    """The parts of a set, as they are read."""
    root = Path(root)
    if name == "pku":
        return [read_crops(root / "pku_reid" / part) for part in ("train", "val")]
    if name == "cuhk03val":
        return [read_crops(root / "cuhk03_pair1_labeled" / "val")]
    people = (root / "market1501" / "dev_pids.txt").read_text(encoding="utf-8").split()
    market = read_crops(root / "market1501" / "bounding_box_train")
    return [market.of_pids([int(pid) for pid in people])]
