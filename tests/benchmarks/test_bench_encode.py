"""The benchmark of encoding runs, small, and its contestants agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_benchmark_runs_small(tmp_path):
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks.bench_encode", "--images", "6"]
    command += ["--batch-size", "4", "--repeats", "1", "--json", str(output)]
    environment = {key: value for key, value in os.environ.items() if key != "SANREID_DATA"}
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True)
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["benchmark"] == "encode"
    assert report["crops"] == "rendered people"
    plain, float32, auto = report["rows"]
    assert plain["times_plain"] == 1
    assert float32["lowest_cosine_to_plain"] > 0.99999
    assert auto["lowest_cosine_to_plain"] >= 0.999
    assert auto["peak_mib"] > 0
