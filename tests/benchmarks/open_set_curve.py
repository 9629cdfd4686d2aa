"""Calibration and open-set identification on real crops: metrics and their plot.

    SANREID_DATA=/data python -m tests.benchmarks.open_set_curve --json open.json --plot open.png

For each data set, one half of the people calibrates the threshold at a false-match rate of 1 %;
the rate of the other half should lie within the reported interval. Then the first half is enrolled
from one camera and all people are queried from the other: half of them are not enrolled.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

import sanreid
from sanreid.datasets import read_crops
from sanreid.gallery import Gallery
from tests.benchmarks.report import write_report

SETS = {"cuhk03": ["cuhk03_pair1_labeled/val"], "pku": ["pku_reid/train", "pku_reid/val"]}
TITLES = {"cuhk03": "CUHK03 val", "pku": "PKU-Reid, a part"}
RATES = np.geomspace(0.004, 1, 25)


def embed(encoder, root, name):
    """Return (embeddings, pids, camids) of one data set, over all its folders."""
    crops = [read_crops(root / folder, names=name) for folder in SETS[name]]
    embeddings = np.concatenate([encoder.encode_files(part.paths).embeddings for part in crops])
    pids = np.array([f"{part.name}/{pid}" for part in crops for pid in part.pids])
    return embeddings, pids, np.concatenate([part.camids for part in crops])


def measure(embeddings, pids, camids):
    """Return the calibration, and a row with its expected and measured rates."""
    half = np.isin(pids, np.random.default_rng(0).permutation(np.unique(pids))[::2])
    gallery = Gallery(embeddings.shape[1])
    found = gallery.calibrate(
        embeddings[half], pids[half].tolist(), camids[half], false_match_rate=0.01
    )
    other = embeddings[~half]
    counted = pids[~half][:, None] != pids[~half]
    counted &= camids[~half][:, None] != camids[~half]
    first = camids == camids.min()
    gallery.add(embeddings[half & first], pids=pids[half & first].tolist())
    report = gallery.evaluate_open_set(
        embeddings[~first], pids[~first].tolist(), false_alarm_rates=RATES.tolist()
    )
    row = {
        "threshold": found.threshold,
        "false_match_rate": found.false_match_rate,
        "interval": list(found.interval),
        "other_half_rate": float((other @ other.T >= found.threshold)[counted].mean()),
        "false_non_match_rate": found.false_non_match_rate,
        "non_enrolled_queries": report.num_non_enrolled,
        "enrolled_queries": report.num_enrolled,
        "false_alarm_rates": list(report.measured_false_alarm_rates),
        "identification_rates": list(report.identification_rates),
    }
    return found, row


def plot(results, path):
    """Draw histograms of similarities, and identification rate against false-alarm rate."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    from sanreid.viz import similarity_histogram
    from sanreid.viz.palette import SERIES

    figure = Figure(figsize=(5 * len(results) + 5, 4), layout="constrained")
    *histograms, curve = figure.subplots(1, len(results) + 1)
    styles = zip(SERIES, ("-", "--", ":"), strict=False)
    for axes, (name, (found, row)), (color, dashes) in zip(
        histograms, results.items(), styles, strict=False
    ):
        similarity_histogram(found, ax=axes, title=f"{TITLES[name]}, pairs across cameras")
        curve.plot(
            row["false_alarm_rates"],
            row["identification_rates"],
            color=color,
            linestyle=dashes,
            linewidth=2,
            label=TITLES[name],
        )
    curve.set_title("Open-set identification", loc="left")
    curve.set(
        xscale="log",
        xlabel="non-enrolled people identified (false alarms)",
        ylabel="enrolled people identified",
    )
    for axis in (curve.xaxis, curve.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    curve.spines[["top", "right"]].set_visible(False)
    curve.grid(visible=True, alpha=0.25)
    curve.legend(frameon=False)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SANREID_DATA"))
    parser.add_argument("--weights", help="a name or a directory; default: the bundled weights")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--plot", type=Path, help="draw here (needs matplotlib)")
    args = parser.parse_args()
    if args.data is None:
        parser.error("pass --data or set SANREID_DATA")
    encoder = sanreid.SANEncoder.from_pretrained(args.weights)
    results = {name: measure(*embed(encoder, Path(args.data), name)) for name in SETS}
    rows = [{"set": name, **row} for name, (_, row) in results.items()]
    for row in rows:
        low, high = row["interval"]
        print(
            f"{row['set']:<8} threshold {row['threshold']:.3f}, false matches "
            f"{row['false_match_rate']:.2%} expected in {low:.2%} to {high:.2%}, other half "
            f"{row['other_half_rate']:.2%}, missed {row['false_non_match_rate']:.1%}"
        )
    write_report(args.json, "open_set", rows, encoder=encoder.fingerprint)
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    main()
