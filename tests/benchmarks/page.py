"""Write the benchmarks page of the documentation from the JSON files of the benchmarks.

    python -m tests.benchmarks.page            # docs/benchmarks/*.json -> docs/benchmarks.md
    python -m tests.benchmarks.page --check    # exit status 1 if the page is out of date

Each ``bench_<name>`` module writes its own section, ``section(reports) -> str``: Markdown that
starts with a heading, from all reports with that name. An optional ``draw(reports, folder)`` draws
the section's pictures. No number on the page is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "docs" / "benchmarks"
IMAGES = ROOT / "docs" / "images"
ORDER = (
    "encode",
    "backends",
    "stream",
    "scale",
    "evaluate",
    "rerank",
    "gallery",
    "cameras",
    "latency",
    "milvus",
    "serve",
)

INTRODUCTION = """\
# Benchmarks

Times are wall-clock medians over several runs, unless a section's command says `--repeats 1`.
Library and peer are measured in the same run, and unless the section says otherwise each in its
own process, so peak memory, which is that of the whole process, is also its own. The inputs are
random or named, and the same for both. Where a peer is faster, the table shows it.

**Floor** is a lower bound for the machine of that run: the number of operations over the measured
rate of a large matrix product, or the number of bytes over the measured read bandwidth, whichever
takes longer. "2.0 x" after a time means that it took twice its floor.

The line below each section reports how busy the machine was with other programs. They slow down
work that uses every core more than a peer that uses one, so speed-ups measured on a busy machine
are smaller than on an idle one.

This page is generated from the files `docs/benchmarks/*.json`, which record every number, all
versions and the machine. Close other programs, then run

```bash
python -m tests.benchmarks             # all benchmarks: files, pictures and this page
python -m tests.benchmarks rerank      # one of them
python -m tests.benchmarks.page        # only this page, from the files
```
"""


def load(folder: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """Return the reports by benchmark in the page's order; each benchmark's by file name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(report["benchmark"], []).append(report)
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*known, *sorted(set(found) - set(known))]}


def page(folder: Path = RESULTS) -> str:
    """Return the page's text."""
    parts = [INTRODUCTION]
    for name, reports in load(folder).items():
        section = import_module(f"tests.benchmarks.bench_{name}").section
        parts.append(section(reports).strip() + "\n\n" + _how(reports))
    return "\n".join(parts)


def draw(folder: Path = RESULTS, images: Path = IMAGES) -> None:
    """Draw the pictures that the sections show (needs matplotlib)."""
    for name, reports in load(folder).items():
        module = import_module(f"tests.benchmarks.bench_{name}")
        if hasattr(module, "draw"):
            module.draw(reports, images)


def _how(reports: list[dict[str, Any]]) -> str:
    """Return one line per report: the command, the date, the machine and the versions."""
    lines = []
    for report in reports:
        machine = report["machine"]
        versions = ", ".join(
            f"{name} {number}" for name, number in machine["versions"].items() if name != "sanreid"
        )
        rates = report.get("rates", {})
        measured = [
            f"{rate:,.0f} GFLOP/s {name.removesuffix('_gflops').replace('_', ' ')}"
            if name.endswith("_gflops")
            else f"{rate:.1f} GB/s read"
            for name, rate in rates.items()
        ]
        lines.append(
            f"- `{report['command']}`: {machine['when_utc'][:10]}, {machine['cores']} cores of "
            f"{machine['cpu']}, {_disturbance(machine)}; "
            + (f"measured {', '.join(measured)}; " if measured else "")
            + f"Python {machine['python']}, {versions}"
        )
    return "\n".join(lines) + "\n"


def _disturbance(machine: dict[str, Any]) -> str:
    """Describe what else was running: the less, the more reliable the numbers."""
    others = machine.get("cores_used_by_others")
    if others is None:
        return f"load {machine['load_average'] or 0:.1f}"
    return f"of which other programs used {others:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--draw", action="store_true", help="draw the pictures as well")
    args = parser.parse_args()
    if args.check:
        agrees = PAGE.read_text(encoding="utf-8") == page()
        print(f"{PAGE.name} {'agrees' if agrees else 'does not agree'} with its JSON files")
        return 0 if agrees else 1
    if args.draw:
        draw()
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
