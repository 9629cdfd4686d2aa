"""A texture generator whose first epochs have smaller crops."""

from __future__ import annotations

import json

import numpy as np

from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.config.loader import config_from_dict
from sanreid.train.loop import reports
from sanreid.train.loop.engine import Engine
from sanreid.train.textures.generator import load_generator
from sanreid.train.tools.export import export_run
from tests.train.conftest import tiny_values


def test_a_texture_generator_is_exported_at_the_size_of_its_crops(folder, tmp_path, monkeypatch):
    pairs, _ = folder
    values = tiny_values(pairs, tmp_path / "run")
    del values["data"]
    values["run"] |= {"epochs": 2, "sizes": [{"until_epoch": 1, "size": [32, 32]}],
                      "max_steps": 1, "pictures_every": 1}  # fmt: skip
    values |= {
        "decoder": {"width": 32, "copy": True},
        "loss": {"identity": 0.0, "triplet": 0.0, "reconstruction": 1.0, "surface": 1.0},
        "pit": {"folder": str(pairs), "per_batch": 4, "held_out": 1},
    }
    values["evaluation"] = {"every": 1, "sets": []}
    drawn = []

    def shape_of(crops, *_, **__):
        drawn.append(tuple(crops.shape[2:]))
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(reports, "sheet", shape_of)
    Engine(config_from_dict(values)).run()
    assert drawn == [(32, 32)]
    assert load_checkpoint(tmp_path / "run" / "last.ckpt")["metrics"]
    out = export_run(tmp_path / "run", tmp_path / "out", which="last", half=False)
    row = json.loads((out / "manifest_row.json").read_text())
    assert row["config"]["encoder"]["input_size"] == [32, 32]
    assert not row["metrics"]
    assert load_generator(out).encoder.input_size == (32, 32)
    assert load_generator(tmp_path / "run").digest == load_generator(out).digest
