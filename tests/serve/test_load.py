"""Eight clients of two real processes over loopback: no acknowledgement is lost."""

from __future__ import annotations

import os

import pytest

from tests.benchmarks.bench_serve import measure

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")
def test_no_acknowledgement_is_lost(resnet18_weights):
    rows = measure(str(resnet18_weights), seconds=5, clients=8)
    assert {row["route"] for row in rows} == {"/enrol", "/search", "/forget"}
    assert all(row["requests"] >= 8 for row in rows)
