"""The benchmark of Milvus runs at a small size and becomes a section of the page."""

from __future__ import annotations

from sanreid.gallery import Gallery
from tests.benchmarks import bench_milvus
from tests.gallery.milvus.conftest import fake_server  # noqa: F401 - a fixture


def test_the_benchmark_runs_at_a_small_size(fake_server, monkeypatch):  # noqa: F811 - the fixture
    monkeypatch.setattr(bench_milvus, "DIM", 8)
    there = Gallery.open("milvus://host/people", dim=8)
    rows = bench_milvus.measure({"in memory": Gallery(8), "Milvus": there}, 50, 3)
    assert {row["ratio"] for row in rows if row["contestant"] == "in memory"} == {1.0}
    text = bench_milvus.section([{"rows": rows}])
    assert "### 50 entries" in text
    assert text.count("| Milvus |") == 5
