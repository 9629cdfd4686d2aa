"""The latency benchmark runs at a small size and becomes a section of the page."""

from __future__ import annotations

import json
import sys

import pytest

from tests.benchmarks import bench_latency


@pytest.mark.slow
def test_the_benchmark_runs_at_a_small_size(tmp_path, tiny_weights, monkeypatch):
    output = tmp_path / "latency.json"
    words = ["--small", "60", "--large", "400", "--weights", str(tiny_weights)]
    words += ["--repeats", "2", "--json", str(output)]
    monkeypatch.setattr(sys, "argv", ["bench_latency", *words])
    # in this process: a fresh one would load torch twice more
    monkeypatch.setattr(bench_latency, "in_fresh_process", lambda work, *args: work(*args))
    bench_latency.main()
    report = json.loads(output.read_text(encoding="utf-8"))
    ratios = {(row["work"], row["contestant"]): row["ratio"] for row in report["rows"]}
    assert ratios["one query", "FAISS"] == ratios["64 queries", "FAISS"] == 1
    assert ratios["`encode`, then `identify`", "sanreid"] > 0
    text = bench_latency.section([report])
    assert "60 entries, 512 dimensions" in text
    assert text.count("| one query | ") == 2
