"""Epochs of smaller crops: what is measured, kept, drawn and exported, and at which size."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from sanreid import SANEncoder
from sanreid.models import build_sa_enc
from sanreid.train.checkpoint import encoder_state, load_checkpoint, save_checkpoint
from sanreid.train.config.loader import config_from_dict
from sanreid.train.evaluation.measuring import embed, measure
from sanreid.train.evaluation.sets import load_sets
from sanreid.train.loop import pseudo_labels
from sanreid.train.loop.curves import _by_set
from sanreid.train.loop.engine import Engine
from sanreid.train.loop.journal import read_journal
from sanreid.train.tools.evaluate import evaluate_run, evaluate_weights
from sanreid.train.tools.export import export_run
from tests.train.conftest import paint_people, tiny_values
from tests.train.loop.measured import with_figures

SMALL_FIRST = {"epochs": 3, "sizes": [{"until_epoch": 1, "size": [32, 32]}]}


@pytest.fixture
def steps(tiny_run):
    """How many steps an epoch has."""
    return len(Engine(tiny_run("counted")).batches)


@pytest.fixture
def small(tiny_run, tmp_path, steps):
    """The folder of a run that was stopped after its epoch of smaller crops."""
    Engine(tiny_run("small", run={**SMALL_FIRST, "max_steps": steps})).run()
    return tmp_path / "small"


def test_smaller_epochs_are_the_best_only_until_one_of_the_final_size(
    tiny_run, tmp_path, monkeypatch
):
    run = {"epochs": 3, "sizes": [{"until_epoch": 1, "size": [32, 32]}]}
    with_figures(monkeypatch, 0.9)
    steps = len(Engine(tiny_run(run=run)).batches)
    Engine(tiny_run(run={**run, "max_steps": steps}, evaluation={"every": 1})).run()
    assert load_checkpoint(tmp_path / "run" / "best.ckpt")["metrics"]["others"]["mAP"] == 0.9
    with_figures(monkeypatch, 0.3, 0.2)
    Engine(tiny_run(run=run, evaluation={"every": 1}), resume=True).run()
    assert load_checkpoint(tmp_path / "run" / "best.ckpt")["metrics"]["others"]["mAP"] == 0.3


def test_epochs_of_smaller_crops_are_measured_and_exported_at_their_size(tiny_run, tmp_path):
    run = {"epochs": 2, "sizes": [{"until_epoch": 1, "size": [32, 32]}]}
    steps = len(Engine(tiny_run("counted", run=run)).batches)
    watched, folder = {"every": 1, "at_start": True}, tmp_path / "run"
    Engine(tiny_run(run={**run, "max_steps": steps}, evaluation=watched)).run()
    state = load_checkpoint(folder / "last.ckpt")
    encoder = build_sa_enc(tiny_run().encoder)
    encoder.load_state_dict(encoder_state(state))
    [others] = load_sets(tiny_run().evaluation.sets, (64, 32))
    small = embed(encoder.eval(), others.images, replace(tiny_run().encoder, input_size=(32, 32)),
                  device=torch.device("cpu"))  # fmt: skip
    log = [row for row in read_journal(folder / "log.jsonl") if row["kind"] == "evaluation"]
    assert [row["input_size"] for row in log] == [[64, 32], [32, 32]]
    assert log[1]["mAP"] == pytest.approx(measure(small, others).mAP, abs=1e-6)
    out = export_run(folder, tmp_path / "half", which="last")
    assert SANEncoder.from_pretrained(out).input_size == (32, 32)
    assert not json.loads((out / "manifest_row.json").read_text())["metrics"]
    [at_its_size] = evaluate_run(folder, which="last").values()
    told = evaluate_run(folder, which="last", overrides=["encoder.input_size=[32,32]"])
    assert at_its_size.mAP == told["others"].mAP
    assert evaluate_run(folder, which="last", overrides=["encoder.input_size=[64,32]"])

    Engine(tiny_run(run=run, evaluation=watched), resume=True).run()
    log = [row for row in read_journal(folder / "log.jsonl") if row["kind"] == "evaluation"]
    assert [row["input_size"] for row in log] == [[64, 32], [32, 32], [64, 32]]
    row = json.loads((export_run(folder, tmp_path / "whole") / "manifest_row.json").read_text())
    assert row["config"]["input_size"] == [64, 32]
    assert row["metrics"][0]["mAP"] == log[-1]["mAP"]
    assert row["trained_with"]["config"]["run"]["sizes"] == [{"until_epoch": 1, "size": [32, 32]}]


def test_the_average_forgets_the_smaller_crops(tiny_run):
    def average_step(sizes):
        run = {"epochs": 2, "sizes": sizes}
        engine = Engine(tiny_run(f"run{len(sizes)}", run=run, ema={"decay": 0.99}))
        engine.run()
        return engine.learner.ema.step, len(engine.batches)

    whole, steps = average_step([])
    assert whole == 2 * steps
    assert average_step([{"until_epoch": 1, "size": [32, 32]}])[0] == steps


@pytest.mark.parametrize(
    ("measured", "kept"), [((0.9, 0.3, 0.2, 0.1), 0.3), ((0.1, 0.5, 0.2, 0.3), 0.5)]
)
def test_a_run_that_ends_within_its_first_epoch_of_the_final_size(
    tiny_run, tmp_path, monkeypatch, steps, measured, kept
):
    with_figures(monkeypatch, *measured)
    watched, best = {"every": 1}, tmp_path / "run" / "best.ckpt"
    Engine(tiny_run(run={**SMALL_FIRST, "max_steps": steps + 2}, evaluation=watched)).run()
    for _ in range(2):
        state = load_checkpoint(best)
        assert (state["metrics"]["others"]["mAP"], state["input_size"]) == (kept, (64, 32))
        Engine(tiny_run(run=SMALL_FIRST, evaluation=watched), resume=True).run()


def test_a_checkpoint_that_does_not_say_its_size_is_asked_how_far_it_came(small, tmp_path):
    own = evaluate_run(small, which="last")["others"].mAP
    state = load_checkpoint(small / "last.ckpt")
    del state["input_size"], state["format_version"]
    save_checkpoint(small / "last.ckpt", state)
    assert evaluate_run(small, which="last")["others"].mAP == own
    out = export_run(small, tmp_path / "out", which="last")
    assert SANEncoder.from_pretrained(out).input_size == (32, 32)


def test_weights_of_other_crops_than_the_run_are_measured_at_their_own_size(
    tiny_run, tmp_path, small
):
    export_run(small, tmp_path / "weights", which="last")
    run = {"epochs": 2, "sizes": [{"until_epoch": 1, "size": [48, 32]}], "max_steps": 1}
    Engine(tiny_run(run=run)).run()
    theirs = evaluate_weights(str(tmp_path / "weights"), tmp_path / "run")["others"].mAP
    assert theirs == pytest.approx(evaluate_run(small, which="last")["others"].mAP, abs=0.02)


def test_first_weights_of_small_crops_are_known(tiny_run, tmp_path, small, caplog):
    export_run(small, tmp_path / "weights", which="last")
    for start in ("small", "weights"):
        init, first = {"weights": str(tmp_path / start)}, {"at_start": True}
        caplog.clear()
        run = {**SMALL_FIRST, "max_steps": 1}
        Engine(tiny_run(f"{start}-on", run=run, init=init, evaluation=first)).run()
        assert "The first weights" not in caplog.text
        rows = read_journal(tmp_path / f"{start}-on" / "log.jsonl")
        sizes = [row["input_size"] for row in rows if row["kind"] == "evaluation"]
        assert sizes[0] == [32, 32]
        Engine(tiny_run(f"{start}-large", run={"max_steps": 1}, init=init))
        assert "crops of 32 x 32; this run begins with those of 64 x 32" in caplog.text


def test_clusters_are_made_at_the_size_that_the_network_reads(tmp_path, monkeypatch):
    crowd = paint_people(tmp_path / "crowd", people=6, crops=4)
    start = tiny_values(crowd, tmp_path / "start")
    start["encoder"]["input_size"] = [32, 32]
    start["run"]["max_steps"] = 1
    Engine(config_from_dict(start)).run()
    values = tiny_values(crowd, tmp_path / "run")
    values["init"] = {"weights": str(tmp_path / "start")}
    values["clusters"] = {"enabled": True, "threshold": 1.4, "settled": 1.0}
    values["loss"] = {"identity": 0.0, "triplet": 1.0, "cross_camera": 1.0}
    values["data"] |= {"p": 3, "k": 2}
    values["run"] |= {"epochs": 3, "sizes": [{"until_epoch": 1, "size": [32, 32]}]}
    seen = []

    def embed_and_tell(encoder, images, config, **options):
        seen.append(config.input_size)
        return embed(encoder, images, config, **options)

    monkeypatch.setattr(pseudo_labels, "embed", embed_and_tell)
    engine = Engine(config_from_dict(values))
    for epoch in range(3):
        engine.clusters._embedded(epoch, lambda: False)
    assert seen == [(32, 32), (32, 32), (64, 32)]


def test_curves_of_several_sizes_are_lines_of_their_own():
    rows = [{"set": "a", "input_size": [32, 32]}, {"set": "a", "input_size": [64, 32]}]
    assert list(_by_set(rows)) == ["a, 32 x 32", "a, 64 x 32"]
    assert list(_by_set(rows[1:])) == ["a"]
    assert list(_by_set([{"set": "a"}])) == ["a"]
