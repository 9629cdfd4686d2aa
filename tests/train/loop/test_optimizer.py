"""The schedule of the learning rate, the groups of the optimizer, a guarded step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanreid.config import EncoderConfig
from sanreid.train.config import DecoderConfig, OptimizerConfig
from sanreid.train.loop.learner import guarded_step
from sanreid.train.loop.optimizer import build_optimizer, learning_rate
from sanreid.train.networks.initialization import freeze
from sanreid.train.networks.san import build_san, build_san_pg
from tests.thin import THIN

TINY = EncoderConfig(backbone=THIN, embedding_dim=8, input_size=(64, 32))


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
    found = {g["name"]: (g["lr_factor"], g["weight_decay"]) for g in optimizer.param_groups}
    assert found == {
        "trunk": (1.0, 0.5), "trunk, not decayed": (1.0, 0.0),
        "head": (2.0, 0.5), "head, not decayed": (2.0, 0.0),
        "decoder": (3.0, 0.5), "decoder, not decayed": (3.0, 0.0),
    }  # fmt: skip
    members = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert id(network.encoder.trunk.conv1.weight) not in members
    assert len(members) == sum(p.requires_grad for p in network.parameters())


def test_the_copier_learns_with_the_decoder():
    network = build_san_pg(TINY, DecoderConfig(width=32, copy=True))
    optimizer = build_optimizer(network, OptimizerConfig(decoder_lr_factor=3.0))
    factors = {id(p): g["lr_factor"] for g in optimizer.param_groups for p in g["params"]}
    assert {factors[id(p)] for p in network.copier.parameters()} == {3.0}


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
    module(torch.ones(1, 3)).sum().backward()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    guarded_step(optimizer, skip=torch.tensor(True))
    for name, p in module.named_parameters():
        assert torch.equal(p, before[name])
    guarded_step(optimizer, skip=torch.tensor(False))
    for name, p in module.named_parameters():
        assert not torch.equal(p, before[name])
