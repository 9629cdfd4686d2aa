"""Words and tables of the page of benchmarks, the same in every section."""

from __future__ import annotations

from typing import Any


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its first column text and the others figures."""
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def time_text(seconds: float) -> str:
    """A time with three digits and a fitting unit."""
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def floor_text(row: dict[str, Any]) -> str:
    """A row's floor, as ``above_floor`` found it, and how far off it is."""
    if "floor_s" not in row:
        return ""
    return f"{time_text(row['floor_s'])} ({row['bound_by']}), {row['times_floor']:.1f} x"


def memory_text(row: dict[str, Any]) -> str:
    """A row's peak memory."""
    return f"{row['peak_mib']:,.0f} MiB"
