"""Camera normalisation on real crops: what it gives, and what it costs where crops are few.

    SANREID_DATA=/data python -m tests.benchmarks.camera_normalization --json cameras.json

First mAP and rank-1 with and without, by both splits of ``sanreid evaluate``. Then cameras of few
crops: 5 to 50 drawn per camera. The normaliser is fitted on them, and is measured on the whole
set, and on the drawn crops alone. Last cameras that have seen few people, but all their crops.
"""

from __future__ import annotations

import numpy as np

import sanreid
from sanreid.metrics.splits import SPLITS
from tests.benchmarks.embedded_sets import load_sets, sets_parser
from tests.benchmarks.report import write_report

CROPS = (5, 10, 20, 50)
PEOPLE = (1, 2, 4, 10)


def accuracy(embeddings, pids, camids, split="market1501"):
    """(mAP, rank-1) by one split; None where no query has a match."""
    reports = [
        sanreid.evaluate(
            embeddings[query], pids[query], camids[query],
            embeddings[gallery], pids[gallery], camids[gallery],
        )
        for query, gallery in SPLITS[split](pids, camids)
    ]  # fmt: skip
    if not reports:
        return None
    weights = [report.num_valid_queries for report in reports]
    return tuple(
        float(np.average([getattr(report, name) for report in reports], weights=weights))
        for name in ("mAP", "rank1")
    )


def whole(name, embeddings, pids, camids):
    """A row per split: raw, each camera's own mean, and shrunk."""
    for split in ("market1501", "cross-camera"):
        row = {"set": name, "split": split, "raw": accuracy(embeddings, pids, camids, split)}
        for title, shrinkage in (("own_mean", 0.0), ("auto", "auto")):
            normalizer = sanreid.CameraNormalizer.fit(embeddings, camids, shrinkage=shrinkage)
            row[title] = accuracy(normalizer(embeddings, camids), pids, camids, split)
        yield row


def few(name, embeddings, pids, camids, kind, number, repeats):
    """The mean change of mAP over draws, on the whole set, Market rule: own mean and shrunk."""
    rng = np.random.default_rng(number)
    before = accuracy(embeddings, pids, camids)[0]
    changes = {0.0: [], "auto": []}
    for _ in range(repeats):
        drawn = _draw(rng, pids, camids, kind, number)
        for shrinkage, change in changes.items():
            normalizer = sanreid.CameraNormalizer.fit(
                embeddings[drawn], camids[drawn], shrinkage=shrinkage
            )
            after = accuracy(normalizer(embeddings, camids), pids, camids)[0]
            change.append(after - before)
    return {
        "set": name,
        kind: number,
        "own_mean": float(np.mean(changes[0.0])),
        "auto": float(np.mean(changes["auto"])),
        "worst_auto": float(np.min(changes["auto"])),
    }


def alone(name, embeddings, pids, camids, number, repeats):
    """The mean change of mAP on the drawn crops alone, over draws that have a match."""
    rng = np.random.default_rng(number)
    changes = []
    for _ in range(repeats):
        drawn = _draw(rng, pids, camids, "crops", number)
        part = embeddings[drawn], pids[drawn], camids[drawn]
        if before := accuracy(*part):
            rows = sanreid.CameraNormalizer.fit(part[0], part[2])(part[0], part[2])
            changes.append(accuracy(rows, *part[1:])[0] - before[0])
    return {
        "set": name,
        "crops_alone": number,
        "auto": float(np.mean(changes)),
        "standard_error": float(np.std(changes) / len(changes) ** 0.5),
        "draws": len(changes),
    }


def _draw(rng, pids, camids, kind, number):
    """Places of crops, or of all crops of people, drawn camera by camera."""
    drawn = []
    for camid in np.unique(camids):
        here = np.flatnonzero(camids == camid)
        if kind == "crops":
            drawn.append(rng.choice(here, min(number, len(here)), replace=False))
        else:
            people = np.unique(pids[here])
            chosen = rng.choice(people, min(number, len(people)), replace=False)
            drawn.append(here[np.isin(pids[here], chosen)])
    return np.concatenate(drawn)


def main() -> None:
    parser = sets_parser(__doc__)
    parser.add_argument(
        "--repeats", type=int, default=10, help="draws; 25 times as many of drawn crops alone"
    )
    args = parser.parse_args()
    fingerprint, sets = load_sets(args)
    rows = [row for name, crops in sets.items() for row in whole(name, *crops)]
    print("mAP / rank-1        raw            own mean       shrunk")
    for row in rows:
        figures = ["{:.3f} / {:.3f}".format(*row[key]) for key in ("raw", "own_mean", "auto")]
        print(f"{row['set']:<10} {row['split']:<13}", *figures, sep="  ")
    print("change of mAP, fitted on few: own mean, shrunk (worst draw)")
    for kind, numbers in (("crops", CROPS), ("people", PEOPLE)):
        for name, crops in sets.items():
            for number in numbers:
                row = few(name, *crops, kind, number, args.repeats)
                rows.append(row)
                print(
                    f"{name:<10} {number:>3} {kind:<7} {row['own_mean']:+.3f}  {row['auto']:+.4f} "
                    f"({row['worst_auto']:+.4f})",
                    flush=True,
                )
    print("change of mAP on the drawn crops alone")
    for name, crops in sets.items():
        for number in CROPS:
            row = alone(name, *crops, number, 25 * args.repeats)
            rows.append(row)
            print(
                f"{name:<10} {number:>3} crops {row['auto']:+.4f} "
                f"(standard error {row['standard_error']:.4f}, {row['draws']} draws)",
                flush=True,
            )
    write_report(args.json, "camera_normalization", rows, encoder=fingerprint)


if __name__ == "__main__":
    main()
