"""A long stream through ``encode_stream``: memory and throughput from beginning to end.

    python -m tests.benchmarks.bench_stream [--images 100000] [--json FILE]

A tiny encoder (ResNet-18, random weights, 32 x 32) embeds crops of 64 x 128 pixels that a
generator draws one at a time, so any growth with the stream shows. The floor of resident memory is
its value before the stream; each row covers a tenth of the stream.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid import SANEncoder
from sanreid.config import EncoderConfig
from sanreid.models import build_sa_enc
from tests.benchmarks.report import in_fresh_process, write_report
from tests.benchmarks.tables import table

PARTS = 10


def resident_mib() -> float:
    """Return the current resident memory of this process, in MiB; NaN outside Linux."""
    if not sys.platform.startswith("linux"):
        return float("nan")
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096 / 2**20


def drawn(count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield distinct random crops without keeping them."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)


def measure(count: int, batch_size: int) -> dict[str, Any]:
    """Stream ``count`` crops; return throughput and resident memory for each tenth."""
    torch.manual_seed(0)
    config = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(32, 32))
    encoder = SANEncoder(build_sa_enc(config), config, device="cpu", dtype="float32")
    list(encoder.encode_stream(drawn(8 * batch_size), batch_size=batch_size))  # warm-up
    marks = [count * part // PARTS for part in range(1, PARTS + 1)]
    before = resident_mib()
    parts, last, embedded = [], 0, 0
    start, busy = time.perf_counter(), time.process_time()
    for index, row in encoder.encode_stream(drawn(count), batch_size=batch_size):
        embedded += bool(np.isfinite(row).all())
        if index + 1 == marks[len(parts)]:
            now, used = time.perf_counter(), time.process_time()
            parts.append(
                {
                    "crops": index + 1,
                    "images_per_s": round((index + 1 - last) / (now - start), 1),
                    "images_per_cpu_s": round((index + 1 - last) / (used - busy), 1),
                    "resident_mib": round(resident_mib(), 1),
                }
            )
            start, busy, last = now, used, index + 1
    assert embedded == count
    return {"parts": parts, "before_mib": round(before, 1)}


def section(reports: list[dict[str, Any]]) -> str:
    """Return the page's section."""
    texts = ["## A long stream"]
    for report in reports:
        rows = report["rows"]
        first, last = rows[0], rows[-1]
        texts += [
            (
                f"{report['images']:,} crops through `encode_stream`, in batches of "
                f"{report['batch_size']}, with a tiny encoder, so that growing memory or falling "
                f"throughput would show. Resident memory before: {report['before_mib']:,.0f} MiB; "
                "from the first tenth to the last it changes by "
                f"{last['resident_mib'] - first['resident_mib']:+.1f} MiB, throughput by "
                f"{last['images_per_s'] / first['images_per_s'] - 1:+.0%}, and throughput per "
                "second of CPU time by "
                f"{last['images_per_cpu_s'] / first['images_per_cpu_s'] - 1:+.0%}."
            ),
            table(
                ["crops so far", "images/s", "images per CPU second", "resident memory"],
                [
                    [
                        f"{row['crops']:,}",
                        f"{row['images_per_s']:,.0f}",
                        f"{row['images_per_cpu_s']:,.0f}",
                        f"{row['resident_mib']:,.1f} MiB",
                    ]
                    for row in rows
                ],
            ),
        ]
    return "\n\n".join(texts)


def main() -> None:
    """Run the stream and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    found = in_fresh_process(measure, args.images, args.batch_size)
    rows = found.pop("parts")
    for row in rows:
        print("{crops:>9,}  {images_per_s:>8,.0f} images/s  {resident_mib:,.1f} MiB".format(**row))
    facts = {"images": args.images, "batch_size": args.batch_size}
    write_report(args.json, "stream", rows, **facts, **found)


if __name__ == "__main__":
    main()
