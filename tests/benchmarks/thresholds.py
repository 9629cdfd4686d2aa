"""Thresholds on real crops: from labels, from tracklets alone, and the one kept with the weights.

    SANREID_DATA=/data python -m tests.benchmarks.thresholds --folder kept

Each line: where a threshold was measured and how, then the rates that it has across cameras on
each set, false matches and missed genuine pairs. With labels, pairs across cameras are used.
Tracklets are the crops of one person under one camera, each with all others of that camera in
one frame or another, as in a crowd: pairs are of one camera.
"""

from __future__ import annotations

import itertools

import numpy as np

import sanreid
from tests.benchmarks.embedded_sets import load_sets, sets_parser
from tests.benchmarks.report import write_report

RATES = (0.01, 0.001)


def from_labels(embeddings, pids, camids, rate, *, normalize):
    """The calibration by pairs across cameras."""
    gallery = sanreid.Gallery(embeddings.shape[1])
    if normalize:
        gallery.add(embeddings, camids=camids)
        gallery.normalize_cameras()
    return gallery.calibrate(embeddings, pids, camids, false_match_rate=rate)


def from_tracklets(embeddings, pids, camids, rate, *, normalize):
    """The calibration by tracklets that all meet once; nobody is told who is who."""
    gallery = sanreid.Gallery(embeddings.shape[1])
    if normalize:
        gallery.add(embeddings, camids=camids)
        gallery.normalize_cameras()
    names = [f"{camid}/{pid}" for pid, camid in zip(pids, camids, strict=True)]
    seen = {}
    for row, name in enumerate(names):
        seen.setdefault(name, []).append(row)
    # Each meeting of two tracklets has a frame of its own, to which both give a crop.
    rows, given, cameras, times = [], [], [], []
    for camid in np.unique(camids):
        here = sorted({names[row] for row in np.flatnonzero(camids == camid)})
        turn = dict.fromkeys(here, 0)
        for frame, pair in enumerate(itertools.combinations(here, 2)):
            for name in pair:
                row = seen[name][turn[name] % len(seen[name])]
                turn[name] += 1
                rows.append(row)
                given.append(name)
                cameras.append(int(camid))
                times.append(float(frame))
    return gallery.calibrate_tracklets(
        embeddings[rows], given, camids=cameras, timestamps=times, false_match_rate=rate
    )


def rates_at(threshold, embeddings, pids, camids, *, normalize):
    """(false-match rate, false-non-match rate) of pairs across cameras."""
    if normalize:
        embeddings = sanreid.CameraNormalizer.fit(embeddings, camids)(embeddings, camids)
    above = np.triu(embeddings @ embeddings.T >= threshold, 1)
    apart = np.triu(camids[:, None] != camids, 1)
    same = pids[:, None] == pids
    return (
        float(above[apart & ~same].mean()),
        float(1 - above[apart & same].mean()),
    )


def main() -> None:
    args = sets_parser(__doc__).parse_args()
    fingerprint, sets = load_sets(args)
    default = sanreid.SANEncoder.from_pretrained(args.weights).default_threshold
    rows = []

    def report(kind, name, rate, threshold, *, normalize):
        row = {"kind": kind, "measured_on": name, "rate": rate, "normalized": normalize,
               "threshold": threshold}  # fmt: skip
        for other, crops in sets.items():
            row[other] = rates_at(threshold, *crops, normalize=normalize)
        rows.append(row)
        words = "  ".join(f"{other} {row[other][0]:.5f} {row[other][1]:.3f}" for other in sets)
        print(f"{kind:<9} {name:<9} {rate:<5} {'means' if normalize else 'plain'} "
              f"{threshold:.4f}  {words}", flush=True)  # fmt: skip

    if default is not None:
        report("default", "-", default.false_match_rate, default.similarity, normalize=False)
    for normalize in (False, True):
        for kind, measure in (("labels", from_labels), ("tracklets", from_tracklets)):
            for name, crops in sets.items():
                for rate in RATES:
                    found = measure(*crops, rate, normalize=normalize)
                    report(kind, name, rate, found.threshold, normalize=normalize)
    write_report(args.json, "thresholds", rows, encoder=fingerprint)


if __name__ == "__main__":
    main()
