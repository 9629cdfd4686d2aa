"""The gallery benchmark runs at a small size, and its searches agree with plain FAISS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.gallery_page import PICTURE, draw, section


@pytest.mark.slow
def test_benchmark_runs_at_a_small_size(tmp_path):
    output = tmp_path / "results.json"
    command = [sys.executable, "-m", "tests.benchmarks.bench_gallery", "--size", "10000"]
    command += ["--dim", "32", "--repeats", "2", "--kinds", "ivf-sq8", "--json", str(output)]
    command += ["--folder", str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    report = json.loads(output.read_text(encoding="utf-8"))
    parts = [row["part"] for row in report["rows"]]
    assert set(parts) == {"search", "scale", "disk", "approximate"}
    assert report["machine"]["versions"]["faiss-cpu"]
    text = section([report])
    assert "### Exact search, filters and rules, 10,000 entries" in text
    assert text.count("| 10,000 | FAISS, flat |") == 1
    draw([report], tmp_path)
    assert (tmp_path / PICTURE).stat().st_size > 1000
