"""The benchmark of the gallery runs, small, and its searches agree with bare FAISS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_benchmark_runs_small(tmp_path):
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks.bench_gallery", "--size", "2000"]
    command += ["--dim", "32", "--repeats", "2", "--kinds", "flat-sq8", "--json", str(output)]
    command += ["--folder", str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    report = json.loads(output.read_text(encoding="utf-8"))
    parts = [row["part"] for row in report["rows"]]
    assert set(parts) == {"search", "scale", "disk", "approximate"}
    assert report["machine"]["versions"]["faiss-cpu"]
