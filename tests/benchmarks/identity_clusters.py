"""Crops grouped into people without labels: how right, beside DBSCAN's best; how fast.

    SANREID_DATA=/data python -m tests.benchmarks.identity_clusters --json clusters.json
    python -m tests.benchmarks.identity_clusters --scale 100000

The peer is scikit-learn's DBSCAN on plain cosine distances with the ``eps`` that is best for each
figure, found with the labels: nobody could choose it so. ``--scale`` draws a crowd instead and
measures time and peak memory in a process of its own.
"""

from __future__ import annotations

import time

import numpy as np

import sanreid
from tests.benchmarks.crowd import draw_crowd
from tests.benchmarks.embedded_sets import load_sets, sets_parser
from tests.benchmarks.report import in_fresh_process, peak_memory_mib, repeat, write_report

FIGURES = ("pairwise_f1", "bcubed_f1", "adjusted_mutual_information")
DOUBTFUL = 0.5  # the confidence below which a sheet of clusters marks a crop
EPS = np.arange(0.05, 0.8, 0.025)
NOISE = 0.9  # of the crowd: two crops of one person have a cosine of about 0.55


def ours(embeddings, pids, camids, **options):
    """The report of ``cluster_identities`` as a dict, and how right the surest crops are."""
    found = sanreid.cluster_identities(embeddings, camids=camids, **options)
    clustered = np.flatnonzero(found.labels >= 0)
    people = np.unique(pids, return_inverse=True)[1]
    right = np.zeros(len(people), dtype=bool)
    for cluster in range(len(found)):
        members = found.members(cluster)
        right[members] = people[members] == np.bincount(people[members]).argmax()
    thirds = np.array_split(clustered[np.argsort(found.confidence[clustered])], 3)
    marked = clustered[found.confidence[clustered] < DOUBTFUL]
    report = sanreid.evaluate_clustering(found.labels, pids)
    return {
        **report.as_dict(),
        "marked": len(marked) / max(1, len(clustered)),
        "wrong_marked": float((~right[marked]).sum() / max(1, (~right[clustered]).sum())),
        "right_by_confidence": [float(right[third].mean()) for third in thirds],
    }


def dbscan(embeddings, pids):
    """DBSCAN's best figures, each at its own ``eps``."""
    from sklearn.cluster import DBSCAN

    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    distances = np.maximum(1 - rows @ rows.T, 0)
    reports = [
        sanreid.evaluate_clustering(
            DBSCAN(eps=eps, min_samples=least, metric="precomputed").fit_predict(distances), pids
        )
        for eps in EPS
        for least in (2, 4)
    ]
    return {name: max(getattr(report, name) for report in reports) for name in FIGURES}


def at_scale(count):
    """Time and peak memory for a drawn crowd; runs in its own process."""
    _, _, _, rows, pids, camids = draw_crowd(0, count, noise=NOISE)
    before = peak_memory_mib()
    labels = []
    processor = time.process_time()
    seconds = repeat(
        lambda: labels.append(sanreid.cluster_identities(rows, camids=camids).labels),
        repeats=1,
        warmup=0,
    )
    processor, peak = time.process_time() - processor, peak_memory_mib()
    return {
        "contestant": "cluster_identities",
        "crops": count,
        **seconds,
        "processor_s": round(processor, 1),
        "inputs_mib": round(before, 1),
        "work_peak_mib": round(peak, 1),
        **sanreid.evaluate_clustering(labels[0], pids).as_dict(),
    }


def main() -> None:
    parser = sets_parser(__doc__)
    parser.add_argument("--scale", type=int, help="draw so many crops, and measure time")
    args = parser.parse_args()
    if args.scale:
        row = in_fresh_process(at_scale, args.scale)
        print(
            f"{row['crops']:,} crops: {row['median_s']:.1f} s ({row['processor_s']:.0f} s of "
            f"processor time), peak {row['work_peak_mib']:,.0f} MiB, of it inputs "
            f"{row['inputs_mib']:,.0f}; pairwise F1 {row['pairwise_f1']:.3f}"
        )
        write_report(args.json, "identity_clusters", [row])
        return
    fingerprint, sets = load_sets(args)
    rows = []
    for name, (embeddings, pids, camids) in sets.items():
        contestants = {
            "cluster_identities": ours(embeddings, pids, camids),
            "without camids": ours(embeddings, pids, None),
            "DBSCAN, best eps": dbscan(embeddings, pids),
        }
        for contestant, figures in contestants.items():
            rows.append({"set": name, "contestant": contestant, **figures})
            shown = "  ".join(f"{key} {figures[key]:.3f}" for key in FIGURES)
            print(f"{name:<10} {contestant:<19} {shown}")
        for threshold in (0.4, 0.45, 0.5, 0.55):
            figures = ours(embeddings, pids, camids, threshold=threshold)
            rows.append({"set": name, "threshold": threshold, **figures})
            shown = "  ".join(f"{key} {figures[key]:.3f}" for key in FIGURES)
            print(f"{name:<10} threshold {threshold:<9} {shown}")
        own = contestants["cluster_identities"]
        print(
            f"{name:<10} {own['num_clusters']} clusters and {own['num_alone']} alone for "
            f"{own['num_people']} people; right, by thirds of confidence: "
            + ", ".join(f"{share:.1%}" for share in own["right_by_confidence"])
            + f"; {own['marked']:.1%} marked as doubtful, {own['wrong_marked']:.1%} of the wrong"
        )
    write_report(args.json, "identity_clusters", rows, encoder=fingerprint)


if __name__ == "__main__":
    main()
