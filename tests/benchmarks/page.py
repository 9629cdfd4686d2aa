"""The page of benchmarks in the documentation, made of the JSON files that the benchmarks wrote.

    python -m tests.benchmarks.page            # docs/benchmarks/*.json -> docs/benchmarks.md
    python -m tests.benchmarks.page --check    # exit status 1 where the page does not agree

Each ``bench_<name>`` module writes its own section, ``section(reports) -> str``: Markdown that
begins with a heading, from all the reports of that name. ``draw(reports, folder)``, where it has
one, draws the section's pictures. No figure of the page is typed by hand.
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
ORDER = ("encode", "backends", "stream", "evaluate", "rerank", "gallery")

INTRODUCTION = """\
# Benchmarks

Wall-clock times, medians of several runs; peer and library in one run, each in a process of its
own, so that peak memory, which is that of the whole process, is its own too. The inputs are
drawn, or named, and the same for both. Where a peer is quicker, its line says so like any other.

**Floor** is what cannot be beaten on the machine of that run: the operations over the measured
rate of a large matrix product, or the bytes over the measured rate of reading memory, whichever
takes longer. "2.0 x" behind a time says that it is twice its floor.

The line below each section says how busy the machine was with other programs. They slow down
work that uses every core more than a peer that uses one, so a busy machine shows ratios smaller
than an idle one would.

This page is made by a command from the files `docs/benchmarks/*.json`, which hold every figure,
all versions and the machine. Close other programs, then

```bash
python -m tests.benchmarks             # runs them all, writes the files, the pictures, this page
python -m tests.benchmarks rerank      # one of them
python -m tests.benchmarks.page        # this page alone, from the files
```
"""


def load(folder: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """The reports by benchmark, in the page's order, those of one benchmark by file name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(report["benchmark"], []).append(report)
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*known, *sorted(set(found) - set(known))]}


def page(folder: Path = RESULTS) -> str:
    """The page's text."""
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
    """Where, with what, and how again, in small print; equal machines are told once."""
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
    """What else ran meanwhile: the less, the better a figure can be trusted."""
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
