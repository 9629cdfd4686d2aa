"""The page on extending: its examples are short, and its loss trains from a module of its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from sanreid.train.loop.engine import Engine
from sanreid.train.loop.journal import read_journal
from sanreid.train.losses import objective

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is not beside tests/")


def examples():
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_every_example_has_at_most_20_lines_beside_its_imports():
    for code in examples():
        lines = [line for line in code.splitlines() if line.strip()]
        assert len([line for line in lines if not line.startswith(("from ", "import "))]) <= 20


@pytest.mark.usefixtures("one_thread")
def test_the_loss_of_the_page_trains(tiny_run, tmp_path, monkeypatch):
    (code,) = [code for code in examples() if "register_loss" in code]
    (tmp_path / "my_losses.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_losses", raising=False)  # another test's
    monkeypatch.setattr(objective, "_ENTRIES", dict(objective._ENTRIES))
    run = {"imports": ["my_losses"], "max_steps": 2}
    try:
        Engine(tiny_run(run=run, loss={"custom": {"center": 0.1}})).run()
    finally:
        sys.modules.pop("my_losses", None)
    rows = [r for r in read_journal(tmp_path / "run" / "log.jsonl") if r["kind"] == "train"]
    assert rows
    assert all(0 < row["center"] < 4 for row in rows)
