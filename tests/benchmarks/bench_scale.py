"""Ray Data beside plain ``encode``: what the engine costs, once its actors are up.

    python -m tests.benchmarks.bench_scale [--crops 5000] [--tiny] [--json FILE]

The same JPEG files, embedded by ``encode`` with one thread and by ``scale.embed`` with one actor
of one thread. Start-up is left out: the actor's clocks run from the end of its first batch to the
end of its last, so that all is counted that it does in between. Wall time depends on what else
runs, CPU time less; Ray's other processes, which cost what they cost per second and not per crop,
are told apart. With ``--tiny`` the network is a ResNet-18 for 64 x 32, which takes next to
nothing, so that what is left is the engine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sanreid import SANEncoder
from sanreid.config import EncoderConfig
from sanreid.models import build_sa_enc
from sanreid.scale import EmbedCrops
from tests.benchmarks.report import in_fresh_process, write_report
from tests.benchmarks.tables import table


def make_crops(folder: Path, count: int) -> list[str]:
    """Write JPEG files of 64 x 128 pixels, noise that is smooth enough to be of a usual size."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        paths.append(str(folder / f"{index:06d}.jpg"))
        coarse.resize((64, 128), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def load(*, tiny: bool) -> SANEncoder:
    """Return the encoder that both contestants use."""
    if not tiny:
        return SANEncoder.from_pretrained(device="cpu")
    torch.manual_seed(0)
    config = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32))
    return SANEncoder(build_sa_enc(config), config, device="cpu", dtype="float32")


def plain(paths: list[str], batch_size: int, *, tiny: bool) -> dict[str, Any]:
    """Measure ``encode``."""
    torch.set_num_threads(1)
    encoder = load(tiny=tiny)
    encoder.encode(paths[:batch_size], batch_size=batch_size)  # warm-up
    start, busy = time.perf_counter(), time.process_time()
    encoder.encode(paths[batch_size:], batch_size=batch_size, progress=False)
    count = len(paths) - batch_size
    return row("encode", count, time.perf_counter() - start, time.process_time() - busy)


class Timed(EmbedCrops):
    """Adds to each batch the clocks of its process at the end of it."""

    def __init__(self, encoder: Any, **options: Any) -> None:
        import ray

        super().__init__(ray.get(encoder), **options)

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        result = super().__call__(batch)
        for name, clock in (("wall_s", time.perf_counter()), ("cpu_s", time.process_time())):
            result = result.append_column(name, pa.repeat(clock, len(result)))
        return result


def with_ray(paths: list[str], batch_size: int, *, tiny: bool) -> dict[str, Any]:
    """Measure ``scale.embed``, from the end of the first batch to that of the last."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import pyarrow as pa
    import ray
    import ray.data

    from sanreid.scale import ray_data

    here = import_module("tests.benchmarks.bench_scale")  # the name by which an actor finds it
    ray_data._EmbedCrops = here.Timed
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    data = ray.data.from_arrow(pa.table({"path": paths}))
    data = ray_data.embed(data, "path", encoder=load(tiny=tiny), actors=1, batch_size=batch_size)
    clocks: list[tuple[float, float]] = []
    done = 0
    for block in data.iter_batches(batch_format="pyarrow", batch_size=None):
        assert block["error"].null_count == len(block)
        if not done:
            start, others = time.perf_counter(), other_cpu_seconds()
        done += len(block)
        clocks += set(zip(block["wall_s"].to_pylist(), block["cpu_s"].to_pylist(), strict=True))
    assert done == len(paths)
    beside = (other_cpu_seconds() - others) / (time.perf_counter() - start)
    ray.shutdown()
    (wall_start, cpu_start), (wall_end, cpu_end) = min(clocks), max(clocks)
    found = row("Ray Data", done - batch_size, wall_end - wall_start, cpu_end - cpu_start)
    return {**found, "other_cores": round(beside, 3)}


def row(contestant: str, count: int, wall_s: float, cpu_s: float) -> dict[str, Any]:
    """Return one line of the table."""
    return {
        "contestant": contestant,
        "timed": count,
        "images_per_s": round(count / wall_s, 2),
        "cpu_ms_per_image": round(1e3 * cpu_s / count, 3),
        "median_s": round(wall_s, 3),
    }


def other_cpu_seconds() -> float:
    """Return the CPU time so far of this process and those below it, without the actors."""
    ticks: dict[int, int] = {}
    parents: dict[int, int] = {}
    actors: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        number = int(entry.name)
        try:
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if b"MapWorker" in (entry / "cmdline").read_bytes():
                actors.add(number)
        except OSError:  # it ended meanwhile
            continue
        parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    below = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(ticks[process] for process in below - actors) / os.sysconf("SC_CLK_TCK")


def section(reports: list[dict[str, Any]]) -> str:
    """Return the page's section."""
    lines = []
    for report in reports:
        peer, ours = report["rows"]
        for one in (peer, ours):
            wall = peer["images_per_s"] / one["images_per_s"] - 1
            cpu = one["cpu_ms_per_image"] / peer["cpu_ms_per_image"] - 1
            lines.append(
                [
                    f"{report['encoder']}, {one['contestant']}",
                    f"{one['timed']:,}",
                    f"{one['images_per_s']:,.1f}",
                    "" if one is peer else f"{wall:+.0%}",
                    f"{one['cpu_ms_per_image']:,.1f} ms",
                    "" if one is peer else f"{cpu:+.0%}",
                    "" if one is peer else f"{one['other_cores']:.2f} cores",
                ]
            )
    return "\n\n".join(
        [
            "## On a cluster: what Ray Data costs",
            (
                "The same JPEG files of 64 x 128, through `encode` with one thread and through "
                "`sanreid.scale.embed` with one actor of one thread; start-up is left out. CPU "
                "time is that of the process that embeds; Ray's other processes take what is in "
                "the last column, once for all actors of a machine. On a busy machine wall times "
                "tell little. The tiny network shows the engine's share at its largest."
            ),
            table(
                [
                    "encoder",
                    "crops",
                    "images/s",
                    "overhead",
                    "CPU per image",
                    "overhead",
                    "beside it",
                ],
                lines,
            ),
        ]
    )


def main() -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--crops", type=int, default=5_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--tiny", action="store_true", help="a network that takes no time")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_crops(Path(folder), args.crops)
        rows = [
            in_fresh_process(contestant, paths, args.batch_size, tiny=args.tiny)
            for contestant in (plain, with_ray)
        ]
    for one in rows:
        print(
            "{contestant:<10} {images_per_s:>8,.1f} images/s  {cpu_ms_per_image:>8,.1f} ms of CPU "
            "per image".format(**one)
        )
    write_report(
        args.json,
        "scale",
        rows,
        encoder="ResNet-18 at 64 x 32" if args.tiny else "`san-r50`",
        crops=args.crops,
        batch_size=args.batch_size,
    )


if __name__ == "__main__":
    main()
