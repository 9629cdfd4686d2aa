"""Exact search in a gallery that normalises by cameras, against the same gallery without.

    python -m tests.benchmarks.bench_cameras --json docs/benchmarks/cameras.json

Vectors are drawn around identities with the spread of real crops, as for ``bench_gallery``, and
shifted by a vector of their camera. Both searches take turns in one process; their answers are
compared with those of a gallery that holds the normalised vectors.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np

from sanreid.gallery import Gallery
from tests.benchmarks.bench_gallery import draw_rows, take_turns
from tests.benchmarks.report import spread, write_report
from tests.benchmarks.tables import table, time_text

QUERIES, K, CAMERAS = (1, 64), 10, 6
SHIFT = 0.35  # length of a camera's shift; a row has length 1


def draw_crops(size, dim):
    """Return rows, their cameras, queries and their cameras."""
    rng = np.random.default_rng(3)
    shifts = rng.standard_normal((CAMERAS, dim)).astype(np.float32)
    shifts *= SHIFT / np.linalg.norm(shifts, axis=1, keepdims=True)
    parts = []
    for count, seed in ((size, 0), (max(QUERIES), 1)):
        rows, _ = draw_rows(count, dim, seed=seed, people=max(2, size // 20))
        camids = np.arange(count) % CAMERAS
        rows += shifts[camids]
        parts += [rows, camids]
    return parts


def measure(size, dim, most):
    """Return one row per number of queries and contestant."""
    rows, camids, queries, query_camids = draw_crops(size, dim)
    raw, normalised = Gallery(dim), Gallery(dim)
    raw.add(rows, camids=camids)
    normalised.add(rows, camids=camids)
    normalizer = normalised.normalize_cameras()
    held = Gallery(dim)
    held.add(normalizer(rows, camids))
    wanted = held.search(normalizer(queries, query_camids), K)
    del held
    found = normalised.search(queries, K, query_camids=query_camids, same_camera="keep")
    assert (found.ids == wanted.ids).mean() > 0.999
    assert np.abs(found.similarities - wanted.similarities).max() < 1e-5

    results = []
    for count in QUERIES:
        asked, cameras = queries[:count], query_camids[:count]
        times = take_turns(
            {
                "raw": lambda asked=asked: raw.search(asked, K),
                "normalised": lambda asked=asked, cameras=cameras: normalised.search(
                    asked, K, query_camids=cameras, same_camera="keep"
                ),
            },
            most,
        )
        ratios = np.array(times["normalised"]) / np.array(times["raw"])
        for contestant, seconds in times.items():
            row = {"contestant": contestant, "queries": count, "size": size, **spread(seconds)}
            if contestant == "normalised":
                row["ratio"] = round(statistics.median(ratios), 3)
            results.append(row)
    return results


def section(reports):
    """Return the section of the benchmarks page."""
    rows = [row for report in reports for row in report["rows"]]
    lines = [
        [
            str(row["queries"]),
            row["contestant"],
            time_text(row["median_s"]),
            time_text(row["iqr_s"]),
            f"{row['ratio']:.2f}" if "ratio" in row else "",
        ]
        for row in rows
    ]
    return "\n\n".join(
        [
            "## Searching with normalised cameras",
            (
                f"Exact search of {rows[0]['size']:,} entries with {reports[0]['dim']} dimensions "
                f"under {CAMERAS} cameras, k = {K}: a gallery as it is, and the same after "
                "`normalize_cameras()`, whose answers are those of normalised vectors. The two "
                "take turns; the ratio is the median over the turns."
            ),
            table(["queries", "gallery", "time", "interquartile range", "ratio"], lines),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=100, help="at most")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    rows = measure(args.size, args.dim, args.repeats)
    for row in rows:
        ratio = f"  {row['ratio']:.2f} x raw" if "ratio" in row else ""
        print(
            f"{row['queries']:>3} queries  {row['contestant']:<11} "
            f"{row['median_s'] * 1e3:8.1f} ms (IQR {row['iqr_s'] * 1e3:.1f}){ratio}"
        )
    write_report(args.json, "cameras", rows, dim=args.dim)


if __name__ == "__main__":
    main()
