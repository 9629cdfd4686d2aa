"""CMC and mAP from embeddings: ``sanreid.evaluate`` against the usual dense algorithm.

    python -m tests.benchmarks.bench_evaluate --json evaluate.json
    python -m tests.benchmarks.bench_evaluate --queries 10000 --gallery 500000 --only sanreid

The peer is the evaluation found in published reID code, in NumPy: the full distance matrix, a full
argsort, a loop over the queries. Each contestant runs in its own process. The floor is the matrix
product of all pairs.
"""

from __future__ import annotations

import numpy as np

from sanreid import evaluate
from tests.benchmarks.crowd import crowd_parser, draw_crowd
from tests.benchmarks.floors import above_floor, measure_rates
from tests.benchmarks.report import in_fresh_process, peak_memory_mib, repeat, write_report
from tests.benchmarks.tables import floor_text, memory_text, table, time_text

CONTESTANTS = ("sanreid", "dense NumPy", "matrix product only")


def dense_evaluation(
    query_embeddings,
    query_pids,
    query_camids,
    gallery_embeddings,
    gallery_pids,
    gallery_camids,
    max_rank=50,
):
    """Return mAP and CMC, computed in the plainest way."""
    queries = query_embeddings / np.linalg.norm(query_embeddings, axis=1, keepdims=True)
    gallery = gallery_embeddings / np.linalg.norm(gallery_embeddings, axis=1, keepdims=True)
    distances = 1 - queries @ gallery.T
    order = np.argsort(distances, axis=1)
    matches = (gallery_pids[order] == query_pids[:, None]).astype(np.int32)
    curves, precisions = [], []
    for q in range(len(queries)):
        ranked = order[q]
        own_view = (gallery_pids[ranked] == query_pids[q]) & (
            gallery_camids[ranked] == query_camids[q]
        )
        found = matches[q][~own_view]
        if not found.any():
            continue
        so_far = found.cumsum()
        curves.append(np.minimum(so_far[:max_rank], 1))
        precision = so_far / np.arange(1, len(found) + 1)
        precisions.append((precision * found).sum() / found.sum())
    return float(np.mean(precisions)), np.mean(curves, axis=0)


def measure(contestant, sizes, repeats):
    """Measure one contestant, in its own process; return its row."""
    inputs = draw_crowd(**sizes)
    before = peak_memory_mib()
    found = {}

    def work():
        if contestant == "sanreid":
            report = evaluate(*inputs)
            found.update(mAP=report.mAP, rank1=report.rank1)
        elif contestant == "dense NumPy":
            precision, curve = dense_evaluation(*inputs)
            found.update(mAP=precision, rank1=float(curve[0]))
        else:
            inputs[0] @ inputs[3].T

    timing = repeat(work, repeats=repeats, warmup=int(repeats > 1))
    return {"contestant": contestant, **timing, **found, "inputs_mib": round(before, 1)}


def section(reports):
    """Return the page's section: every size, and the agreement where the peer ran."""
    lines, agreements = [], []
    for report in sorted(reports, key=lambda one: one["sizes"]["num_gallery"]):
        sizes = report["sizes"]
        shape = f"{sizes['num_queries']:,} x {sizes['num_gallery']:,} x {sizes['dim']}"
        rows = {row["contestant"]: row for row in report["rows"]}
        peer = rows.get("dense NumPy")
        for name, row in rows.items():
            ratio = f"{peer['median_s'] / row['median_s']:.1f}" if peer else ""
            time, memory = time_text(row["median_s"]), memory_text(row)
            shown = "`evaluate`" if name == "sanreid" else name
            lines.append([shape, shown, time, ratio, memory, floor_text(row)])
        if peer:
            agreements.append(
                f"At {shape} `evaluate` uses {report['memory_share']:.0%} of the peer's memory; "
                f"the two mAP values differ by {report['difference_of_mAP']:.1e}."
            )
    return "\n\n".join(
        [
            "## Evaluation: CMC, mAP and mINP",
            (
                "Queries x gallery x dimensions. The peer is the evaluation found in published "
                "reID code, in plain NumPy: the full distance matrix, a full argsort, a loop "
                "over the queries. Peak memory includes the inputs."
            ),
            table(["size", "contestant", "time", "times faster", "peak memory", "floor"], lines),
            *agreements,
        ]
    )


def main() -> None:
    parser = crowd_parser(__doc__, CONTESTANTS)
    parser.add_argument(
        "--noise", type=float, default=1.6, help="a larger value simulates a worse encoder"
    )
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    sizes = {
        "num_queries": args.queries,
        "num_gallery": args.gallery,
        "dim": args.dim,
        "noise": args.noise,
    }
    contestants = [args.only] if args.only else CONTESTANTS
    rows = [in_fresh_process(measure, name, sizes, args.repeats) for name in contestants]
    rates = measure_rates()
    gflop = 2 * args.queries * args.gallery * args.dim / 1e9
    for row in rows:
        row.update(above_floor(row["median_s"], rates, gflop=gflop))
    print(f"{args.queries:,} queries x {args.gallery:,} x {args.dim}")
    for row in rows:
        print(
            f"  {row['contestant']:<21} {row['median_s']:8.3f} s (IQR {row['iqr_s']:.3f})  "
            f"peak {row['peak_mib']:8.1f} MiB, of which inputs {row['inputs_mib']:.1f}  "
            f"{row['times_floor']} x the floor"
            + (f"  mAP {row['mAP']:.6f}" if "mAP" in row else "")
        )
    facts = {"sizes": sizes, "rates": rates}
    if not args.only:
        ours, peer = rows[0], rows[1]
        facts["times_faster"] = round(peer["median_s"] / ours["median_s"], 2)
        facts["memory_share"] = round(ours["peak_mib"] / peer["peak_mib"], 3)
        facts["difference_of_mAP"] = abs(ours["mAP"] - peer["mAP"])
        print(
            f"  {facts['times_faster']} x faster, {facts['memory_share']:.0%} of the memory, "
            f"mAP differs by {facts['difference_of_mAP']:.1e}"
        )
    write_report(args.json, "evaluate", rows, **facts)


if __name__ == "__main__":
    main()
