"""The benchmark of normalised search runs at a small size and writes its section."""

from __future__ import annotations

import pytest

from tests.benchmarks.bench_cameras import measure, section


@pytest.mark.slow
def test_benchmark_runs_at_a_small_size():
    rows = measure(3000, 32, 3)
    assert [(row["queries"], row["contestant"]) for row in rows] == [
        (1, "raw"), (1, "normalised"), (64, "raw"), (64, "normalised"),
    ]  # fmt: skip
    assert all(row["median_s"] > 0 for row in rows)
    text = section([{"dim": 32, "rows": rows}])
    assert "Exact search of 3,000 entries with 32 dimensions under 6 cameras" in text
    assert f"| {rows[1]['ratio']:.2f} |" in text
