"""Embedding JPEG files from disk: SANEncoder against a plain torchvision loop.

    python -m tests.benchmarks.bench_encode [--images 512] [--json FILE]

Work: 512 crops, ResNet-50 with last stride 1, 256 x 128, batches of 32, the bundled weights. The
plain loop opens, resizes, normalises and forwards one batch after the other in float32, as the
usual feature extractors do. Each contestant runs in a process of its own; the crops are read once
before the clock starts, so that the disk's cache is warm for everyone.

Crops: the first of Market-1501's training folder where SANREID_DATA is set (64 x 128 files that
the resize makes larger), else rendered people of the same size.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms

from sanreid import SANEncoder
from tests.benchmarks.report import in_fresh_process, repeat, write_report
from tests.people import rendered_person

INPUT_SIZE = (256, 128)
CONTESTANTS = ("plain torchvision float32", "sanreid float32", "sanreid auto")

Embed = Callable[[list[Path]], NDArray[np.float32]]


def plain_loop(batch_size: int) -> Embed:
    """Decode, resize, forward, one after the other; torchvision's ResNet and transforms."""
    encoder = SANEncoder.from_pretrained("baseline-r50", device="cpu")  # for its weights alone
    weights = encoder.module.state_dict()
    network = torchvision.models.resnet50(weights=None)
    network.layer4[0].conv2.stride = network.layer4[0].downsample[0].stride = (1, 1)
    network.fc = torch.nn.Sequential(encoder.module.head.reduction, encoder.module.head.bn)
    trunk = {k.removeprefix("trunk."): v for k, v in weights.items() if k.startswith("trunk.")}
    network.load_state_dict(trunk, strict=False)  # the head is in place already
    network.eval()
    prepare = transforms.Compose(
        [
            transforms.Resize(INPUT_SIZE),
            transforms.ToTensor(),
            transforms.Normalize(encoder.config.mean, encoder.config.std),
        ]
    )

    def embed(paths: list[Path]) -> NDArray[np.float32]:
        rows = []
        for start in range(0, len(paths), batch_size):
            batch = [
                prepare(Image.open(path).convert("RGB"))
                for path in paths[start : start + batch_size]
            ]
            with torch.no_grad():
                features = network(torch.stack(batch))
            rows.append(torch.nn.functional.normalize(features))
        return torch.cat(rows).numpy()

    return embed


def sanreid_encoder(batch_size: int, dtype: str) -> tuple[Embed, SANEncoder]:
    """SANEncoder with the bundled weights, at the benchmark's input size."""
    released = SANEncoder.from_pretrained("baseline-r50", device="cpu")
    config = replace(released.config, input_size=INPUT_SIZE)
    encoder = SANEncoder(released.module, config, device="cpu", dtype=dtype)
    return lambda paths: encoder.encode_files(paths, batch_size=batch_size).embeddings, encoder


def measure(
    contestant: str, paths: list[Path], output: Path, *, batch_size: int, repeats: int
) -> dict[str, Any]:
    """Time one contestant; its embeddings go to ``output`` for the comparison."""
    precision = "float32"
    if contestant == CONTESTANTS[0]:
        embed = plain_loop(batch_size)
    else:
        embed, encoder = sanreid_encoder(batch_size, contestant.rpartition(" ")[2])
        precision = str(encoder.dtype).removeprefix("torch.")
    embed(paths[: 2 * batch_size])  # warm
    timing = repeat(lambda: np.save(output, embed(paths)), repeats=repeats, warmup=0)
    return {
        "contestant": contestant,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "images_per_s": round(len(paths) / timing["median_s"], 2),
        **timing,
    }


def crops(count: int, folder: Path) -> tuple[list[Path], str]:
    """Give JPEG files of 64 x 128 pixels (width x height) and what they are."""
    if "SANREID_DATA" in os.environ:
        market = Path(os.environ["SANREID_DATA"]) / "market1501" / "bounding_box_train"
        paths = sorted(market.glob("*.jpg"))
        # Evenly over the folder, so over people and cameras.
        return paths[:: max(1, len(paths) // count)][:count], "Market-1501 training crops"
    paths = [folder / f"{index:05d}.jpg" for index in range(count)]
    for index, path in enumerate(paths):
        rendered_person(index, camera=index % 6 + 1, size=(128, 64)).save(path, quality=92)
    return paths, "rendered people"


def main() -> None:
    """Measure every contestant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        paths, what = crops(args.images, Path(temporary))
        for path in paths:
            path.read_bytes()
        rows, embeddings = [], []
        for number, contestant in enumerate(CONTESTANTS):
            output = Path(temporary, f"{number}.npy")
            row = in_fresh_process(
                measure,
                contestant,
                paths,
                output,
                batch_size=args.batch_size,
                repeats=args.repeats,
            )
            rows.append(row)
            embeddings.append(np.load(output))
            cosine = float((embeddings[number] * embeddings[0]).sum(axis=1).min())
            row["lowest_cosine_to_plain"] = round(cosine, 6)
            row["times_plain"] = round(rows[0]["median_s"] / row["median_s"], 2)
            print(
                "{contestant:<26} {precision:<9} {images_per_s:>7} images/s  {times_plain:>5} x  "
                "median {median_s:.2f} s (IQR {iqr_s:.2f} s)  peak {peak_mib:,.0f} MiB  "
                "lowest cosine {lowest_cosine_to_plain:.6f}".format(**row),
                flush=True,
            )
    write_report(
        args.json,
        "encode",
        rows,
        crops=what,
        images=len(paths),
        batch_size=args.batch_size,
        input_size=list(INPUT_SIZE),
    )


if __name__ == "__main__":
    main()
