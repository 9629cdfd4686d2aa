"""Small plots as inline SVG and HTML, for notebooks without matplotlib.

Lines and text take the color of their surroundings, so they fit light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from sanreid.viz.markup import text
from sanreid.viz.palette import BLUE

__all__ = ["bars", "cmc_plot", "cmc_range", "rank_ticks"]

_WIDTH, _HEIGHT = 360, 190
_STEPS = ((10, 0.25), (20, 0.1), (50, 0.04), (100, 0.0))  # of an axis in one unit, from a span on
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 34


def cmc_plot(cmc: NDArray[np.float64], *, max_rank: int = 20) -> str:
    """Draw a CMC curve: (max_rank,) shares of queries with a match among the first k."""
    values = cmc[:max_rank]
    low, high = cmc_range(values[0], values[-1])
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    steps = max(len(values) - 1, 1)

    def x(index: float) -> float:
        return _LEFT + across * index / steps

    def y(value: float) -> float:
        return _TOP + down * (1 - (value - low) / (high - low))

    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" style="max-width:100%" '
        f'aria-label="CMC curve, {values[0] * 100:.1f} % at rank 1">'
    )
    parts = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
        'stroke="currentColor" stroke-opacity=".18"/>'
        + _label(_LEFT - 6, y(tick) + 4, f"{tick * 100:.4g} %", "end")
        for tick in np.linspace(low, high, 5)
    ]
    parts += [
        _label(x(rank - 1), _HEIGHT - 18, str(rank), "middle") for rank in rank_ticks(len(values))
    ]
    parts.append(_label(_LEFT + across / 2, _HEIGHT - 3, "rank k", "middle"))
    points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(values))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2"/>')
    parts += [
        f'<circle cx="{x(i):.1f}" cy="{y(value):.1f}" r="2.5" fill="{BLUE}">'
        f"<title>rank {i + 1}: {value * 100:.1f} %</title></circle>"
        for i, value in enumerate(values)
    ]
    return head + "".join(parts) + "</svg>"


def cmc_range(lowest: float, highest: float) -> tuple[float, float]:
    """Return where the axis of CMC curves begins and ends: just around them, at round shares."""
    span = highest - lowest
    if not span:  # one height only: a tenth of the whole axis around it
        return (
            (0.0, 0.1)
            if highest < 0.1
            else (floor(highest * 10 - 0.5) / 10, ceil(highest * 10) / 10)
        )
    per_unit = next(steps for steps, least in _STEPS if span >= least)
    low = max(0, floor(lowest * per_unit - 0.1))
    high = min(per_unit, ceil(highest * per_unit + 0.1))
    return low / per_unit, high / per_unit


def rank_ticks(ranks: int) -> list[int]:
    """Return the ranks to label of so many: 1, then round numbers."""
    step = next((step for step in (1, 5, 10, 25) if ranks <= 6 * step), -(-ranks // 600) * 100)
    return [1, *(rank for rank in range(step, ranks + 1, step) if rank > 1)]


def bars(title: str, groups: Sequence[tuple[str, int]]) -> str:
    """Draw counts as horizontal bars, the longest 120 pixels wide."""
    most = max((number for _, number in groups), default=1) or 1
    rows = "".join(
        '<div style="display:flex;align-items:center;gap:6px">'
        '<span style="width:110px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;'
        f'text-align:right">{text(name, 40)}</span>'
        f'<span style="width:{max(1, round(120 * number / most))}px;height:10px;'
        f'background:{BLUE};border-radius:2px"></span><span>{number:,}</span></div>'
        for name, number in groups
    )
    return (
        f'<div style="font-size:11px;line-height:1.5"><div style="font-weight:600">{text(title)}'
        f"</div>{rows}</div>"
    )


def _label(x: float, y: float, value: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="10" '
        f'font-family="sans-serif" fill="currentColor">{text(value)}</text>'
    )
