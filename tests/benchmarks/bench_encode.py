"""Embed JPEG files from disk: every backend of SANEncoder against a plain torchvision loop.

    python -m tests.benchmarks.bench_encode [--images 512] [--folder EXPORTS] [--json FILE]

Work: 512 crops, ResNet-50 with last stride 1, 256 x 128, batches of 32, the bundled weights. The
plain loop opens, resizes, normalises and forwards one batch at a time in float32, like common
feature extractors. Each contestant runs in its own process; they take turns, so that disturbances
affect all of them alike, and ratios are computed turn by turn. The crops are read once beforehand
to warm the disk cache.

The floor is the network's multiply-adds over the measured rate of a matrix product in the same
precision; decoding and resizing are not included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from tests.benchmarks.exports import CALIBRATION, CONTESTANTS, INPUT_SIZE, crops, load, released
from tests.benchmarks.floors import above_floor, measure_rates
from tests.benchmarks.report import peak_memory_mib, spread, write_report
from tests.benchmarks.tables import floor_text, memory_text, table

PLAIN = "plain torchvision float32"

Embed = Callable[[list[Path]], NDArray[np.float32]]


def plain_loop(batch_size: int) -> Embed:
    """Return a sequential loop: decode, resize, forward, with torchvision's ResNet."""
    encoder = released()  # only for its weights
    weights = encoder.module.state_dict()
    network = torchvision.models.resnet50(weights=None)
    network.layer4[0].conv2.stride = network.layer4[0].downsample[0].stride = (1, 1)
    network.fc = torch.nn.Sequential(encoder.module.head.reduction, encoder.module.head.bn)
    trunk = {k.removeprefix("trunk."): v for k, v in weights.items() if k.startswith("trunk.")}
    network.load_state_dict(trunk, strict=False)  # the head is already set
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


_HERE: dict[str, Any] = {}  # state of a contestant's process: its embedding function


def _prepare(
    contestant: str, folder: Path, paths: list[Path], others: list[Path], batch_size: int
) -> str:
    """Load and warm up a contestant in its process; return its precision."""
    precision = "float32"
    if contestant == PLAIN:
        _HERE["embed"] = plain_loop(batch_size)
    else:
        encoder = load(contestant, folder, others)
        precision = str(encoder.dtype).removeprefix("torch.")
        _HERE["embed"] = lambda files: (
            encoder.encode_files(files, batch_size=batch_size).embeddings
        )
    _HERE["embed"](paths[: 2 * batch_size])
    return precision


def _run(paths: list[Path], output: Path) -> tuple[float, float]:
    """Embed once in a contestant's process; return seconds and peak memory."""
    start = time.perf_counter()
    rows = _HERE["embed"](paths)
    seconds = time.perf_counter() - start
    np.save(output, rows)
    return seconds, peak_memory_mib()


def compete(
    contestants: list[str],
    paths: list[Path],
    others: list[Path],
    folder: Path,
    *,
    batch_size: int,
    rounds: int,
) -> list[dict[str, Any]]:
    """Let the contestants take turns; return one row per contestant."""
    context = multiprocessing.get_context("spawn")
    pools = {name: context.Pool(1) for name in contestants}
    rows: list[dict[str, Any]] = []
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    peaks: dict[str, float] = {}
    embeddings: dict[str, NDArray[np.float32]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary, "rows.npy")
        precisions = {
            name: pool.apply(_prepare, (name, folder, paths, others, batch_size))
            for name, pool in pools.items()
        }
        for _ in range(rounds):
            for name, pool in pools.items():
                took, peaks[name] = pool.apply(_run, (paths, output))
                seconds[name].append(took)
                embeddings[name] = np.load(output)
    for pool in pools.values():
        pool.terminate()
    for name in contestants:
        cosines = (embeddings[name] * embeddings[contestants[0]]).sum(axis=1)
        pairs = zip(seconds[contestants[0]], seconds[name], strict=True)
        timing = spread(seconds[name])
        rows.append(
            {
                "contestant": name,
                "precision": precisions[name],
                "images_per_s": round(len(paths) / timing["median_s"], 2),
                "times_plain": round(statistics.median(a / b for a, b in pairs), 2),
                "lowest_cosine_to_plain": round(float(cosines.min()), 6),
                "mean_cosine_to_plain": round(float(cosines.mean()), 6),
                "peak_mib": round(peaks[name], 1),
                **timing,
            }
        )
    return rows


def gflop_per_crop() -> float:
    """Return the network's operations per crop in 1e9, a multiply-add counted as two."""
    module = released().module
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 3, *INPUT_SIZE))
    return counter.get_total_flops() / 1e9


def network_floor(
    seconds: float, rates: dict[str, float], *, gflop: float, precision: str
) -> dict[str, Any]:
    """Return the floor of the network's arithmetic; float32 at the faster library's rate."""
    kinds = ("float32", "torch_float32") if precision == "float32" else (precision,)
    fastest = max(kinds, key=lambda kind: rates[f"{kind}_gflops"])
    return above_floor(seconds, rates, gflop=gflop, precision=fastest)


def section(reports: list[dict[str, Any]]) -> str:
    """Return the page's section."""
    parts = ["## Crops to embeddings"]
    for report in reports:
        height, width = report["input_size"]
        parts.append(
            f"{report['images']} JPEG files ({report['crops']}, 64 x 128), ResNet-50 with last "
            f"stride 1 at {height} x {width}, batches of {report['batch_size']}, decoding and "
            f"resizing included; {report['gflop_per_crop']:.1f} GFLOP per crop. The peer is a "
            "plain torchvision loop in float32: open, resize, forward, in sequence. The lowest "
            "cosine is the minimum over all crops between a contestant's embedding and the "
            "peer's. The cosines are of the weights bundled on the date of the run; what an int8 "
            "export of today's weights loses is in [Export](howto/export.md#which-backend-when)."
        )
        lines = [
            [
                row["contestant"],
                row["precision"],
                f"{row['images_per_s']:.1f}",
                f"{row['times_plain']:.2f}",
                memory_text(row),
                f"{row['lowest_cosine_to_plain']:.6f}",
                floor_text(row),
            ]
            for row in report["rows"]
        ]
        headings = ["contestant", "precision", "images/s", "times faster", "peak memory"]
        parts.append(table([*headings, "lowest cosine", "floor"], lines))
    return "\n\n".join(parts)


def main() -> None:
    """Run every contestant and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2, help="turns per contestant")
    parser.add_argument(
        "--calibration", type=int, default=CALIBRATION, help="crops that int8 exports see"
    )
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), metavar="CONTESTANT")
    parser.add_argument("--folder", type=Path, help="keep the exports here, or reuse those there")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        paths, others, what = crops(args.images, Path(temporary), args.calibration)
        for path in paths:
            path.read_bytes()
        rows = compete(
            [PLAIN, *(args.only or CONTESTANTS)],
            paths,
            others,
            args.folder or Path(temporary, "exports"),
            batch_size=args.batch_size,
            rounds=args.repeats,
        )
    rates = measure_rates("torch_float32", "bfloat16", "int8")
    gflop = gflop_per_crop()
    for row in rows:
        total, precision = gflop * len(paths), row["precision"]
        row.update(network_floor(row["median_s"], rates, gflop=total, precision=precision))
        print(
            "{contestant:<26} {precision:<9} {images_per_s:>7} images/s  {times_plain:>5} x  "
            "peak {peak_mib:,.0f} MiB  lowest cosine {lowest_cosine_to_plain:.6f}  "
            "{times_floor} x the floor".format(**row),
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
        gflop_per_crop=round(gflop, 3),
        rates=rates,
    )


if __name__ == "__main__":
    main()
