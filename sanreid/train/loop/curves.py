"""The curves of a run, drawn from its log: the loss of each step, and each evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanreid.errors import MissingExtraError
from sanreid.train.loop.journal import read_journal
from sanreid.utils.files import atomic_write

__all__ = ["write_curves"]

_SHOWN = ("mAP", "rank1", "l1_seen")  # of an evaluation, where it has them


def write_curves(folder: Path) -> Path | None:
    """Draw ``curves.png`` beside the log of a run.

    Returns:
        The picture; None where there is nothing to draw, or no matplotlib (extra ``viz``).
    """
    rows = read_journal(folder / "log.jsonl")
    steps = [row for row in rows if row["kind"] == "train"]
    measured = [row for row in rows if row["kind"] == "evaluation"]
    if not steps:
        return None
    try:
        from sanreid.viz.drawing import Figure, label_axes  # noqa: PLC0415 - matplotlib
    except MissingExtraError:
        return None
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    loss, figures = figure.subplots(1, 2)
    loss.plot([row["epoch"] for row in steps], [row["total"] for row in steps], linewidth=1.2)
    label_axes(loss, x="epoch", y="loss", title=None)
    for name, rows_of_set in _by_set(measured).items():
        for key in _SHOWN:
            values = [row[key] for row in rows_of_set if key in row]
            if values:
                epochs = [row["epoch"] for row in rows_of_set if key in row]
                figures.plot(epochs, values, marker="o", markersize=4, label=f"{name}: {key}")
    label_axes(figures, x="epoch", y="fraction", title=None)
    if measured:
        figures.legend(frameon=False, fontsize=8)
    path = folder / "curves.png"
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path


def _by_set(measured: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Gather the evaluations of one set; where crops of several sizes were read, of one size."""
    several = len({tuple(row.get("input_size", ())) for row in measured}) > 1
    found: dict[str, list[dict[str, Any]]] = {}
    for row in measured:
        size = " x ".join(map(str, row.get("input_size", ()))) if several else ""
        found.setdefault(f"{row['set']}, {size}" if size else row["set"], []).append(row)
    return found
