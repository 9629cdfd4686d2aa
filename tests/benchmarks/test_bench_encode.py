"""The encoding benchmark runs at a small size, and its contestants agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.bench_encode import PLAIN, section

# The others are the same code with another precision, each tested by itself.
CONTESTANTS = ("sanreid torch auto", "sanreid onnx float32", "sanreid openvino int8")


@pytest.mark.slow
def test_benchmark_runs_at_a_small_size(tmp_path):
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks.bench_encode", "--images", "6"]
    command += ["--batch-size", "4", "--repeats", "1", "--json", str(output)]
    command += ["--calibration", "8", "--only", *CONTESTANTS]
    environment = {key: value for key, value in os.environ.items() if key != "SANREID_DATA"}
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True)
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["benchmark"] == "encode"
    assert report["crops"] == "rendered people"
    rows = {row["contestant"]: row for row in report["rows"]}
    assert rows[PLAIN]["times_plain"] == 1
    assert set(rows) == {PLAIN, *CONTESTANTS}
    for name, row in rows.items():
        lowest = {"float32": 0.99999, "bfloat16": 0.999, "int8": 0.9}[row["precision"]]
        assert row["lowest_cosine_to_plain"] > lowest, name
        assert row["peak_mib"] > 0
        assert row["floor_s"] > 0
    assert section([report]).count("\n| ") == len(rows) + 2
