"""Throughput against batch size for every backend, and start-up time.

    python -m tests.benchmarks.bench_backends [--folder EXPORTS] [--json FILE]

Crops are arrays of 256 x 128 pixels, so nothing is decoded or resized: only the network and its
overhead are measured. A batch of one gives the latency. Each backend runs in its own process.

Start-up is measured in fresh interpreters: ``import sanreid``, ``sanreid --help``, and
``from_pretrained()`` with the bundled weights after torch has been imported.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.bench_encode import gflop_per_crop, network_floor
from tests.benchmarks.exports import CONTESTANTS, INPUT_SIZE, crops, load
from tests.benchmarks.floors import measure_rates
from tests.benchmarks.report import in_fresh_process, repeat, spread, write_report
from tests.benchmarks.tables import table, time_text

SIZES = (1, 4, 16, 64)
PICTURE = "backends.png"

STARTS = {
    "`import sanreid`": "import sanreid",
    "`sanreid --help`": "from sanreid.cli import main; main(['--help'])",
    "`from_pretrained()`, after torch": "sanreid.SANEncoder.from_pretrained(device='cpu')",
}
_TIMED = """
import contextlib, io, time
{before}
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    {work}
print(time.perf_counter() - start)
"""


def measure(
    contestant: str, folder: Path, others: list[Path], sizes: list[int], repeats: int
) -> dict[str, Any]:
    """Time one backend at each batch size, in its own process."""
    encoder = load(contestant, folder, others)
    rng = np.random.default_rng(0)
    given = rng.integers(0, 256, (max(sizes), *INPUT_SIZE, 3), dtype=np.uint8)
    timings = [
        {
            "batch_size": size,
            **repeat(
                lambda size=size: encoder.encode(given[:size], batch_size=size),
                repeats=max(repeats, 16 // size),
                warmup=2,
            ),
        }
        for size in sizes
    ]
    return {
        "precision": str(encoder.dtype).removeprefix("torch."),
        "timings": timings,
    }


def start_up(repeats: int) -> list[dict[str, Any]]:
    """Time each kind of start in fresh interpreters."""
    rows = []
    for name, work in STARTS.items():
        before = "import torch, sanreid" if "after torch" in name else ""
        code = _TIMED.format(before=before, work=work)
        command = [sys.executable, "-c", code]
        seconds = [
            float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(repeats)
        ]
        rows.append({"start": name, **spread(seconds)})
    return rows


def section(reports: list[dict[str, Any]]) -> str:
    """Return the page's section."""
    texts = ["## Backends and batch sizes"]
    for report in reports:
        sizes = report["batch_sizes"]
        rows = report["rows"]
        lines = []
        for name in dict.fromkeys(row["contestant"] for row in rows):
            of_it = {row["batch_size"]: row for row in rows if row["contestant"] == name}
            first, last = of_it[sizes[0]], of_it[sizes[-1]]
            lines.append(
                [
                    name,
                    first["precision"],
                    time_text(first["median_s"]),
                    *(f"{of_it[size]['images_per_s']:.1f}" for size in sizes),
                    f"{last['peak_mib']:,.0f} MiB",
                    f"{last['times_floor']:.1f} x",
                ]
            )
        headings = ["backend", "precision", "latency"]
        headings += [f"images/s, batch {size}" for size in sizes]
        texts += [
            (
                "Arrays of 256 x 128 in, embeddings out: no decoding, no resizing. The floor is "
                f"that of batches of {sizes[-1]}."
            ),
            table([*headings, "peak memory", "times the floor"], lines),
            f"![Images per second against batch size](images/{PICTURE})",
            "Start-up, in fresh interpreters:",
            table(
                ["start", "median"],
                [[row["start"], time_text(row["median_s"])] for row in report["start_up"]],
            ),
        ]
    return "\n\n".join(texts)


def draw(reports: list[dict[str, Any]], folder: Path) -> None:
    """Draw images per second against batch size."""
    from matplotlib.figure import Figure  # not needed for the page's text

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    rows = reports[-1]["rows"]
    for name in dict.fromkeys(row["contestant"] for row in rows):
        of_it = [row for row in rows if row["contestant"] == name]
        sizes = [row["batch_size"] for row in of_it]
        label = name.removeprefix("sanreid ") + f" ({of_it[0]['precision']})"
        axes.plot(sizes, [row["images_per_s"] for row in of_it], marker="o", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(reports[-1]["batch_sizes"], labels=map(str, reports[-1]["batch_sizes"]))
    axes.set_xlabel("batch size")
    axes.set_ylabel("images/s")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(fontsize="small", loc="outside right center")
    figure.savefig(folder / PICTURE, dpi=110)


def main() -> None:
    """Measure every backend and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS), metavar="BACKEND")
    parser.add_argument("--folder", type=Path, help="keep the exports here, or reuse those there")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()

    rates = measure_rates("torch_float32", "bfloat16", "int8")
    gflop = gflop_per_crop()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        _, others, _ = crops(1, Path(temporary))
        folder = args.folder or Path(temporary, "exports")
        for name in args.only or CONTESTANTS:
            found = in_fresh_process(measure, name, folder, others, args.batch_sizes, args.repeats)
            precision = found["precision"]
            for timing in found["timings"]:
                size, seconds = timing["batch_size"], timing["median_s"]
                rows.append(
                    {
                        "contestant": name,
                        "precision": precision,
                        "images_per_s": round(size / seconds, 2),
                        "peak_mib": found["peak_mib"],
                        **timing,
                        **network_floor(seconds, rates, gflop=gflop * size, precision=precision),
                    }
                )
                print(
                    "{contestant:<26} {precision:<9} {batch_size:>3} crops  {median_s:.4f} s  "
                    "{images_per_s:>7} images/s  {times_floor} x the floor".format(**rows[-1]),
                    flush=True,
                )
    starts = start_up(args.repeats)
    for row in starts:
        print(f"{row['start']:<36} {row['median_s']:.3f} s")
    write_report(
        args.json,
        "backends",
        rows,
        batch_sizes=args.batch_sizes,
        start_up=starts,
        gflop_per_crop=round(gflop, 3),
        rates=rates,
    )


if __name__ == "__main__":
    main()
