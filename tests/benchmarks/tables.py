"""Formatting shared by all sections of the benchmarks page."""

from __future__ import annotations

from typing import Any


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table: the first column is text, the others are numbers."""
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def time_text(seconds: float) -> str:
    """Format a time with three digits and a suitable unit."""
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def floor_text(row: dict[str, Any]) -> str:
    """Format a row's floor, from ``above_floor``, and the ratio to it."""
    if "floor_s" not in row:
        return ""
    return f"{time_text(row['floor_s'])} ({row['bound_by']}), {row['times_floor']:.1f} x"


def memory_text(row: dict[str, Any]) -> str:
    """Format a row's peak memory."""
    return f"{row['peak_mib']:,.0f} MiB"
