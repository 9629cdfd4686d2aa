"""The engine's parts: schedules, average, checkpoints, log, first weights, measuring."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sanreid.config import EncoderConfig
from sanreid.errors import InputError, MissingExtraError, TrainingError, WeightsError
from sanreid.models.backbone import ResNetTrunk
from sanreid.train.config import (
    DecoderConfig,
    InitConfig,
    OptimizerConfig,
)
from sanreid.train.data.sources import step_generator
from sanreid.train.loop.checkpoint import load_checkpoint, save_checkpoint
from sanreid.train.loop.ema import WeightAverage
from sanreid.train.loop.journal import Journal, Meter, Stopwatch, read_journal
from sanreid.train.loop.optimizer import (
    build_optimizer,
    guarded_step,
    learning_rate,
    set_learning_rate,
)
from sanreid.train.loop.pictures import sheet
from sanreid.train.loop.version import commit
from sanreid.train.networks.initialization import freeze, keep_frozen_in_eval, load_first_weights
from sanreid.train.networks.san import build_san, build_san_pg
from sanreid.train.textures.generator import save_generator
from sanreid.train.tools.find_lr import find_lr
from sanreid.utils.files import atomic_write_text

TINY = EncoderConfig(backbone="resnet18", embedding_dim=8, input_size=(64, 32))


# --- schedules and groups -------------------------------------------------------------------


def rates(**values):
    config = OptimizerConfig(lr=1.0, **values)
    return [learning_rate(n, config, steps_per_epoch=10, total_steps=100) for n in range(100)]


def test_one_cycle_rises_to_the_peak_and_falls_to_the_end():
    lr = rates(schedule="one_cycle", warmup_epochs=2.0, warmup_start=0.1, final=0.01)
    assert lr[0] == pytest.approx(0.1)
    assert lr[10] == pytest.approx(0.55)  # half way up a cosine
    assert lr[20] == pytest.approx(1.0)
    assert lr[60] == pytest.approx(0.505)  # half way down
    assert lr[99] == pytest.approx(0.01, abs=1e-3)
    assert lr[:21] == sorted(lr[:21])
    assert lr[20:] == sorted(lr[20:], reverse=True)


def test_multi_step_with_a_straight_warm_up():
    lr = rates(schedule="multi_step", warmup_epochs=1.0, warmup_start=0.0, milestones=(4, 6),
               gamma=0.5)  # fmt: skip
    assert lr[:3] == pytest.approx([0.0, 0.1, 0.2])
    assert (lr[10], lr[39], lr[40], lr[59], lr[60]) == (1.0, 1.0, 0.5, 0.5, 0.25)


def test_constant_and_no_warm_up():
    assert set(rates(schedule="constant", warmup_epochs=0.0)) == {1.0}
    assert rates(schedule="cosine", warmup_epochs=0.0)[0] == 1.0


def test_groups_have_their_rates_and_vectors_are_not_decayed():
    network = build_san(TINY, num_classes=3, decoder=DecoderConfig(width=32))
    freeze(network.encoder.trunk, ("stem",))
    config = OptimizerConfig(lr=1.0, weight_decay=0.5, head_lr_factor=2.0, decoder_lr_factor=3.0)
    optimizer = build_optimizer(network, config)
    set_learning_rate(optimizer, 0.1)
    found = {g["name"]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups}
    assert found == {
        "trunk": (0.1, 0.5), "trunk, not decayed": (0.1, 0.0),
        "head": (0.2, 0.5), "head, not decayed": (0.2, 0.0),
        "decoder": (pytest.approx(0.3), 0.5), "decoder, not decayed": (pytest.approx(0.3), 0.0),
    }  # fmt: skip
    members = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert id(network.encoder.trunk.conv1.weight) not in members
    assert len(members) == sum(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("adamw", "AdamW"), ("adam", "Adam"), ("amsgrad", "Adam"), ("sgd", "SGD")],
)
def test_kinds_of_optimizer(kind, wanted):
    optimizer = build_optimizer(nn.Linear(2, 2), OptimizerConfig(kind=kind))
    assert type(optimizer).__name__ == wanted
    assert optimizer.defaults.get("amsgrad", False) == (kind == "amsgrad")


@pytest.mark.parametrize("kind", ["adamw", "adam", "amsgrad", "sgd"])
def test_a_guarded_step_is_a_step_or_nothing(kind):
    module = nn.Linear(3, 2)
    optimizer = build_optimizer(module, OptimizerConfig(kind=kind, lr=0.1, weight_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    module(torch.ones(1, 3)).sum().backward()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    guarded_step(optimizer, skip=torch.tensor(True))
    for name, p in module.named_parameters():
        assert torch.equal(p, before[name])
    guarded_step(optimizer, skip=torch.tensor(False))
    for name, p in module.named_parameters():
        assert not torch.equal(p, before[name])


# --- average --------------------------------------------------------------------------------


def test_the_average_follows_its_definition():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = WeightAverage(module, decay=0.5, warmup=False)
    for value in (1.0, 3.0):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update(module)
    assert average.average["weight"].item() == pytest.approx(0.5 * (0.5 * 1) + 0.5 * 3)
    with average.swapped_into(module):
        assert module.weight.item() == pytest.approx(1.75)
    assert module.weight.item() == 3.0


def test_the_warm_up_forgets_the_start():
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(module, decay=0.999)
    with torch.no_grad():
        average.average["weight"].fill_(0.0)
        module.weight.fill_(1.0)
    average.update(module)
    assert average.average["weight"].item() == pytest.approx(1 - 2 / 11)
    again = WeightAverage(module, decay=0.999)
    again.load_state_dict(average.state_dict())
    assert again.step == 1
    assert torch.equal(again.average["weight"], average.average["weight"])


# --- checkpoints and log --------------------------------------------------------------------


def full_disk(*_):
    raise RuntimeError("the disk is full")


def test_checkpoints_come_back_and_a_failure_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"x": torch.arange(3), "n": 1})
    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(TrainingError, match=r"cannot be written: the disk is full.*--resume"):
        save_checkpoint(path, {"x": torch.zeros(3), "n": 2})
    assert load_checkpoint(path)["n"] == 1
    assert [one.name for one in tmp_path.iterdir()] == ["last.ckpt"]


def test_one_wrong_bit_in_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"x": torch.ones(1000)})
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(3).numpy().tobytes()) + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrainingError, match=r"damaged.* checksum of .*data"):
        load_checkpoint(path)


def test_foreign_checkpoints_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint"):
        load_checkpoint(tmp_path / "missing.ckpt")
    torch.save({"format_version": 99}, tmp_path / "new.ckpt")
    with pytest.raises(TrainingError, match="format 99"):
        load_checkpoint(tmp_path / "new.ckpt")
    torch.save(nn.Linear(1, 1), tmp_path / "module.ckpt")  # an object, not tensors
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path / "module.ckpt")


def test_the_log_drops_what_will_happen_again_and_a_line_cut_short(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"kind": "train", "step": n}) for n in (1, 2, 3)]
    atomic_write_text(path, "\n".join(lines) + '\n{"kind": "tr')
    assert len(read_journal(path)) == 3
    journal = Journal(tmp_path, resume_step=2, tensorboard=False)
    journal.write("train", 3, {"total": 1.0})
    journal.close()
    assert [row.get("total") for row in read_journal(path)] == [None, None, 1.0]
    fresh = Journal(tmp_path, resume_step=None, tensorboard=False)
    fresh.close()
    assert read_journal(path) == []
    Journal(tmp_path / "nowhere", resume_step=None, tensorboard=False, enabled=False).close()


def test_tensorboard_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"sanreid\[train\]"):
        Journal(tmp_path, resume_step=None, tensorboard=True)


def test_shares_add_up_and_means_are_means():
    watch = Stopwatch(torch.device("cpu"))
    assert watch.shares() == {}
    watch.seconds.update({"data": 1.0, "forward": 3.0})
    assert watch.shares() == {"data": 0.25, "forward": 0.75}
    watch.next_step()
    with watch.part("data"):
        pass
    assert sum(watch.shares().values()) == pytest.approx(1, abs=1e-3)
    meter = Meter()
    meter.add({"total": 1.0, "lr": 0.1}, crops=8, seconds=2.0)
    meter.add({"total": 3.0, "lr": 0.1}, crops=8, seconds=2.0)
    assert meter.means() == {"total": 2.0, "lr": pytest.approx(0.1), "images_per_s": 4.0}
    assert set(meter.shown()) == {"total", "images_per_s"}


# --- first weights --------------------------------------------------------------------------


def test_a_trunk_an_encoder_and_a_whole_san_start_another(tmp_path):
    source = build_san(TINY, num_classes=3, decoder=DecoderConfig(width=32))
    trunk = {k: x.clone() for k, x in source.encoder.trunk.state_dict().items()}
    trunk["fc.weight"] = torch.zeros(1000, 512)
    save_file(trunk, tmp_path / "torchvision.safetensors")
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(source.encoder.state_dict(), folder / "model.safetensors")
    san_pg = build_san_pg(TINY, DecoderConfig(width=32))
    save_checkpoint(tmp_path / "last.ckpt", {"model": san_pg.state_dict()})

    def started(**init):
        other = build_san(TINY, num_classes=5, decoder=DecoderConfig(width=32))
        load_first_weights(other, InitConfig(**init))
        return other

    for name in ("torchvision.safetensors", "weights"):
        other = started(weights=str(tmp_path / name))
        assert torch.equal(other.encoder.trunk.conv1.weight, source.encoder.trunk.conv1.weight)
    assert torch.equal(other.encoder.head.reduction.weight, source.encoder.head.reduction.weight)
    other = started(weights=str(tmp_path))  # a run's folder, by its checkpoint
    assert torch.equal(other.decoder.paint.weight, san_pg.decoder.paint.weight)
    assert torch.equal(other.encoder.trunk.conv1.weight, san_pg.encoder.trunk.conv1.weight)
    other = started(weights=str(tmp_path / "weights"), decoder=str(tmp_path / "last.ckpt"))
    assert torch.equal(other.decoder.paint.weight, san_pg.decoder.paint.weight)


@pytest.mark.parametrize("origin", ["baseline run", "SAN-PG's run", "SAN-PG's directory"])
def test_a_run_and_a_texture_generator_start_a_network_with_another_head(tmp_path, origin, caplog):
    pooled = EncoderConfig(backbone="resnet18", head="pool", embedding_dim=512)
    decoder = DecoderConfig(width=32)
    source = build_san_pg(pooled, decoder)
    if origin == "baseline run":
        source = build_san(pooled, num_classes=3)
    if origin == "SAN-PG's directory":
        save_generator(source, pooled, decoder, tmp_path)
    else:
        save_checkpoint(tmp_path / "last.ckpt", {"model": source.state_dict()})
    other = build_san(TINY, num_classes=5, decoder=decoder)
    with caplog.at_level("INFO"):
        load_first_weights(other, InitConfig(weights=str(tmp_path)))
    assert "has another pooling or head" in caplog.text
    close = {"rtol": 1e-3, "atol": 1e-6}  # the directory keeps float16
    for name, value in source.encoder.trunk.named_parameters():
        torch.testing.assert_close(other.encoder.trunk.get_parameter(name), value, **close)
    if origin != "baseline run":
        torch.testing.assert_close(
            other.decoder.paint.weight, source.decoder.paint.weight, **close
        )


def test_a_whole_resnet_starts_one_cut_after_layer3(tmp_path):
    whole = ResNetTrunk("resnet50")
    save_file({"fc.bias": torch.zeros(10), **whole.state_dict()}, tmp_path / "whole.safetensors")
    config = EncoderConfig(backbone="resnet50-c4", head="pool", embedding_dim=1024)
    cut = build_san_pg(config, DecoderConfig(width=32))
    load_first_weights(cut, InitConfig(weights=str(tmp_path / "whole.safetensors")))
    for name, value in cut.encoder.trunk.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name])
    as_encoder = {f"trunk.{name}": value for name, value in whole.state_dict().items()}
    save_file(as_encoder, tmp_path / "encoder.safetensors")
    other = build_san_pg(config, DecoderConfig(width=32))
    load_first_weights(other, InitConfig(weights=str(tmp_path / "encoder.safetensors")))
    assert torch.equal(other.encoder.trunk.layer3[5].bn3.weight, whole.layer3[5].bn3.weight)
    assert torch.equal(other.encoder.trunk.conv1.weight, whole.conv1.weight)


def test_weights_that_do_not_fit_are_refused_and_change_nothing(tmp_path):
    network = build_san(TINY, num_classes=3)
    before = network.encoder.trunk.conv1.weight.clone()
    with pytest.raises(WeightsError, match="no weights at"):
        load_first_weights(network, InitConfig(weights=str(tmp_path / "none.safetensors")))
    with pytest.raises(WeightsError, match="neither model.safetensors nor last.ckpt"):
        load_first_weights(network, InitConfig(weights=str(tmp_path)))
    bad = {k: x for k, x in network.encoder.trunk.state_dict().items() if k != "conv1.weight"}
    save_file(bad, tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match=r"missing \['conv1.weight'\]"):
        load_first_weights(network, InitConfig(weights=str(tmp_path / "bad.safetensors")))
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_first_weights(network, InitConfig(weights=str(tmp_path / "junk.safetensors")))
    with pytest.raises(WeightsError, match="no loss needs a decoder"):
        load_first_weights(network, InitConfig(decoder=str(tmp_path)))
    assert torch.equal(network.encoder.trunk.conv1.weight, before)


def test_frozen_parts_stay_in_eval():
    network = build_san(TINY, num_classes=3)
    freeze(network.encoder.trunk, ("stem", "layer1"))
    network.train()
    keep_frozen_in_eval(network.encoder.trunk, ("stem", "layer1"))
    assert not network.encoder.trunk.bn1.training
    assert not network.encoder.trunk.layer1[0].bn1.training
    assert network.encoder.trunk.layer2[0].bn1.training
    network(torch.randn(4, 3, 64, 32)).logits.sum().backward()
    assert network.encoder.trunk.layer1[0].conv1.weight.grad is None
    assert network.encoder.trunk.layer2[0].conv1.weight.grad is not None


# --- the rest -------------------------------------------------------------------------------


def test_a_batch_s_generator_depends_on_seed_and_number_alone():
    draw = lambda *which: torch.rand(3, generator=step_generator(*which))  # noqa: E731
    assert torch.equal(draw(1, 5), draw(1, 5))
    assert not torch.equal(draw(1, 5), draw(1, 6))
    assert not torch.equal(draw(1, 5), draw(2, 5))


def test_find_lr_tries_rising_rates(tiny_run):
    found = find_lr(tiny_run(), steps=10, low=1e-5, high=1e-1)
    tried = [lr for lr, _ in found.curve]
    assert tried == sorted(tried)
    assert tried[0] == pytest.approx(1e-5)
    assert found.suggestion in tried
    with pytest.raises(InputError, match="at least 10"):
        find_lr(tiny_run(), steps=3)


def test_a_sheet_has_a_row_for_each_crop():
    crops = torch.zeros(2, 3, 64, 32)
    painted = torch.ones(2, 3, 256, 256) * 5
    pixels = sheet(crops, None, painted, mean=(0.5, 0.5, 0.5), std=(1, 1, 1))
    assert pixels.shape == (2 * 260, 128 + 256 + 8, 3)
    assert pixels[0, 0].tolist() == [128, 128, 128]
    assert pixels[0, 200].tolist() == [255, 255, 255]


def test_the_commit_is_read_from_the_checkout(tmp_path):
    inside = tmp_path / "repo" / "package" / "file.py"
    inside.parent.mkdir(parents=True)
    inside.touch()
    git = tmp_path / "repo" / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit(inside) is None
    (git / "packed-refs").write_text("# pack\n" + "b" * 40 + " refs/heads/main\n")
    assert commit(inside) == "b" * 40
    (git / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    assert commit(inside) == "a" * 40
    (git / "HEAD").write_text("c" * 40 + "\n")
    assert commit(inside) == "c" * 40


def test_the_commit_of_a_further_worktree_and_of_a_copy(tmp_path, monkeypatch):
    own = tmp_path / "repo" / ".git" / "worktrees" / "other"
    own.mkdir(parents=True)
    (own / "commondir").write_text("../..\n")
    (own / "HEAD").write_text("ref: refs/heads/other\n")
    heads = tmp_path / "repo" / ".git" / "refs" / "heads"
    heads.mkdir(parents=True)
    (heads / "other").write_text("d" * 40 + "\n")
    tree = tmp_path / "other"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {own}\n")
    assert commit(tree / "file.py") == "d" * 40
    copy = tmp_path / "copy" / "file.py"
    monkeypatch.delenv("SANREID_COMMIT", raising=False)
    assert commit(copy) is None
    monkeypatch.setenv("SANREID_COMMIT", "e" * 40)
    assert commit(copy) == "e" * 40
    assert commit(tree / "file.py") == "d" * 40
