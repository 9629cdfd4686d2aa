"""The engine: it learns, resumes to the bit, stops on NaN, evaluates and exports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sanreid import SANEncoder
from sanreid.errors import ConfigError, TrainingError
from sanreid.train.__main__ import main
from sanreid.train.checkpoint import encoder_state, load_checkpoint, save_checkpoint
from sanreid.train.config import InitConfig, TrainConfig
from sanreid.train.config.loader import config_to_dict
from sanreid.train.evaluation.measuring import embed
from sanreid.train.loop import engine as engine_module
from sanreid.train.loop.engine import Engine
from sanreid.train.loop.journal import read_journal
from sanreid.train.loop.progress import _differences
from sanreid.train.loop.provenance import inherited_training_data
from sanreid.train.tools.evaluate import evaluate_run
from sanreid.train.tools.export import export_run
from sanreid.weights import locate
from tests.train.loop.measured import with_figures


def final_weights(folder):
    return load_checkpoint(folder / "last.ckpt")["model"]


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, x in one.items():
        assert torch.equal(x, other[key]), key


def test_a_run_learns_measures_and_exports(tiny_run, tmp_path, capsys, monkeypatch):
    config = tiny_run(
        run={"epochs": 4, "name": "tiny"}, ema={"decay": 0.5}, evaluation={"every": 2}
    )
    outcome = Engine(config).run()
    folder = tmp_path / "run"
    rows = read_journal(folder / "log.jsonl")
    train = [row for row in rows if row["kind"] == "train"]
    assert train[-1]["total"] < train[0]["total"]
    assert {"identity", "triplet", "lr", "images_per_s", "share_forward"} <= train[0].keys()
    assert [row["step"] for row in train] == list(range(1, outcome.step + 1))
    measured = [row["mAP"] for row in rows if row["kind"] == "evaluation"]
    assert len(measured) == 2
    assert load_checkpoint(folder / "best.ckpt")["metrics"]["others"]["mAP"] == max(measured)
    about = json.loads((folder / "run.json").read_text())
    assert about["training_data"] == [
        {"name": "people", "terms": "unknown", "identities": 8, "crops": 48}
    ]

    # The exported encoder gives the same figures through the public API.
    assert main(["export", str(folder), str(tmp_path / "weights"), "--float32", "--quiet"]) == 0
    assert "from_pretrained" in capsys.readouterr().out
    row = json.loads((tmp_path / "weights" / "manifest_row.json").read_text())
    assert row["name"] == "tiny"
    assert row["metrics"][0]["mAP"] == max(measured)
    assert row["trained_with"]["seed"] == 3
    from sanreid import SANEncoder, evaluate

    encoder = SANEncoder.from_pretrained(tmp_path / "weights", device="cpu", dtype="float32")
    source = config.evaluation.sets[0].sources[0]
    from sanreid.datasets import read_crops, split_by_camera

    query, gallery = split_by_camera(read_crops(source.folder, names="folders"))
    report = evaluate(
        encoder.encode(list(query.paths)), query.pids + 1, query.camids,
        encoder.encode(list(gallery.paths)), gallery.pids + 1, gallery.camids,
    )  # fmt: skip
    assert report.mAP == pytest.approx(max(measured), abs=1e-6)
    own = evaluate_run(folder)["others"]
    assert own.mAP == pytest.approx(max(measured), abs=1e-6)
    (tmp_path / "sets.toml").write_text(
        "[evaluation]\nflip = true\n[[evaluation.sets]]\nname = 'others'\n"
        f"sources = [{{ folder = '{source.folder}', names = 'folders' }}]\n"
    )
    flips = []

    def embed_and_tell(*args, **options):
        flips.append(options["flip"])
        return embed(*args, **options)

    monkeypatch.setattr("sanreid.train.evaluation.measuring.embed", embed_and_tell)
    assert evaluate_run(folder, sets=tmp_path / "sets.toml")["others"].mAP == own.mAP
    assert flips == [False]  # the sets are another's, how they are embedded is the run's own
    with pytest.raises(ConfigError, match="run has no evaluation sets"):
        evaluate_run(folder, overrides=["evaluation.sets=[]"])


@pytest.mark.parametrize("options", ["plain", "recipe"])
def test_stopped_after_some_steps_and_resumed_it_ends_the_same(
    tiny_run, tmp_path, recipe, options
):
    changes = {"ema": {"decay": 0.9}, "run": {"accumulate": 2}}
    changes |= recipe if options == "recipe" else {}
    Engine(tiny_run("whole", **changes)).run()
    for steps in (1, 4):
        limited = {**changes, "run": {**changes["run"], "max_steps": steps}}
        Engine(tiny_run("cut", **limited), resume=steps > 1).run()
    Engine(tiny_run("cut", **changes), resume=True).run()
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut"))
    whole = load_checkpoint(tmp_path / "whole" / "last.ckpt")["ema"]["average"]
    assert_same(whole, load_checkpoint(tmp_path / "cut" / "last.ckpt")["ema"]["average"])
    rows = [[row for row in read_journal(tmp_path / name / "log.jsonl")
             if row["kind"] == "train"] for name in ("whole", "cut")]  # fmt: skip
    steps = [[(row["step"], "tr" in row) for row in kept] for kept in rows]
    assert steps[0] == steps[1] == [(n, options == "recipe" and n % 2 == 1) for n in range(1, 7)]
    log = read_journal(tmp_path / "cut" / "log.jsonl")
    measured = [row["epoch"] for row in log if row["kind"] == "evaluation"]
    assert 0 < measured[0] < 1  # where run.max_steps ended it, within the first epoch
    assert measured[-1] == 2


def test_the_same_seed_gives_the_same_weights_and_the_global_generator_is_left_alone(
    tiny_run, tmp_path
):
    before = torch.get_rng_state()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        Engine(tiny_run(name, run={"epochs": 1, "seed": seed})).run()
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(final_weights(tmp_path / "a"), final_weights(tmp_path / "b"))
    key = "encoder.trunk.conv1.weight"
    assert not torch.equal(final_weights(tmp_path / "a")[key], final_weights(tmp_path / "c")[key])


def test_what_the_network_draws_in_a_step_is_drawn_again_after_a_resume(tiny_run, tmp_path):
    def run(name, *, resume=False, **limits):
        engine = Engine(tiny_run(name, run=limits, evaluation={"sets": []}), resume=resume)
        engine.learner.network.encoder.head.register_forward_hook(
            lambda module, _, output: torch.nn.functional.dropout(output, 0.5, module.training)
        )
        engine.run()

    run("whole")
    run("cut", max_steps=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)  # as another process would have it
        run("cut", resume=True)
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut"))


def test_a_folder_is_held_by_one_run(tiny_run, tmp_path):
    first = Engine(tiny_run(run={"max_steps": 2}, evaluation={"sets": []}))
    second = Engine(tiny_run(run={"max_steps": 2}, evaluation={"sets": []}))
    take = first.learner.step

    def step(*args, **options):
        with pytest.raises(TrainingError, match=rf"run is being written by process {os.getpid()}"):
            second.run()
        return take(*args, **options)

    first.learner.step = step
    first.run()
    rows = read_journal(tmp_path / "run" / "log.jsonl")
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2]
    with pytest.raises(TrainingError, match="wrote in .* while this one was being prepared"):
        second.run()  # what it was to begin with is no longer there
    Engine(tiny_run(run={"max_steps": 3}, evaluation={"sets": []}), resume=True).run()


def test_a_folder_is_released_on_an_error(tiny_run):
    broken = Engine(tiny_run())
    with torch.no_grad():
        broken.learner.network.classifier.weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="NaN"):
        broken.run()
    Engine(tiny_run(run={"max_steps": 1}, evaluation={"sets": []})).run()


def test_frozen_parts_keep_weights_and_statistics(tiny_run, tmp_path):
    engine = Engine(tiny_run(init={"freeze": ["stem", "layer1"]}, run={"epochs": 1}))
    before = {k: x.clone() for k, x in engine.learner.network.state_dict().items()}
    engine.run()
    for key, x in engine.learner.network.state_dict().items():
        frozen = key.startswith(
            ("encoder.trunk.conv1", "encoder.trunk.bn1", "encoder.trunk.layer1")
        )
        if frozen:
            assert torch.equal(x, before[key]), key
        elif x.is_floating_point() and x.ndim > 1:
            assert not torch.equal(x, before[key]), key


def test_nan_stops_with_the_names_of_the_batch_and_a_sound_checkpoint(tiny_run, tmp_path):
    Engine(tiny_run(run={"max_steps": 2})).run()
    engine = Engine(tiny_run(), resume=True)
    with torch.no_grad():
        engine.learner.network.classifier.weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match=r"step 2 the loss .*person\d\d/c\d_00\d.png"):
        engine.run()
    record = json.loads((tmp_path / "run" / "not-finite-rank0.json").read_text())
    assert len(record["crops"]) == 8
    assert all(x.isfinite().all() for x in final_weights(tmp_path / "run").values())


def test_an_infinite_gradient_stops_before_it_reaches_the_weights(tiny_run, tmp_path):
    engine = Engine(tiny_run())
    engine.learner.network.classifier.weight.register_hook(lambda g: g * float("inf"))
    with pytest.raises(TrainingError, match="gradient"):
        engine.run()
    assert all(x.isfinite().all() for x in engine.learner.network.state_dict().values())


def test_steps_told_of_one_later_are_the_same_steps(tiny_run, tmp_path):
    # On a GPU the host reads each step's figures one step later.
    for name, lag in (("at-once", 0), ("later", 1)):
        engine = Engine(tiny_run(name, run={"epochs": 1}, evaluation={"sets": []}))
        engine.lag = lag
        engine.run()
    assert_same(final_weights(tmp_path / "at-once"), final_weights(tmp_path / "later"))
    logs = [read_journal(tmp_path / name / "log.jsonl") for name in ("at-once", "later")]
    assert [row["total"] for row in logs[0]] == [row["total"] for row in logs[1]]
    assert [row["epoch"] for row in logs[0]] == [row["epoch"] for row in logs[1]]


@pytest.mark.parametrize("lag", [0, 1])
def test_nan_is_found_however_late_and_has_changed_nothing(tiny_run, tmp_path, lag):
    # A checkpoint is due after every step; none may have what is not finite.
    engine = Engine(tiny_run(evaluation={"sets": []}, run={"checkpoint_every_s": 0}))
    engine.lag = lag
    with torch.no_grad():
        engine.learner.network.classifier.weight[0, 0] = float("nan")
    before = {k: x.clone() for k, x in engine.learner.network.named_parameters()}
    with pytest.raises(TrainingError, match=r"step 0 the loss \(identity\) is NaN"):
        engine.run()
    for key, x in engine.learner.network.named_parameters():
        torch.testing.assert_close(x, before[key], rtol=0, atol=0, equal_nan=True, msg=key)
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_a_measurement_that_a_signal_cut_short_is_made_after_the_resume(
    tiny_run, tmp_path, monkeypatch
):
    config = tiny_run(run={"epochs": 2}, evaluation={"every": 1})
    engine = Engine(config)

    def cut_short(*_, **__):
        engine.stop_request.signal = signal.SIGTERM

    monkeypatch.setattr(engine_module, "figures", cut_short)
    assert engine.run().stopped_by == signal.SIGTERM
    # A line that was written before a crash, but after the last checkpoint, is not kept.
    with (tmp_path / "run" / "log.jsonl").open("a") as log:
        log.write(json.dumps({"kind": "evaluation", "step": engine.progress.step}) + "\n")
    monkeypatch.setattr(engine_module, "figures", lambda *_, **__: {"others": {"mAP": 0.5}})
    assert Engine(config, resume=True).run().stopped_by is None
    rows = read_journal(tmp_path / "run" / "log.jsonl")
    measured = [(row["epoch"], row["mAP"]) for row in rows if row["kind"] == "evaluation"]
    assert measured == [(1, 0.5), (2, 0.5)]


def test_a_measurement_at_the_start_is_made_once(tiny_run, tmp_path, monkeypatch):
    config = tiny_run(run={"max_steps": 1}, evaluation={"at_start": True})
    engine = Engine(config)

    def measured_and_stopped(*_, **__):
        engine.stop_request.signal = signal.SIGTERM
        return {"others": {"mAP": 0.5}}

    monkeypatch.setattr(engine_module, "figures", measured_and_stopped)
    assert engine.run().stopped_by == signal.SIGTERM
    Engine(config, resume=True).run()
    rows = read_journal(tmp_path / "run" / "log.jsonl")
    assert [row["step"] for row in rows if row["kind"] == "evaluation"] == [0, 1]


def test_a_checkpoint_has_the_figures_of_its_own_weights_alone(tiny_run):
    engine = Engine(tiny_run(evaluation={"sets": []}))
    engine.progress.metrics = {"others": {"mAP": 0.5}}
    engine.progress.measured_step = engine.progress.step = 7
    assert engine._about()["metrics"] == {"others": {"mAP": 0.5}}
    engine.progress.step = 8
    assert engine._about()["metrics"] == {}


def test_parts_thawed_after_some_epochs_learn_from_then_on(tiny_run, tmp_path):
    changes = {"init": {"freeze": ["stem"], "freeze_epochs": 1}, "evaluation": {"sets": []}}
    engine = Engine(tiny_run("whole", **changes))
    key = "encoder.trunk.conv1.weight"
    start = engine.learner.network.state_dict()[key].clone()
    steps = engine.steps_per_epoch
    engine.run()
    cut = tiny_run("cut", run={"max_steps": steps}, **changes)
    Engine(cut).run()
    assert torch.equal(final_weights(tmp_path / "cut")[key], start)
    assert not torch.equal(final_weights(tmp_path / "whole")[key], start)
    Engine(tiny_run("cut", **changes), resume=True).run()
    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut"))


def test_the_decoders_terms_warm_up(tiny_run):
    engine = Engine(tiny_run(loss={"decoder_warmup_epochs": 0.5}, evaluation={"sets": []}))
    half = engine.steps_per_epoch / 2
    shares = []
    for step in range(engine.steps_per_epoch):
        engine.progress.step = step
        shares.append(engine._decoder_share())
    assert shares[0] == pytest.approx(1 / half)
    assert shares == sorted(shares)
    assert [share == 1 for share in shares] == [n + 1 >= half for n in range(len(shares))]


def test_crops_may_move_before_a_resume_and_nothing_else_may_change(tiny_run):
    old = config_to_dict(tiny_run())
    new = config_to_dict(tiny_run())
    new["data"]["sources"][0]["folder"] = "/elsewhere/people"
    new["data"]["cache_dir"] = "cache"
    assert _differences(old, new) == []
    new["data"]["sources"][0]["max_identities"] = 5
    new["data"]["p"] = 2
    found = _differences(old, new)
    assert [one.split(" was")[0] for one in found] == ["data.p", "data.sources"]
    new = config_to_dict(tiny_run(data={"store": "device"}, evaluation={"flip": True}))
    assert _differences(old, new) == []  # nor what nothing is learned with
    new["data"]["sources"][0]["textures"] = old["data"]["sources"][0]["textures"] = "t.tex"
    new["clusters"]["enabled"] = old["clusters"]["enabled"] = True
    found = _differences(old, new)
    assert [one.split(" was")[0] for one in found] == ["data.store", "evaluation.flip"]
    new = config_to_dict(tiny_run(init={"weights": "w.safetensors"}))
    old = config_to_dict(tiny_run())
    assert [one.split(" was")[0] for one in _differences(old, new)] == ["init.weights"]


def test_terms_may_be_corrected_on_resume(tiny_run, people, tmp_path):
    Engine(tiny_run(run={"max_steps": 1})).run()
    source = {"folder": str(people), "names": "folders", "name": "shop", "terms": "our own"}
    data = {"sources": [source], "p": 4, "k": 2}
    Engine(tiny_run(data=data, run={"max_steps": 2}), resume=True).run()
    (taught,) = load_checkpoint(tmp_path / "run" / "last.ckpt")["training_data"]
    assert (taught["name"], taught["terms"]) == ("shop", "our own")


def test_a_checkpoint_of_another_kind_is_not_resumed_from(tiny_run, tmp_path):
    config = tiny_run()
    (tmp_path / "run").mkdir()
    save_checkpoint(tmp_path / "run" / "last.ckpt", {"config": config_to_dict(config)})
    with pytest.raises(TrainingError, match=r"lacks data_digest, progress, model, optimizer"):
        Engine(config, resume=True)


def test_a_folder_with_a_run_is_not_overwritten_and_another_one_not_resumed(tiny_run, tmp_path):
    with pytest.raises(TrainingError, match="no run to resume"):
        Engine(tiny_run(), resume=True)
    Engine(tiny_run(run={"max_steps": 1})).run()
    with pytest.raises(TrainingError, match="--resume"):
        Engine(tiny_run())
    with pytest.raises(TrainingError, match=r"optimizer.lr was 0.001, is 0.1"):
        Engine(tiny_run(optimizer={"lr": 0.1}), resume=True)
    (tmp_path / "run" / "last.ckpt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(TrainingError, match="cannot be read as a checkpoint"):
        Engine(tiny_run(), resume=True)


def test_other_crops_are_noticed_on_resume(tiny_run, others):
    Engine(tiny_run(run={"max_steps": 1})).run()
    data = {"sources": [{"folder": str(others), "names": "folders"}], "p": 4, "k": 2}
    state = Engine(tiny_run("x", data=data, run={"max_steps": 1}))
    state.run()
    path = state.folder / "last.ckpt"
    saved = load_checkpoint(path)
    saved["config"] = config_to_dict(tiny_run("x"))
    saved["num_classes"] = 8
    torch.save(saved, path)
    with pytest.raises(TrainingError, match="crops are not those"):
        Engine(tiny_run("x"), resume=True)


def test_bf16_and_progressive_sizes_and_accumulation_run(tiny_run):
    sizes = [{"until_epoch": 1, "size": [48, 32]}]
    run = {"precision": "bf16", "sizes": sizes, "accumulate": 4, "epochs": 2}
    outcome = Engine(tiny_run(run=run)).run()
    assert outcome.step == 2 * -(-len(Engine(tiny_run("y", run=run)).batches) // 4)


def test_weights_before_the_first_step_are_never_the_best(tiny_run, tmp_path, monkeypatch):
    with_figures(monkeypatch, 0.9, 0.2, 0.1)
    Engine(tiny_run(evaluation={"at_start": True, "every": 1})).run()
    best = load_checkpoint(tmp_path / "run" / "best.ckpt")
    assert best["metrics"]["others"]["mAP"] == 0.2
    assert best["step"] > 0


@pytest.mark.parametrize("now", ["moved", "all", "flip", "elsewhere"])
def test_the_best_by_another_set_are_not_compared(tiny_run, tmp_path, monkeypatch, others, now):
    with_figures(monkeypatch, 0.9, 0.2)
    Engine(tiny_run(run={"max_steps": 2}, evaluation={"every": 1})).run()
    where = tmp_path / "moved" / ("strangers" if now == "elsewhere" else "others")
    shutil.copytree(others, where)
    one = {"name": "others", "sources": [{"folder": str(where), "names": "folders"}]}
    if now == "all":
        one |= {"queries": "all", "gallery": "all"}
    evaluation = {"sets": [one], "flip": now == "flip"}
    Engine(tiny_run(run={"max_steps": 3}, evaluation=evaluation), resume=True).run()
    best = load_checkpoint(tmp_path / "run" / "best.ckpt")
    assert best["metrics"]["others"]["mAP"] == (0.9 if now == "moved" else 0.2)


def test_training_data_of_the_first_weights_is_told_on(tiny_run, people, others, tmp_path):
    Engine(tiny_run("first", run={"max_steps": 1})).run()
    assert main(["export", str(tmp_path / "first"), str(tmp_path / "out"), "--which", "last",
                 "--quiet"]) == 0  # fmt: skip
    own = {"sources": [{"folder": str(others), "names": "folders"}]}
    for start in ("first", "first/last.ckpt", "out"):
        name = start.replace("/", "-") + "-second"
        init = {"weights": str(tmp_path / start)}
        Engine(tiny_run(name, data=own, init=init, run={"max_steps": 1})).run()
        Engine(tiny_run(name, data=own, init=init, run={"max_steps": 2}), resume=True).run()
        taught = load_checkpoint(tmp_path / name / "last.ckpt")["training_data"]
        assert [row["name"] for row in taught] == ["others", "people"]
    SANEncoder.from_pretrained(tmp_path / "out", device="cpu").save_pretrained(tmp_path / "kept")
    for start in ("kept", "kept/model.safetensors"):
        assert inherited_training_data(InitConfig(weights=str(tmp_path / start))) == taught[1:]
    save_file(
        load_file(tmp_path / "out" / "model.safetensors"), tmp_path / "out" / "bare.safetensors"
    )
    (tmp_path / "out" / "bare.safetensors").replace(tmp_path / "out" / "model.safetensors")
    assert (
        inherited_training_data(InitConfig(weights=str(tmp_path / "out"))) == []
    )  # the row is another's
    bundled = locate("san-r50")
    assert inherited_training_data(InitConfig(weights=str(bundled.path))) == list(
        bundled.entry.training_data
    )


def test_fp16_with_tensorboard_resumes(tiny_run, tmp_path):
    pytest.importorskip("tensorboard")
    run = {"precision": "fp16", "tensorboard": True}
    Engine(tiny_run(run={**run, "max_steps": 2})).run()
    scale = load_checkpoint(tmp_path / "run" / "last.ckpt")["scaler"]["scale"]
    engine = Engine(tiny_run(run={**run, "max_steps": 3}), resume=True)
    assert engine.learner.scaler.get_scale() == scale
    assert engine.run().step == 3
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_joint_batch_norm_is_refused_on_the_cpu(tiny_run, monkeypatch):
    monkeypatch.setattr(engine_module.runtime, "world_size", lambda: 2)
    with pytest.raises(ConfigError, match=r"run.sync_bn is for CUDA"):
        Engine(tiny_run(run={"sync_bn": True, "device": "cpu"}))


def test_no_sources_is_an_error():
    with pytest.raises(ConfigError, match="data.sources is empty"):
        Engine(TrainConfig())


def write_toml(config, path):
    """Write what --set and a file can say of ``config`` as TOML, by way of JSON's likeness."""
    lines = []
    for section, settings in config_to_dict(config).items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {toml(value)}" for key, value in settings.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def start(path, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "sanreid.train", str(path), "--quiet", *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    """Wait for the end; give the exit status, after a crash its message."""
    _, errors = process.communicate(timeout=300)
    assert process.returncode in {0, -signal.SIGKILL, 128 + signal.SIGTERM}, errors
    return process.returncode


def wait_for_steps(folder, count, process):
    log = folder / "log.jsonl"
    for _ in range(1200):
        if log.is_file() and len(read_journal(log)) >= count:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("the run did not get going")


@pytest.mark.slow
def test_killed_and_terminated_runs_end_with_the_same_weights(tiny_run, tmp_path):
    changes = {"run": {"epochs": 4, "checkpoint_every_s": 0, "threads": 1},
               "evaluation": {"sets": []}}  # fmt: skip
    whole = write_toml(tiny_run("whole", **changes), tmp_path / "whole.toml")
    cut = write_toml(tiny_run("cut", **changes), tmp_path / "cut.toml")
    assert finished(start(whole)) == 0

    process = start(cut)
    wait_for_steps(tmp_path / "cut", 5, process)
    process.kill()
    assert finished(process) == -signal.SIGKILL
    process = start(cut, "--resume")
    wait_for_steps(tmp_path / "cut", 12, process)
    process.send_signal(signal.SIGTERM)
    assert finished(process) == 128 + signal.SIGTERM
    assert finished(start(cut, "--resume")) == 0

    assert_same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut"))
    train = [row["step"] for row in read_journal(tmp_path / "cut" / "log.jsonl")]
    assert train == list(range(1, len(train) + 1))


def test_export_refuses_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(TrainingError, match="it holds no run"):
        export_run(tmp_path, tmp_path / "out")


def test_export_at_another_size_keeps_the_record_and_drops_the_figures(tiny_run, tmp_path):
    Engine(tiny_run(run={"epochs": 1}, evaluation={"every": 1})).run()
    run = tmp_path / "run"
    own = export_run(run, tmp_path / "own")
    other = export_run(run, tmp_path / "other", input_size=(48, 40))
    rows = [json.loads((out / "manifest_row.json").read_text()) for out in (own, other)]
    assert rows[0]["metrics"]
    assert not rows[1]["metrics"]
    assert rows[1]["config"] == rows[0]["config"] | {"input_size": [48, 40]}
    assert rows[1]["trained_with"] == rows[0]["trained_with"]
    assert SANEncoder.from_pretrained(other).input_size == (48, 40)
    command = ["export", str(run), str(tmp_path / "cli"), "--input-size", "48", "40", "--quiet"]
    assert main(command) == 0
    assert SANEncoder.from_pretrained(tmp_path / "cli").input_size == (48, 40)
    for wrong in ((48, 0), ()):
        with pytest.raises(ConfigError, match="input_size must be"):
            export_run(run, tmp_path / "wrong", input_size=wrong)
    assert not (tmp_path / "wrong").exists()


def test_the_average_is_what_is_exported(tiny_run, tmp_path):
    Engine(tiny_run(run={"max_steps": 3}, ema={"decay": 0.9})).run()
    state = load_checkpoint(tmp_path / "run" / "last.ckpt")
    key = "trunk.conv1.weight"
    assert torch.equal(encoder_state(state)[key], state["ema"]["average"][f"encoder.{key}"])
    assert not torch.equal(encoder_state(state)[key], state["model"][f"encoder.{key}"])


def test_sigterm_before_the_first_step(tiny_run, tmp_path, monkeypatch):
    path = write_toml(tiny_run(), tmp_path / "run.toml")
    stop = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731 - an Engine's work
    monkeypatch.setattr("sanreid.train.loop.engine.Engine", stop)
    assert main([str(path), "--quiet"]) == 128 + signal.SIGTERM


def test_the_command_line(tiny_run, tmp_path, capsys, caplog):
    path = write_toml(tiny_run(), tmp_path / "run.toml")
    assert main(["--quiet", "--set", "run.max_steps=2", str(path)]) == 0
    assert main(["run", str(path), "--quiet"]) == 1
    assert "--resume" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "run"), "--which", "last", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 < figures["others"]["mAP"] <= 1
    assert np.isfinite(figures["others"]["mINP"])
    assert main(["evaluate", str(tmp_path / "run"), "--which", "last"]) == 0
    assert "mAP" in capsys.readouterr().out
    other = tmp_path / "other"
    assert (
        main([str(path), "--quiet", "--set", "run.max_steps=1", "--set", f"run.output={other}"])
        == 0
    )
    run = str(tmp_path / "run")
    assert main(["evaluate", run, "--which", "last", "--against", str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["others"]
    assert found["mAP"] == figures["others"]["mAP"]
    assert found["gain_low"] <= found["gain"] <= found["gain_high"]
    assert main(["evaluate", run, "--which", "last", "--against", run]) == 0
    assert "mAP +0.0000 against" in capsys.readouterr().out
    weights = tmp_path / "weights"
    assert main(["export", run, str(weights), "--which", "last", "--float32", "--quiet"]) == 0
    assert main(["evaluate", run, "--which", "last", "--against", str(weights), "--quiet"]) == 0
    assert f"mAP +0.0000 against {weights}" in capsys.readouterr().out
    text = (weights / "config.json").read_text().replace("64,", "48,")
    (weights / "config.json").write_text(text)
    assert main(["evaluate", run, "--which", "last", "--against", str(weights), "--quiet"]) == 0
    assert "embeds crops of 48 x 32, the run those of 64 x 32" in caplog.text
    assert "mAP +0.0000" not in capsys.readouterr().out
    assert main([str(path), "--set", "optimizer.rl=1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "file").touch()
    assert main([str(path), "--quiet", "--set", f"run.output={tmp_path / 'file'}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1  # the system's error, on one line
    assert main([str(path), "--set", "run.device=mps"]) == 1
    assert "must be auto, cpu or cuda" in capsys.readouterr().err
    assert main(["list"]) == 0
    assert "cpu-hour" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate"])
    assert stopped.value.code == 2
