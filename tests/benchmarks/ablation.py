"""Measure finished runs of the ablation, and update the tables of its page.

    SANREID_DATA=/data SANREID_MADE=/made \\
        python -m tests.benchmarks.ablation measure rows baseline=RUN +rec=RUN ...
    python -m tests.benchmarks.ablation page        # docs/ablation/*.json -> docs/ablation.md

``measure NAME LABEL=RUN...`` writes ``docs/ablation/NAME.json``: each run's settings where they
differ from its packaged configuration, its losses and its mAP by epoch, and, on all sets of
``evaluation-all``, its metrics, its gain over the first label and, if its label starts with ``+``,
over the previous row, compared with the same seed if there is one, with 95 % bootstrap intervals
over identities. A label may be repeated for runs with several seeds.

``page`` puts the tables of each file between the page's markers ``<!-- NAME -->`` and
``<!-- end -->``, and draws the curves; the text around them is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sanreid.metrics import EvaluationReport
from sanreid.train.config import TrainConfig
from sanreid.train.config.loader import (
    config_from_dict,
    config_to_dict,
    load_config,
    packaged_configs,
)
from sanreid.train.evaluation.measuring import Measurement
from sanreid.train.tools.evaluate import evaluate_run
from tests.benchmarks.report import machine
from tests.benchmarks.tables import table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "ablation.md"
RESULTS = ROOT / "docs" / "ablation"
IMAGE = ROOT / "docs" / "images" / "ablation-curves.png"
SETS = {
    "cuhk03-val, other camera": "CUHK03 val, other camera",
    "cuhk03-val, all cameras": "CUHK03 val, Market rule",
    "market1501-dev": "Market dev",
    "pku, other camera": "PKU, other camera",
    "pku, all cameras": "PKU, Market rule",
}
SINGLE_SHOT = "cuhk03-val, single shot"
_MARKED = re.compile(r"(<!-- (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
# How a run is reported, or where its data is stored: does not affect what was trained.
_IRRELEVANT = re.compile(
    r"^run\.(output|name|threads|log_every|checkpoint_every_s|pictures_every)$"
    r"|^data\.(cache_dir|sources)|^evaluation\."
)
# Paths: only whether they are set matters; printed as placeholders.
_PATHS = {
    "init.weights": "WEIGHTS",
    "init.decoder": "DECODER",
    "loss.teacher.weights": "TEACHER",
    "pit.folder": "PAIRS",
}


def measure(name: str, runs: Sequence[tuple[str, Path]]) -> Path:
    """Measure runs, write their file and return its path."""
    measured: list[tuple[str, int, dict[str, EvaluationReport]]] = []
    rows = []
    for label, folder in runs:
        run = _run(folder)
        reports = evaluate_run(folder, which="last", sets="evaluation-all")
        others = _compared(label, run["seed"], measured)
        figures = {}
        for key, report in reports.items():
            one = Measurement.of(report).to_dict()
            for prefix, other in others.items():
                gain, low, high = report.mAP_gain(other[key])
                one |= {prefix: gain, f"{prefix}_low": low, f"{prefix}_high": high}
            figures[key] = {k: round(v, 4) for k, v in one.items()}
        measured.append((label, run["seed"], reports))
        rows.append({"label": label, **run, "figures": figures})
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    content = {"ablation": name, "machine": machine(), "rows": rows}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _compared(
    label: str, seed: int, measured: list[tuple[str, int, dict[str, EvaluationReport]]]
) -> dict[str, dict[str, EvaluationReport]]:
    """Return the reports a run is compared with: the first label's, and the one it adds to."""
    order = list(dict.fromkeys(one for one, _, _ in measured))
    before = order[: order.index(label)] if label in order else order
    added_to = before[1:][-1:] if label.startswith("+") else []
    found = {}
    for prefix, which in (("gain", before[:1]), ("step", added_to)):
        runs = [(s, reports) for one, s, reports in measured if one in which]
        if runs:
            found[prefix] = next((reports for s, reports in runs if s == seed), runs[0][1])
    return found


def _run(folder: Path) -> dict[str, Any]:
    """Return the settings of a run, and its losses and mAP by epoch."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "train"]
    losses: dict[int, dict[str, list[float]]] = {}
    for line in steps:
        epoch = losses.setdefault(int(line["epoch"] - 1e-9) + 1, {})
        for term in ("identity", "triplet", "cross_camera", "reconstruction", "tr", "pit"):
            if term in line:
                epoch.setdefault(term, []).append(line[term])
    return {
        "command": _command(config),
        "seed": config["run"]["seed"],
        "epochs": config["run"]["epochs"],
        "commit": facts["commit"],
        "crops_per_s": round(statistics.median(line["images_per_s"] for line in steps), 1),
        "losses": [
            {"epoch": epoch, **{term: round(statistics.fmean(v), 4) for term, v in terms.items()}}
            for epoch, terms in losses.items()
        ],
        "curve": [
            {"epoch": line["epoch"], "set": line["set"], "mAP": line["mAP"]}
            for line in lines
            if line["kind"] == "evaluation"
        ],
    }


def _command(config: dict[str, Any]) -> str:
    """Return the command with these settings: the nearest packaged configuration and --set."""
    mine = _settings(config_from_dict(config))
    best: list[str] | None = None
    for name in packaged_configs():
        if not name.startswith(("ablation-", "cpu-")):
            continue
        theirs = _settings(load_config(name, ["init.weights=WEIGHTS"]))
        if mine["data.sources"] != theirs["data.sources"]:
            continue
        words = [
            shlex.join(["--set", f"{key}={_toml(key, value)}"])
            for key, value in sorted(mine.items())
            if value != theirs[key]
        ]
        if best is None or len(words) < len(best) - 1:
            best = [f"python -m sanreid.train {name}", *words]
    if best is None:
        raise LookupError("No packaged configuration has the data sources of this run.")
    return " ".join(best)


def _toml(key: str, value: Any) -> str:
    if key in _PATHS:
        return _PATHS[key] if value else ""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml('', v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml('', one) for one in value)}]"
    return json.dumps(value)


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that affect what a run learns, by dotted key."""
    flat = {
        key: v for key, v in _flat(config_to_dict(config)).items() if not _IRRELEVANT.search(key)
    }
    sources = [
        (
            one.names,
            one.dataset,
            one.split,
            one.options,
            one.max_identities,
            one.one_camera,
            one.people,
            bool(one.exclude_pids),
            bool(one.only_pids),
        )
        for one in config.data.sources
    ]
    return flat | {key: bool(flat[key]) for key in _PATHS} | {"data.sources": sources}


def _flat(values: Any, key: str = "") -> dict[str, Any]:
    if isinstance(values, dict):
        flat: dict[str, Any] = {}
        for name, value in values.items():
            flat |= _flat(value, f"{key}.{name}" if key else name)
        return flat
    return {key: values}


def load() -> dict[str, dict[str, Any]]:
    """Return the contents of the files by name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
    }


def page(text: str) -> str:
    """Return the page with its tables regenerated from the files."""
    found = load()
    return _MARKED.sub(
        lambda mark: f"{mark[1]}\n{_tables(found[mark['name']])}\n\n{mark[3]}", text
    )


def _tables(report: dict[str, Any]) -> str:
    rows = report["rows"]
    body = []
    for row in rows:
        figures = row["figures"]
        body.append(
            [row["label"], str(row["seed"])]
            + [
                f"{100 * one['rank1']:.1f} / **{100 * one['mAP']:.1f}** ± {_half(one)} / "
                f"{100 * one['mINP']:.1f}"
                for one in (figures[key] for key in SETS)
            ]
            + [f"{100 * figures[SINGLE_SHOT]['rank1']:.1f}"]
        )
    headings = ["run", "seed", *SETS.values()]
    shown = (
        "rank-1 / **mAP** ± half of its 95 % interval / mINP, in percent; the last column is "
        "rank-1 on CUHK03 val with one crop per person in the gallery, mean of ten draws:"
    )
    parts = [shown, table([*headings, "single-shot"], body)]
    for prefix, over in (
        ("gain", rows[0]["label"]),
        ("step", "the previous row, same seed"),
    ):
        if gains := [_gains(row, prefix) for row in rows if prefix in row["figures"][SINGLE_SHOT]]:
            parts += [
                f"Gain in mAP over {over}, in points, with the 95 % interval of the difference:",
                table(headings, gains),
            ]
    if several := _over_seeds(rows):
        parts += [
            "mAP across seeds, in percent: mean (lowest to highest):",
            table(["run", "seeds", *SETS.values()], several),
        ]
    commands = "\n".join(f"{row['command']}  # {row['label']}" for row in rows)
    return "\n\n".join([*parts, f"```bash\n{commands}\n```"])


def _gains(row: dict[str, Any], prefix: str) -> list[str]:
    return [row["label"], str(row["seed"])] + [
        f"{100 * one[prefix]:+.1f} ({100 * one[f'{prefix}_low']:+.1f} to "
        f"{100 * one[f'{prefix}_high']:+.1f})"
        for one in (row["figures"][key] for key in SETS)
    ]


def _over_seeds(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return the mean and range of the mAP of each label that has runs with several seeds."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        runs.setdefault(row["label"], []).append(row)
    cells = []
    for label, same in runs.items():
        if len(same) > 1:
            found = ([100 * row["figures"][key]["mAP"] for row in same] for key in SETS)
            cells.append(
                [label, ", ".join(str(row["seed"]) for row in same)]
                + [f"{statistics.fmean(v):.1f} ({min(v):.1f} to {max(v):.1f})" for v in found]
            )
    return cells


def _half(one: dict[str, float]) -> str:
    return f"{50 * (one['mAP_high'] - one['mAP_low']):.1f}"


def draw(path: Path = IMAGE) -> None:
    """Draw the rows' mAP and losses over the epochs."""
    from matplotlib.figure import Figure

    rows = load()["rows"]["rows"]
    shown = ("cuhk03-val, other camera", "cuhk03-val, all cameras", "market1501-dev")
    colors = {label: f"C{n}" for n, label in enumerate(dict.fromkeys(r["label"] for r in rows))}
    seeds = sorted({row["seed"] for row in rows})

    def style(row: dict[str, Any]) -> dict[str, Any]:
        first = row["seed"] == seeds[0]
        return {"color": colors[row["label"]], "linestyle": "-" if first else ":",
                "label": row["label"] if first else None}  # fmt: skip

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(2, 3)
    for axis, key in zip(axes[0], shown, strict=True):
        for row in rows:
            points = [one for one in row["curve"] if one["set"] == key]
            axis.plot([p["epoch"] for p in points], [100 * p["mAP"] for p in points], marker="o",
                      markersize=3, **style(row))  # fmt: skip
        axis.set(title=SETS[key], xlabel="epoch", ylabel="mAP, %")
    for axis, term in zip(axes[1], ("identity", "reconstruction", "tr"), strict=True):
        for row in rows:
            points = [one for one in row["losses"] if term in one]
            axis.plot([p["epoch"] for p in points], [p[term] for p in points], **style(row))
        axis.set(title=f"loss: {term}", xlabel="epoch", ylim=(0, None))
    axes[0][0].legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("measure")
    one.add_argument("name")
    one.add_argument("runs", nargs="+", metavar="LABEL=RUN")
    commands.add_parser("page")
    args = parser.parse_args()
    if args.what == "measure":
        runs = [word.split("=", 1) for word in args.runs]
        print(measure(args.name, [(label, Path(folder)) for label, folder in runs]))
        return
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
