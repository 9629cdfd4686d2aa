"""The scripts of examples/ do what they say, on rendered people."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.people import write_people

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not beside tests/")


@pytest.fixture
def run(monkeypatch, capsys):
    def call(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return capsys.readouterr().out

    return call


def test_every_script_is_tested():
    tested = {"search_folder.py", "evaluate_dataset.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_search_folder(run, tiny_weights, tmp_path):
    crops = write_people(tmp_path / "crops", identities=3, cameras=2, size=(64, 32))
    (tmp_path / "crops" / "bad.jpg").write_bytes(b"not a picture")
    out = run("search_folder.py", tmp_path / "crops", crops[2], "-k", 2, "--weights", tiny_weights)
    lines = out.splitlines()
    assert lines[0].startswith(f"passed over {tmp_path / 'crops' / 'bad.jpg'}: ")
    assert lines[1] == "6 crops in the gallery"
    assert lines[2].split() == ["1", "1.000", str(crops[2])]
    assert len(lines) == 4


def test_evaluate_dataset(run, tiny_weights, tmp_path):
    write_people(tmp_path / "query", identities=3, cameras=1, size=(64, 32))
    write_people(tmp_path / "gallery", identities=3, cameras=3, size=(64, 32))
    out = run(
        "evaluate_dataset.py", tmp_path / "query", tmp_path / "gallery", "--weights", tiny_weights
    )
    lines = out.splitlines()
    assert lines[0].startswith("cosine      mAP ")
    assert "3 of 3 queries" in lines[0]
    assert lines[1].strip().startswith("mAP between ")
    assert lines[2].startswith("re-ranked   mAP ")
