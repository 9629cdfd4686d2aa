"""What a run says at its beginning and end, and the picture of its curves."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from sanreid.train.commands import main
from sanreid.train.config.loader import config_from_dict
from sanreid.train.loop.curves import write_curves
from sanreid.train.loop.progress import Progress
from sanreid.train.loop.reports import beginning, ending
from sanreid.train.networks import initialization
from tests.train.conftest import tiny_values
from tests.train.loop.test_engine import write_toml

ROWS = [
    {"kind": "train", "step": 1, "epoch": 0.5, "total": 3.0},
    {"kind": "train", "step": 2, "epoch": 1.0, "total": 2.0},
    {"kind": "evaluation", "step": 2, "set": "others", "epoch": 1, "mAP": 0.5, "rank1": 0.6},
]


class _Batches:
    """Twelve batches of some crops."""

    def __len__(self):
        return 12

    def summary(self):
        return "8 people, 48 crops, 2 cameras"


def test_the_beginning_says_what_there_is_to_train_on(people, tmp_path):
    config = config_from_dict(tiny_values(people, tmp_path / "run"))
    line = beginning(config, _Batches(), torch.device("cpu"), 24)
    assert line == (
        "8 people, 48 crops, 2 cameras; crops of 64 x 32; 12 batches an epoch, 2 epochs, "
        f"24 steps on cpu in fp32; output {tmp_path / 'run'}"
    )


def test_the_end_says_where_the_weights_are_and_what_is_next(tmp_path):
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    stopped = ending(tmp_path, Progress(), 2)
    assert stopped == f"saved in {tmp_path}; next: the same command with --resume"
    unmeasured = ending(tmp_path, Progress(), None)
    assert unmeasured.endswith(f"next: python -m sanreid.train export {tmp_path} OUT --which last")
    if find_spec("matplotlib"):
        assert unmeasured.startswith(f"saved in {tmp_path}, curves in curves.png")
    (tmp_path / "best.ckpt").touch()
    best = ending(tmp_path, replace(Progress(), best_epoch=3), None)
    assert best.startswith(f"saved in {tmp_path} (best: epoch 3")
    assert f"next: python -m sanreid.train evaluate {tmp_path}, or python" in best
    of_pairs = ending(tmp_path, Progress(), None, pairs="made/pairs")
    assert (
        f"next: python -m sanreid.train pit judge made/pairs --weights {tmp_path}, or" in of_pairs
    )
    assert "(best: the last evaluation" in ending(tmp_path, Progress(), None)


def test_curves_are_drawn_from_the_log(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    log = tmp_path / "log.jsonl"
    log.write_text("")
    assert write_curves(tmp_path) is None
    log.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = write_curves(tmp_path)
    assert path == tmp_path / "curves.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    path.unlink()
    monkeypatch.delitem(sys.modules, "sanreid.viz.drawing")
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    assert write_curves(tmp_path) is None


@pytest.mark.parametrize(
    ("size", "warned"), [([64, 32], False), ([128, 64], True), ([64, 64], True)]
)
def test_first_weights_of_other_crops_are_warned_of(people, tmp_path, caplog, size, warned):
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text(json.dumps({"input_size": [64, 32]}))
    values = tiny_values(people, tmp_path / "run")
    values["init"] = {"weights": str(weights)}
    values["encoder"]["input_size"] = size
    initialization._warn_of_size(config_from_dict(values))
    assert bool(caplog.records) is warned
    if warned:
        assert f"crops of 64 x 32; this run begins with those of {size[0]} x" in caplog.text


def test_released_weights_are_known_by_their_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (file,) = initialization.weights_files(Path("san-r50"))
    assert file.name == "san-r50.safetensors"
    assert file.is_file()
    assert initialization._trained_size("san-r50") == (256, 128)
    (tmp_path / "san-r50").mkdir()  # a folder of that name comes first
    files = initialization.weights_files(Path("san-r50"))
    assert [file.parent.name for file in files] == ["san-r50", "san-r50"]


@pytest.mark.slow
def test_a_run_tells_its_time_and_where_it_is(tiny_run, tmp_path, caplog):
    caplog.set_level("INFO", "sanreid")
    assert main([str(write_toml(tiny_run(), tmp_path / "run.toml"))]) == 0
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("8 people, 48 crops, 2 cameras; crops of 64 x 32; ")
    assert sum("to come, evaluations aside" in line for line in lines) == 1
    assert lines[-1].startswith(f"saved in {tmp_path / 'run'} (best: epoch ")
    assert (tmp_path / "run" / "curves.png").is_file()
