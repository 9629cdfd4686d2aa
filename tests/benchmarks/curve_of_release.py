"""The curve of the released weights' training, from the logs of its stages.

    python -m tests.benchmarks.curve_of_release runs/san-r50-small runs/san-r50

Prints a table of mAP at each evaluation, for docs/making.md, and draws
docs/images/san-r50-curve.png. Each stage is evaluated at its own input size. A set that an
evaluation lacks is "-" in the table and has no point in the picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sanreid.train.loop.journal import read_journal
from tests.benchmarks.ablation import ROOT, SETS
from tests.benchmarks.tables import table

IMAGE = ROOT / "docs" / "images" / "san-r50-curve.png"
# Market dev's people are trained on.
SHOWN = {key: label for key, label in SETS.items() if key != "market1501-dev"}


def points(logs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the evaluations of consecutive stages: stage, step counted over all, mAP by set."""
    found: list[dict[str, Any]] = []
    before = 0
    for stage, rows in enumerate(logs):
        last = 0
        for row in rows:
            last = max(last, int(row.get("step", 0)))
            if row["kind"] != "evaluation" or row["set"] not in SHOWN:
                continue
            step = before + int(row["step"])
            if not found or (found[-1]["stage"], found[-1]["step"]) != (stage, step):
                found.append({"stage": stage, "step": step, "mAP": {}})
            found[-1]["mAP"][row["set"]] = row["mAP"]
        before += last
    return found


def curve_table(found: list[dict[str, Any]], names: list[str]) -> str:
    """Return the table of mAP in percent, one row per evaluation; ``names`` are the stages'."""
    rows = [
        [f"`{names[one['stage']]}`", str(one["step"]),
         *(f"{100 * one['mAP'][key]:.1f}" if key in one["mAP"] else "-" for key in SHOWN)]
        for one in found
    ]  # fmt: skip
    return table(["stage", "step", *SHOWN.values()], rows)


def draw(found: list[dict[str, Any]], path: Path = IMAGE) -> None:
    """Draw mAP over the steps, a line for each set, interrupted between the stages."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axis = figure.subplots()
    for color, (key, label) in enumerate(SHOWN.items()):
        for stage in sorted({one["stage"] for one in found}):
            those = [one for one in found if one["stage"] == stage and key in one["mAP"]]
            axis.plot([one["step"] for one in those], [100 * one["mAP"][key] for one in those],
                      color=f"C{color}", marker="o", markersize=4,
                      label=None if stage else label)  # fmt: skip
    axis.set(xlabel="step", ylabel="mAP, %")
    axis.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the stages, in order")
    args = parser.parse_args()
    found = points([read_journal(run / "log.jsonl") for run in args.runs])
    names = [json.loads((run / "config.json").read_text())["run"]["name"] for run in args.runs]
    print(curve_table(found, names))
    draw(found)


if __name__ == "__main__":
    main()
