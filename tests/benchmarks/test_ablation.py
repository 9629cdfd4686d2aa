"""The page of the ablation says what its JSON files say, by commands there are."""

from __future__ import annotations

import shlex

import pytest

from sanreid.train.settings import load_config
from tests.benchmarks import ablation

needs_docs = pytest.mark.skipif(not ablation.PAGE.is_file(), reason="docs/ is not beside tests/")


@needs_docs
def test_page_agrees_with_the_json_in_the_repository():
    text = ablation.PAGE.read_text(encoding="utf-8")
    assert text == ablation.page(text), "make it again: python -m tests.benchmarks.ablation page"
    assert set(ablation.load()) == {mark["name"] for mark in ablation._MARKED.finditer(text)}


@needs_docs
def test_every_row_has_a_command_whose_settings_are_in_order(monkeypatch):
    monkeypatch.setenv("SANREID_DATA", "/data")
    monkeypatch.setenv("SANREID_MADE", "/made")
    for report in ablation.load().values():
        for row in report["rows"]:
            words = shlex.split(row["command"].replace('"', '\\"'))
            assert words[:3] == ["python", "-m", "sanreid.train"]
            config = load_config(words[3], words[5::2])
            assert config.run.epochs == row["epochs"]
            assert config.run.seed == row["seed"]
            assert len(row["commit"]) == 40
            assert set(ablation.SETS) <= set(row["figures"])
