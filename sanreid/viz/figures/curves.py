"""Curves of accuracy: CMC, precision over recall, similarities of genuine and impostor pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.metrics import EvaluationReport
from sanreid.utils.arguments import as_count
from sanreid.viz.drawing import BLUE, SERIES, VERMILION, Axes, Figure, axes_for, label_axes
from sanreid.viz.figures.plots import cmc_range, rank_ticks

if TYPE_CHECKING:
    from sanreid.viz.protocols import Calibration

__all__ = ["cmc_figure", "precision_recall_figure", "similarity_histogram"]

Reports = EvaluationReport | Mapping[str, EvaluationReport]

_DASHES = ("-", "--", "-.", ":")
_MARKS = ("o", "s", "^", "D")
_MOST_BINS = 32  # of a histogram
_LEGEND_PT = 50  # the height of a legend of three lines


def cmc_figure(
    reports: Reports, *, max_rank: int = 20, ax: Axes | None = None, title: str | None = None
) -> Figure:
    """Draw cumulative matching characteristics: how often a match is among the first k.

    Args:
        reports: Of :func:`sanreid.evaluate`; several as a mapping from name to report.
        max_rank: Ranks shown, where the reports reach so far.
        ax: Draw here; a new figure when None.
        title: A line above.

    Raises:
        InputError: No report, or ``max_rank`` is below 1.
    """
    max_rank = as_count(max_rank, "max_rank")
    named = _named(reports)
    figure, ax = axes_for(ax, (6.4, 4.0))
    for index, (name, report) in enumerate(named.items()):
        cmc = report.cmc[:max_rank]
        ranks = np.arange(1, len(cmc) + 1)
        ax.plot(
            ranks,
            cmc,
            marker=_MARKS[index % len(_MARKS)] if len(cmc) <= 25 else None,
            markersize=6,
            fillstyle="none",
            label=f"{_prefix(name)}rank-1 {_rate(report.rank1)}, mAP {_rate(report.mAP)}",
            **_line(index),
        )
    label_axes(ax, x="rank k", y="queries with a match in the first k", title=title)
    shown = np.concatenate([report.cmc[:max_rank] for report in named.values()])
    low, high = cmc_range(float(shown.min()), float(shown.max()))
    ax.set_ylim(low, high + 0.01 * (high - low))  # a line along the top is drawn whole
    ax.set_xticks(rank_ticks(max(len(report.cmc[:max_rank]) for report in named.values())))
    _percent(ax.yaxis)
    ax.legend(loc="lower right", frameon=False)
    return figure


def precision_recall_figure(
    reports: Reports, *, ax: Axes | None = None, title: str | None = None
) -> Figure:
    """Draw precision over recall, the mean of all valid queries; the area is the mAP.

    Precision is that at the rank of the match that reaches the recall, not interpolated, so a
    curve may rise.

    Args:
        reports: Of :func:`sanreid.evaluate`; several as a mapping from name to report.
        ax: Draw here; a new figure when None.
        title: A line above.

    Raises:
        InputError: No report.
    """
    named = _named(reports)
    figure, ax = axes_for(ax, (6.4, 4.0))
    for index, (name, report) in enumerate(named.items()):
        recall, precision = report.precision_recall()
        ax.plot(
            np.append(0.0, recall),
            np.append(precision[0], precision),
            label=f"{_prefix(name)}mAP {_rate(report.mAP)}",
            **_line(index),
        )
    label_axes(ax, x="recall", y="precision", title=title)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    _percent(ax.xaxis)
    _percent(ax.yaxis)
    ax.legend(loc="lower left", frameon=False)
    return figure


def similarity_histogram(
    calibration: Calibration, *, ax: Axes | None = None, title: str | None = None
) -> Figure:
    """Draw the similarities of genuine and impostor pairs, and the threshold between them.

    Each histogram is a share of its own pairs: impostor pairs are far more numerous.

    Args:
        calibration: Of :meth:`sanreid.Gallery.calibrate`.
        ax: Draw here; a new figure when None.
        title: A line above.
    """
    figure, ax = axes_for(ax, (6.4, 4.0))
    edges, genuine, impostor = _bins(calibration)
    kinds = (
        (f"two people ({calibration.num_impostor:,} pairs)", impostor, VERMILION),
        (f"one person ({calibration.num_genuine:,} pairs)", genuine, BLUE),
    )
    for label, counts, color in kinds:
        share = counts / max(1, counts.sum())
        ax.stairs(share, edges, fill=True, color=color, alpha=0.3, linewidth=0)
        ax.stairs(share, edges, color=color, linewidth=1.8, label=label)
    ax.axvline(
        calibration.threshold,
        color="0.45",
        linestyle="--",
        linewidth=1.5,
        label=f"threshold {calibration.threshold:.3f}: "
        f"{_rate(calibration.false_match_rate)} false matches, "
        f"{_rate(calibration.false_non_match_rate)} missed",
    )
    low, high = edges[0], max(edges[-1], calibration.threshold)
    ax.set_xlim(max(-1.0, low - 0.03), min(1.0, high + 0.03))
    label_axes(ax, x="cosine similarity", y="share of pairs", title=title, title_pad=_LEGEND_PT)
    ax.set_ylim(bottom=0)
    _percent(ax.yaxis)
    # Above the axes: inside, it would lie on the threshold or on a distribution.
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, frameon=False, fontsize=9)
    return figure


def _bins(
    calibration: Calibration,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return edges and counts of the part where pairs are, in at most some dozens of bins."""
    edges = np.asarray(calibration.thresholds)
    genuine = np.asarray(calibration.genuine_histogram)
    impostor = np.asarray(calibration.impostor_histogram)
    seen = np.flatnonzero(genuine + impostor)
    first, last = int(seen[0]), int(seen[-1]) + 1
    wide = -(-(last - first) // _MOST_BINS)
    last = min(first + -(-(last - first) // wide) * wide, len(genuine))
    starts = np.arange(first, last, wide)
    return (
        np.append(edges[starts], edges[last]),
        np.add.reduceat(genuine[:last], starts),
        np.add.reduceat(impostor[:last], starts),
    )


def _named(reports: Reports) -> dict[str, EvaluationReport]:
    if isinstance(reports, EvaluationReport):
        return {"": reports}
    if not isinstance(reports, Mapping) or not reports:
        raise InputError(
            "Pass a report, or a mapping from name to report with at least one; "
            f"got {type(reports).__name__}."
        )
    return dict(reports)


def _prefix(name: str) -> str:
    return name.replace("$", r"\$") + ": " if name else ""


def _line(index: int) -> dict[str, Any]:
    """Return color and dashes; the dashes distinguish curves in grey print, too."""
    return {
        "color": SERIES[index % len(SERIES)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "linewidth": 2.0,
    }


def _percent(axis: Any) -> None:  # noqa: ANN401 - XAxis or YAxis
    axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def _rate(value: float) -> str:
    return f"{value * 100:.1f} %" if value >= 0.001 or not value else f"{value:.1e}"
