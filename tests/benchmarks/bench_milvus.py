"""A gallery on Milvus beside one in memory and one on disk: adding, search, filters, rules.

    python -m tests.benchmarks.bench_milvus --size 50000 --lite 2000

Milvus Lite is a stand-in for trials, so it gets fewer entries, ``--lite``, and so does a gallery
in memory of its own. A server is measured where ``milvus-server`` is found (see
:mod:`tests.gallery.milvus.server`); it starts on loopback and ends with the benchmark. Answers are
compared with those of the gallery in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from sanreid.gallery import Gallery
from tests.benchmarks.bench_gallery import CAMERAS, QUERIES, K, draw_rows, take_turns
from tests.benchmarks.report import spread, write_report
from tests.benchmarks.tables import table, time_text
from tests.gallery.milvus.server import Server, why_not

__all__ = ["section"]

DIM = 512
BATCH = 10_000


def fill(gallery, rows, pids):
    """Add all rows and return how many per second."""
    start = time.perf_counter()
    for first in range(0, len(rows), BATCH):
        part = slice(first, first + BATCH)
        metadata = [{"path": f"crops/{n:08d}.jpg"} for n in range(len(rows[part]))]
        camids = (np.arange(len(rows)) % CAMERAS)[part]
        gallery.add(rows[part], pids=pids[part], camids=camids, metadata=metadata)
    return len(rows) / (time.perf_counter() - start)


def works(gallery, queries, pids):
    """Return the searches to time, by name."""
    rules = {"query_pids": pids, "query_camids": np.zeros(len(queries), int)}
    return {
        f"{QUERIES} queries": lambda: gallery.search(queries, K),
        "10 % admitted": lambda: gallery.search(queries, K, where={"camid": 3}),
        "Market-1501 rule": lambda: gallery.search(queries, K, **rules),
        "one query": lambda: gallery.search(queries[:1], K),
        "one filtered query": lambda: gallery.search(queries[:1], K, where={"camid": 3}),
    }


def measure(galleries, size, repeats):
    """Measure contestants of one size, which take turns."""
    rows, pids = draw_rows(size, DIM)
    queries, query_pids = draw_rows(QUERIES, DIM, seed=1, people=max(2, size // 20))
    rates = {name: fill(gallery, rows, pids) for name, gallery in galleries.items()}
    calls, answers = {}, {}
    for name, gallery in galleries.items():
        for work, call in works(gallery, queries, query_pids).items():
            calls[work, name] = call
            found = call().ids
            assert (found == answers.setdefault(work, found)).all(), (work, name)
    seconds = take_turns(calls, repeats)
    first = next(iter(galleries))
    return [
        {
            "size": size,
            "work": work,
            "contestant": name,
            "rows_per_s": round(rates[name]),
            "ratio": round(statistics.median(times) / statistics.median(seconds[work, first]), 2),
            **spread(times),
        }
        for (work, name), times in seconds.items()
    ]


def section(reports):
    """Return the page's section."""
    parts = [
        "## A gallery on Milvus",
        (
            "Contestants of one size take turns in one process, which for Milvus is the client's; "
            f"the server runs on the same machine, on loopback. k = {K}, {DIM} dimensions; "
            "entries have pids, cameras and metadata. All answers are equal. Ratios are to the "
            "gallery in memory."
        ),
    ]
    for report in reports:
        for size in sorted({row["size"] for row in report["rows"]}):
            rows = [row for row in report["rows"] if row["size"] == size]
            adding = {row["contestant"]: row["rows_per_s"] for row in rows}
            parts += [
                f"### {size:,} entries",
                table(
                    ["work", "contestant", "time", "ratio"],
                    [
                        [one["work"], one["contestant"], time_text(one["median_s"]),
                         f"{one['ratio']:.1f}"]
                        for one in rows
                    ],
                ),
                "Entries added per second: "
                + ", ".join(f"{name} {rate:,}" for name, rate in adding.items())
                + ".",
            ]  # fmt: skip
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=50_000, help="entries on the server")
    parser.add_argument("--lite", type=int, default=2_000, help="entries in Milvus Lite")
    parser.add_argument("--repeats", type=int, default=20, help="upper limit; never below three")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        where = Path(folder)
        lite = Gallery.open(f"milvus-lite://{folder}/lite.db", dim=DIM)
        rows += measure(
            {"in memory": Gallery(DIM), "Milvus Lite": stack.enter_context(lite)},
            args.lite,
            args.repeats,
        )
        disk = Gallery.open(where / "disk", dim=DIM)
        contestants = {"in memory": Gallery(DIM), "on disk": stack.enter_context(disk)}
        reason = why_not()
        if reason is None:
            (where / "server").mkdir()
            server = stack.enter_context(Server(where / "server"))
            there = Gallery.open(server.address("benchmark"), dim=DIM)
            contestants["Milvus server"] = stack.enter_context(there)
        else:
            print(f"No server is measured: {reason}.")
        rows += measure(contestants, args.size, args.repeats)
    for row in rows:
        print(
            f"{row['size']:>8,}  {row['work']:<20} {row['contestant']:<14} "
            f"{time_text(row['median_s']):>10}  x {row['ratio']}"
        )
    write_report(args.json, "milvus", rows)


if __name__ == "__main__":
    main()
