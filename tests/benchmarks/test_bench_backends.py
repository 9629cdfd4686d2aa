"""The benchmarks of backends and of a long stream run at a small size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import bench_backends, bench_stream


def run(name, output, *options):
    environment = {key: value for key, value in os.environ.items() if key != "SANREID_DATA"}
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--json", str(output), *options]
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True)
    return json.loads(output.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_backends(tmp_path):
    pytest.importorskip("matplotlib")
    names = ["sanreid torch float32", "sanreid torch auto"]
    options = ("--batch-sizes", "1", "2", "--repeats", "1", "--only", *names)
    report = run("bench_backends", tmp_path / "results.json", *options)
    assert [(row["contestant"], row["batch_size"]) for row in report["rows"]] == [
        (name, size) for name in names for size in (1, 2)
    ]
    assert [row["start"] for row in report["start_up"]] == list(bench_backends.STARTS)
    text = bench_backends.section([report])
    assert all(f"| {name} |" in text for name in names)
    bench_backends.draw([report], tmp_path)
    assert (tmp_path / bench_backends.PICTURE).stat().st_size > 10_000


@pytest.mark.slow
def test_stream(tmp_path):
    report = run("bench_stream", tmp_path / "results.json", "--images", "640")
    assert [row["crops"] for row in report["rows"]] == list(range(64, 641, 64))
    assert all(row["images_per_s"] > 0 for row in report["rows"])
    assert "640 crops through `encode_stream`" in bench_stream.section([report])
