"""k-reciprocal re-ranking: ``sanreid.k_reciprocal_rerank`` against the published dense algorithm.

    python -m tests.benchmarks.bench_rerank --json rerank.json
    python -m tests.benchmarks.bench_rerank --queries 11659 --gallery 82161 --only sanreid

The peer reproduces the authors' NumPy code, with the same dense N x N matrices, where N counts
queries and gallery together (about 10 GB at the default size). Each contestant runs in its own
process; the two results are compared element by element. The floor is the matrix product of all
pairs, queries and gallery together.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from sanreid import evaluate_distances, k_reciprocal_rerank
from tests.benchmarks.crowd import crowd_parser, draw_crowd
from tests.benchmarks.floors import above_floor, measure_rates
from tests.benchmarks.report import in_fresh_process, peak_memory_mib, repeat, write_report
from tests.benchmarks.tables import floor_text, table, time_text

CONTESTANTS = ("sanreid", "dense NumPy", "all pairs, product only")


def dense_rerank(queries, gallery, k1=20, k2=6, lambda_value=0.3):
    """Re-rank by the algorithm of Zhong et al. (CVPR 2017) on dense matrices."""
    rows = np.concatenate([queries, gallery])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    count, num_queries = len(rows), len(queries)
    original = (2 - 2 * (rows @ rows.T)).astype(np.float32)
    original = np.transpose(original / original.max(axis=0))
    order = np.argsort(original).astype(np.int32)

    def mutual(order, i, k):
        forward = order[i, : k + 1]
        return forward[(order[forward, : k + 1] == i).any(axis=1)]

    vectors = np.zeros_like(original)
    half = int(np.around(k1 / 2))
    for i in range(count):
        core = mutual(order, i, k1)
        members = core
        for candidate in core:
            theirs = mutual(order, candidate, half)
            if len(np.intersect1d(theirs, core)) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        weights = np.exp(-original[i, members])
        vectors[i, members] = weights / weights.sum()
    original = original[:num_queries]
    if k2 != 1:
        expanded = np.zeros_like(vectors)
        for i in range(count):
            expanded[i] = vectors[order[i, :k2]].mean(axis=0)
        vectors = expanded
        del expanded
    del order

    holders = [np.flatnonzero(vectors[:, j]) for j in range(count)]
    jaccard = np.zeros_like(original)
    for i in range(num_queries):
        shared = np.zeros(count, dtype=np.float32)
        for j in np.flatnonzero(vectors[i]):
            shared[holders[j]] += np.minimum(vectors[i, j], vectors[holders[j], j])
        jaccard[i] = 1 - shared / (2 - shared)
    return (jaccard * (1 - lambda_value) + original * lambda_value)[:, num_queries:]


def measure(contestant, sizes, repeats, folder):
    """Measure one contestant, in its own process; leave its distances in ``folder``."""
    queries, query_pids, query_camids, gallery, pids, camids = draw_crowd(**sizes)
    before = peak_memory_mib()
    results = []

    def work():
        results.clear()  # one result at a time
        if contestant == "sanreid":
            results.append(k_reciprocal_rerank(queries, gallery))
        elif contestant == "dense NumPy":
            results.append(dense_rerank(queries, gallery))
        else:
            rows = np.concatenate([queries, gallery])
            for start in range(0, len(rows), 512):
                rows[start : start + 512] @ rows.T

    row = {"contestant": contestant, **repeat(work, repeats=repeats, warmup=0)}
    row["inputs_mib"] = round(before, 1)
    row["work_peak_mib"] = round(peak_memory_mib(), 1)
    if results:
        report = evaluate_distances(results[0], query_pids, query_camids, pids, camids)
        row["mAP"] = report.mAP
        if folder:
            np.save(Path(folder) / f"{contestant}.npy", results[0])
    return row


def compare(folder):
    """Return the largest difference of the two results, and the share above 1e-4."""
    ours, peer = (
        np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in ("sanreid", "dense NumPy")
    )
    largest, off = 0.0, 0
    for a, b in zip(ours, peer, strict=True):
        difference = np.abs(a - b)
        largest = max(largest, float(difference.max()))
        off += int(np.count_nonzero(difference > 1e-4))
    return {"largest_difference": largest, "share_above_1e-4": off / ours.size}


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
            shown = "`k_reciprocal_rerank`" if name == "sanreid" else name
            memory = f"{row['work_peak_mib']:,.0f} MiB"
            lines.append(
                [shape, shown, time_text(row["median_s"]), ratio, memory, floor_text(row)]
            )
        if peer:
            agreements.append(
                f"At {shape} it uses {report['memory_share']:.0%} of the peer's memory; no pair "
                f"of elements differs by more than {report['largest_difference']:.1e}."
            )
    return "\n\n".join(
        [
            "## k-reciprocal re-ranking",
            (
                "Queries x gallery x dimensions. The peer reproduces the authors' NumPy code, "
                "with dense matrices over queries and gallery together; it runs once. Peak memory "
                "includes the inputs and the result (four bytes per pair)."
            ),
            table(["size", "contestant", "time", "times faster", "peak memory", "floor"], lines),
            *agreements,
        ]
    )


def main() -> None:
    parser = crowd_parser(__doc__, CONTESTANTS)
    parser.add_argument("--repeats", type=int, default=3, help="the peer runs once")
    args = parser.parse_args()

    sizes = {"num_queries": args.queries, "num_gallery": args.gallery, "dim": args.dim}
    contestants = [args.only] if args.only else CONTESTANTS
    rates = measure_rates()
    facts = {"sizes": sizes, "rates": rates}
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            in_fresh_process(
                measure,
                name,
                sizes,
                1 if name == "dense NumPy" else args.repeats,
                None if args.only else folder,
            )
            for name in contestants
        ]
        if not args.only:
            facts |= compare(folder)
    gflop = 2 * (args.queries + args.gallery) ** 2 * args.dim / 1e9
    for row in rows:
        row.update(above_floor(row["median_s"], rates, gflop=gflop))
    print(f"{args.queries:,} queries x {args.gallery:,} x {args.dim}")
    for row in rows:
        print(
            f"  {row['contestant']:<16} {row['median_s']:8.3f} s (IQR {row['iqr_s']:.3f})  "
            f"peak {row['work_peak_mib']:8.1f} MiB, of which inputs {row['inputs_mib']:.1f}  "
            f"{row['times_floor']} x the floor"
            + (f"  mAP {row['mAP']:.6f}" if "mAP" in row else "")
        )
    if not args.only:
        ours, peer = rows[0], rows[1]
        facts["times_faster"] = round(peer["median_s"] / ours["median_s"], 2)
        facts["memory_share"] = round(ours["work_peak_mib"] / peer["work_peak_mib"], 3)
        print(
            f"  {facts['times_faster']} x faster, {facts['memory_share']:.0%} of the memory; "
            f"largest difference {facts['largest_difference']:.1e}, "
            f"{facts['share_above_1e-4']:.1e} of the pairs above 1e-4"
        )
    write_report(args.json, "rerank", rows, **facts)


if __name__ == "__main__":
    main()
