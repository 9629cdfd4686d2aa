"""The page of the ablation agrees with its JSON files, and its commands exist."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sanreid.train.config.loader import config_to_dict, load_config
from tests.benchmarks import ablation

_SHORT = str(Path(__file__).with_name("further-short.toml"))
_PKU = ("pku_reid/train", "pku_reid/val")
needs_docs = pytest.mark.skipif(not ablation.PAGE.is_file(), reason="docs/ is not beside tests/")


@needs_docs
def test_page_agrees_with_the_json_in_the_repository():
    text = ablation.PAGE.read_text(encoding="utf-8")
    assert text == ablation.page(text), "regenerate it: python -m tests.benchmarks.ablation page"
    assert set(ablation.load()) == {mark["name"] for mark in ablation._MARKED.finditer(text)}


@needs_docs
def test_every_row_has_a_command_with_valid_settings(monkeypatch):
    monkeypatch.setenv("SANREID_DATA", "/data")
    monkeypatch.setenv("SANREID_MADE", "/made")
    for report in ablation.load().values():
        for row in report["rows"]:
            words = shlex.split(row["command"])
            assert words[:3] == ["python", "-m", "sanreid.train"]
            config = load_config(words[3], words[5::2])
            assert config.run.epochs == row["epochs"]
            assert config.run.seed == row["seed"]
            assert len(row["commit"]) == 40
            assert set(ablation.SETS) <= set(row["figures"])


@pytest.mark.parametrize("name", ["san-r50-small", "san-r50", _SHORT])
def test_further_training_is_not_measured_on_people_it_sees(monkeypatch, name):
    monkeypatch.setenv("SANREID_DATA", "/data")
    monkeypatch.setenv("SANREID_MADE", "/made")
    config = load_config(name)
    seen = {one.folder for one in config.data.sources}
    measured = {one.folder for some in config.evaluation.sets for one in some.sources}
    assert measured == {f"/data/{one}" for one in ("cuhk03_pair1_labeled/val", *_PKU)}
    assert not seen & measured
    assert not config.init.weights
    assert not config.loss.teacher.weights


def test_a_run_is_compared_with_the_same_seed_of_the_first_and_of_the_previous_label():
    measured = [("a", 1, {"x": "a1"}), ("a", 2, {"x": "a2"}), ("b", 1, {"x": "b1"})]
    assert ablation._compared("a", 2, measured[:1]) == {}
    assert ablation._compared("b", 1, measured[:2]) == {"gain": {"x": "a1"}}
    assert ablation._compared("b", 2, measured) == {"gain": {"x": "a2"}}
    assert ablation._compared("c", 2, measured) == {"gain": {"x": "a2"}}
    assert ablation._compared("+ c", 2, measured) == {"gain": {"x": "a2"}, "step": {"x": "b1"}}
    by_seed = [("a", 1, {}), ("b", 1, {}), ("c", 1, {}), ("a", 2, {"x": "a2"})]
    assert ablation._compared("b", 2, by_seed) == {"gain": {"x": "a2"}}


def test_runs_with_several_seeds_are_summarised_by_mean_and_range():
    def run(label, seed, value):
        figures = {key: {"mAP": value} for key in ablation.SETS}
        return {"label": label, "seed": seed, "figures": figures}

    rows = [run("a", 1, 0.5), run("a", 2, 0.53), run("b", 1, 0.6)]
    assert ablation._over_seeds(rows) == [["a", "1, 2", *["51.5 (50.0 to 53.0)"] * 5]]


def test_a_command_reproduces_the_settings_of_its_run(monkeypatch):
    monkeypatch.setenv("SANREID_DATA", "/data")
    monkeypatch.setenv("SANREID_MADE", "/made")
    asked = ["init.weights=w", "loss.tr=0.03", "encoder.input_size=[64, 32]", "pit.folder=pairs"]
    asked += ["run.sizes=[{ until_epoch = 2, size = [32, 32] }]", "run.seed=3"]
    config = load_config("ablation-rec", asked)
    command = ablation._command(config_to_dict(config))
    words = shlex.split(command)
    again = load_config(words[3], [*words[5::2], "init.weights=w"])
    assert words[3] in ("ablation-rec", "ablation-tr", "ablation-full")
    assert ablation._settings(again) == ablation._settings(config)
    other = config_to_dict(load_config("ablation-baseline", ["data.sources.0.names=folders"]))
    with pytest.raises(LookupError, match="No packaged configuration"):
        ablation._command(other)
