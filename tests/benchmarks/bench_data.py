"""The data path of training: decoding, sampling batches, augmenting, reading textures.

    python -m tests.benchmarks.bench_data --json data.json
    python -m tests.benchmarks.bench_data --folder .../market1501/bounding_box_train --crops 12936

Without a folder the crops are noise saved as JPEG, which decodes more slowly than photographs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from sanreid.datasets import CropSet, read_crops
from sanreid.train.data import CropStore, PKSampler
from sanreid.train.data.transforms import BatchAugmentation
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.store import TextureStore
from sanreid.train.textures.writer import TextureWriter
from tests.benchmarks.report import in_fresh_process, repeat, write_report

P, K = 16, 4
OPTIONS = {
    "flip, shift": {},
    "+ brightness, contrast, erasing": {"brightness": 0.2, "contrast": 0.2, "erasing": 0.5},
    "everything": {
        "zoom": (1.0, 1.125), "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.02,
        "gain": 0.1, "grayscale": 0.05, "blur": 0.2, "low_resolution": 0.2, "erasing": 0.5,
        "erasing_fill": "color",
    },
}  # fmt: skip


def write_noise(folder: Path, count: int) -> CropSet:
    """Write smoothed noise as crops of 64 x 128, eight per person."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2))
        image.save(folder / f"{number // 8:05}_c{number % 6 + 1}s1_{number:06}_00.jpg", quality=90)
    return read_crops(folder)


def measure(crops: CropSet, size: tuple[int, int], cache: str) -> dict[str, object]:
    """Time each step on one set of crops."""
    began = time.perf_counter()
    store = CropStore.from_crops(crops, size=size)
    decode_s = time.perf_counter() - began
    CropStore.from_crops(crops, size=size, cache_dir=cache)
    mapped = repeat(
        lambda: CropStore.from_crops(crops, size=size, cache_dir=cache), repeats=3, warmup=1
    )
    sampler = PKSampler(store.labels, store.camids, p=P, k=K)
    sampled = repeat(lambda: list(sampler.epoch(0)), repeats=3)
    indices = next(iter(sampler.epoch(0)))
    row: dict[str, object] = {
        "crops": len(store),
        "decoded_per_s": round(len(store) / decode_s),
        "open_cache_s": mapped["median_s"],
        "sample_an_epoch_s": sampled["median_s"],
        "select_a_batch_ms": 1e3 * repeat(lambda: store.batch(indices), repeats=20)["median_s"],
    }
    images, generator = store.batch(indices), torch.Generator().manual_seed(0)
    for name, options in OPTIONS.items():
        augment = BatchAugmentation(**options)
        timing = repeat(
            lambda augment=augment: augment(images, generator=generator), repeats=30, warmup=3
        )
        row[f"augmented_per_s: {name}"] = round(P * K / timing["median_s"])
    return row | measure_textures(Path(cache) / "bench.textures")


def measure_textures(path: Path) -> dict[str, object]:
    """Time writing and reading smooth textures of 256 x 256."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(P * K, 3, 24, 24, generator=generator) * 255
    textures = torch.nn.functional.interpolate(small, size=(256, 256), mode="bilinear").byte()
    keys = [f"bench/{number}" for number in range(P * K)]
    began = time.perf_counter()
    with TextureWriter(path, TextureHeader()) as writer:
        writer.add(keys, textures)
    written_s = time.perf_counter() - began
    store = TextureStore(path)
    timing = repeat(lambda: store.batch(keys), repeats=5)
    return {
        "texture_bytes": round(store.num_bytes / len(keys)),
        "textures_written_per_s": round(len(keys) / written_s),
        "textures_read_per_s": round(len(keys) / timing["median_s"]),
    }


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a folder of crops instead of noise")
    parser.add_argument("--crops", type=int, default=2000)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 64), metavar=("H", "W"))
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.folder:
            every = read_crops(args.folder).without_ignored()
            crops = every.select(range(min(args.crops, len(every))))
        else:
            crops = write_noise(Path(scratch) / "crops", args.crops)
        row = in_fresh_process(measure, crops, tuple(args.size), f"{scratch}/cache")
    row |= {"size": list(args.size), "batch": P * K, "threads": torch.get_num_threads()}
    for name, value in row.items():
        print(f"{name:<50} {value}")
    write_report(args.json, "data", [row])


if __name__ == "__main__":
    main()
