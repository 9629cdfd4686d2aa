"""The ablation: measure finished runs, and write what the page of the ablation shows.

    SANREID_DATA=/data python -m tests.benchmarks.ablation measure rows baseline=RUN +rec=RUN ...
    python -m tests.benchmarks.ablation page        # docs/ablation/*.json -> docs/ablation.md

``measure NAME LABEL=RUN...`` writes ``docs/ablation/NAME.json``: each run's settings where they
differ from its packaged configuration, its losses by epoch, its mAP by epoch, and, on all sets of
``evaluation-all``, its figures and its gain over the first run named, with 95 % bootstrap
intervals over identities. ``page`` puts one table for each file between the page's marks
``<!-- NAME -->`` and ``<!-- end -->``, and draws the curves; the words around them are written by
hand.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import Any

from sanreid.train.config import TrainConfig
from sanreid.train.evaluate import Measurement, evaluate_run
from sanreid.train.settings import config_from_dict, config_to_dict, load_config, packaged_configs
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
_MARKED = re.compile(r"(<!-- (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
# How a run is told of, or where its data lies on one machine: no part of what was trained.
_ASIDE = re.compile(
    r"^run\.(output|name|threads|log_every|checkpoint_every_s|pictures_every)$"
    r"|^data\.(cache_dir|sources)|^evaluation\."
)
_PLACES = ("init.weights", "init.decoder", "pit.folder")  # whether they are given counts


def measure(name: str, runs: dict[str, Path]) -> Path:
    """Measure runs and write their file."""
    first: dict[str, Any] = {}
    rows = []
    for label, folder in runs.items():
        reports = evaluate_run(folder, which="last", sets="evaluation-all")
        first = first or reports
        figures = {}
        for key, report in reports.items():
            one = Measurement.of(report).to_dict()
            if reports is not first:
                gain, low, high = report.mAP_gain(first[key])
                one |= {"gain": gain, "gain_low": low, "gain_high": high}
            figures[key] = {k: round(v, 4) for k, v in one.items()}
        rows.append({"label": label, **_run(folder), "figures": figures})
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    report = {"ablation": name, "machine": machine(), "rows": rows}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return path


def _run(folder: Path) -> dict[str, Any]:
    """Say what a run was and how it went."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "train"]
    losses: dict[int, dict[str, list[float]]] = {}
    for line in steps:
        epoch = losses.setdefault(int(line["epoch"] - 1e-9) + 1, {})
        for term in ("identity", "triplet", "reconstruction", "tr", "pit"):
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
    """The command whose settings are these: the nearest packaged configuration, and --set."""
    mine = _settings(config_from_dict(config))
    best: list[str] | None = None
    for name in packaged_configs():
        if not name.startswith(("ablation-", "cpu-")):
            continue
        theirs = _settings(load_config(name, ["init.weights=WEIGHTS"]))
        if mine["data.sources"] != theirs["data.sources"]:
            continue
        words = [
            f"--set {key}={'PAIRS' if key == 'pit.folder' else json.dumps(value)}"
            for key, value in sorted(mine.items())
            if value != theirs[key]
        ]
        if best is None or len(words) < len(best) - 1:
            best = [f"python -m sanreid.train {name}", *words]
    return " ".join(best or [])


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Give what decides what a run learns, by dotted key."""
    flat = {key: v for key, v in _flat(config_to_dict(config)).items() if not _ASIDE.search(key)}
    names = [source.names for source in config.data.sources]
    return flat | {key: bool(flat[key]) for key in _PLACES} | {"data.sources": names}


def _flat(values: Any, key: str = "") -> dict[str, Any]:
    if isinstance(values, dict):
        flat: dict[str, Any] = {}
        for name, value in values.items():
            flat |= _flat(value, f"{key}.{name}" if key else name)
        return flat
    return {key: values}


def load() -> dict[str, dict[str, Any]]:
    """Give the files' contents by name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
    }


def page(text: str) -> str:
    """Give the page with its tables made anew from the files."""
    found = load()
    return _MARKED.sub(
        lambda mark: f"{mark[1]}\n{_tables(found[mark['name']])}\n\n{mark[3]}", text
    )


def _tables(report: dict[str, Any]) -> str:
    rows = report["rows"]
    body, gains = [], []
    for row in rows:
        figures = row["figures"]
        body.append(
            [row["label"], str(row["seed"])]
            + [
                f"{100 * one['rank1']:.1f} / **{100 * one['mAP']:.1f}** ± {_half(one)} / "
                f"{100 * one['mINP']:.1f}"
                for one in (figures[key] for key in SETS)
            ]
        )
        if "gain" in figures[next(iter(SETS))]:
            gains.append(
                [row["label"], str(row["seed"])]
                + [
                    f"{100 * one['gain']:+.1f} ({100 * one['gain_low']:+.1f} to "
                    f"{100 * one['gain_high']:+.1f})"
                    for one in (figures[key] for key in SETS)
                ]
            )
    headings = ["run", "seed", *SETS.values()]
    parts = [
        "rank-1 / **mAP** ± half of its 95 % interval / mINP, in per cent:",
        table(headings, body),
    ]
    if gains:
        first = f"{rows[0]['label']} (seed {rows[0]['seed']})"
        parts += [
            f"Gain in mAP over {first}, in points, with the 95 % interval of the difference:",
            table(headings, gains),
        ]
    commands = "\n".join(f"{row['command']}  # {row['label']}" for row in rows)
    return "\n\n".join([*parts, f"```bash\n{commands}\n```"])


def _half(one: dict[str, float]) -> str:
    return f"{50 * (one['mAP_high'] - one['mAP_low']):.1f}"


def draw(path: Path = IMAGE) -> None:
    """Draw the rows' mAP and losses over the epochs."""
    from matplotlib.figure import Figure

    rows = load()["rows"]["rows"]
    shown = ("cuhk03-val, other camera", "cuhk03-val, all cameras", "market1501-dev")
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(2, 3)
    for axis, key in zip(axes[0], shown, strict=True):
        for row in rows:
            points = [one for one in row["curve"] if one["set"] == key]
            axis.plot([p["epoch"] for p in points], [100 * p["mAP"] for p in points], marker="o",
                      markersize=3, label=row["label"])  # fmt: skip
        axis.set(title=SETS[key], xlabel="epoch", ylabel="mAP, %")
    for axis, term in zip(axes[1], ("identity", "reconstruction", "tr"), strict=True):
        for number, row in enumerate(rows):
            points = [one for one in row["losses"] if term in one]
            axis.plot([p["epoch"] for p in points], [p[term] for p in points], color=f"C{number}")
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
        runs = dict(word.split("=", 1) for word in args.runs)
        print(measure(args.name, {label: Path(folder) for label, folder in runs.items()}))
        return
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
