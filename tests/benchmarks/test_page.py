"""The benchmarks page agrees with its JSON files."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks import page, report
from tests.benchmarks.floors import above_floor
from tests.benchmarks.tables import floor_text, table, time_text

needs_docs = pytest.mark.skipif(not page.PAGE.is_file(), reason="docs/ is not beside tests/")


@needs_docs
def test_page_agrees_with_the_json_in_the_repository():
    again = "python -m tests.benchmarks.page"
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), f"regenerate it: {again}"


@needs_docs
def test_every_report_records_the_machine_versions_and_command():
    reports = [one for several in page.load().values() for one in several]
    assert reports
    for one in reports:
        assert one["command"].startswith("python -m tests.benchmarks.bench_")
        assert one["machine"]["cores"] >= 1
        assert one["machine"]["versions"]["numpy"]
        assert one["rows"]


@needs_docs
def test_a_changed_figure_changes_the_page(tmp_path):
    for path in page.RESULTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert page.page(tmp_path) == page.page()
    one = next(tmp_path.glob("evaluate*.json"))
    changed = json.loads(one.read_text(encoding="utf-8"))
    changed["rows"][0]["median_s"] *= 3
    one.write_text(json.dumps(changed), encoding="utf-8")
    assert page.page(tmp_path) != page.page()


def test_floor_is_the_longer_of_arithmetic_and_memory_time():
    rates = {"float32_gflops": 100.0, "read_gb_per_s": 10.0}
    row = above_floor(3.0, rates, gflop=100.0, gigabytes=5.0)
    assert row == {"floor_s": 1.0, "bound_by": "arithmetic", "times_floor": 3.0}
    row = above_floor(3.0, rates, gflop=100.0, gigabytes=20.0)
    assert row == {"floor_s": 2.0, "bound_by": "memory", "times_floor": 1.5}
    assert floor_text(row) == "2 s (memory), 1.5 x"
    assert floor_text({}) == ""


def test_tables_and_times():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    assert [time_text(s) for s in (0.0123, 4.5678, 321.9)] == ["12.3 ms", "4.57 s", "322 s"]


def test_command_omits_paths_of_this_machine(monkeypatch):
    words = ["x.py", "--json", "a.json", "--size", "9", "--folder=b", "--plot", "c.png"]
    monkeypatch.setattr("sys.argv", words)
    assert report._command().endswith(" --size 9")
