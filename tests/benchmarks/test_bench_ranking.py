"""The evaluation and re-ranking benchmarks run at a small size, and contestants agree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "rerank"])
def test_benchmark_runs_at_a_small_size(name, tmp_path):
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", f"tests.benchmarks.bench_{name}", "--queries", "30"]
    command += ["--gallery", "200", "--dim", "32", "--repeats", "1", "--json", str(output)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["benchmark"] == name
    ours, peer = report["rows"][:2]
    assert ours["mAP"] == pytest.approx(peer["mAP"], abs=1e-4)
    assert ours["peak_mib"] > 0
    assert report["machine"]["versions"]["numpy"]
