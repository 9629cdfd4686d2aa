"""A loss of one's own, registered from a file of one's own, is weighed, trained and resumed."""

from __future__ import annotations

import pytest
import torch

from sanreid.errors import ConfigError
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.config import LossConfig
from sanreid.train.loop.engine import Engine
from sanreid.train.loop.journal import read_journal
from sanreid.train.losses import LossContext, Objective, objective
from sanreid.train.losses.objective import Targets
from sanreid.train.networks.san import SANOutput

OWN = '''
import torch
from sanreid.train.losses import register_loss


@register_loss("length")
def length(inputs):
    """The mean squared length of the embeddings."""
    return inputs.embeddings.square().sum(1).mean()


@register_loss("drift")
class Drift:
    """How far the mean embedding is from its running mean, which is kept in the checkpoint."""

    def __init__(self, context):
        self.mean = torch.zeros(context.embedding_dim, device=context.device)

    def __call__(self, inputs):
        mean = inputs.embeddings.mean(0)
        loss = (mean - self.mean).square().sum()
        self.mean = torch.lerp(self.mean, mean.detach(), 0.1)
        return loss

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


@register_loss("colors", head=lambda context: torch.nn.Linear(context.embedding_dim, 3))
def colors(inputs):
    """The head's output should be 1."""
    return (inputs.output.heads["colors"] - 1).square().mean()
'''


@pytest.fixture
def own_losses(tmp_path, monkeypatch):
    """The name of a module with losses; what it registers is forgotten afterwards."""
    (tmp_path / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(objective, "_ENTRIES", dict(objective._ENTRIES))
    yield "own_losses"
    import sys

    sys.modules.pop("own_losses", None)


def output_of(embedding):
    empty = torch.zeros(len(embedding), 2)
    return SANOutput(embedding, pooled=empty, logits=empty, texture=None, block_maps=())


@pytest.mark.usefixtures("one_thread")
def test_a_run_with_own_losses_logs_them_and_resumes_to_the_bit(tiny_run, tmp_path, own_losses):
    loss = {"custom": {"length": 0.01, "drift": 0.1, "colors": 0.5}}

    def config(name, **run):
        return tiny_run(
            name, loss=loss, run={"imports": ["tests.thin", own_losses], **run},
            optimizer={"lr": 1e-2},
        )  # fmt: skip

    Engine(config("whole")).run()
    rows = [r for r in read_journal(tmp_path / "whole" / "log.jsonl") if r["kind"] == "train"]
    assert {"identity", "triplet", "length", "drift", "colors"} <= rows[0].keys()
    assert rows[-1]["colors"] < rows[0]["colors"]
    Engine(config("cut", max_steps=3)).run()
    Engine(config("cut"), resume=True).run()
    whole, cut = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "cut"))
    assert all(torch.equal(x, cut["model"][key]) for key, x in whole["model"].items())
    assert torch.equal(whole["losses"]["drift"]["mean"], cut["losses"]["drift"]["mean"])
    assert whole["losses"]["drift"]["mean"].any()


@pytest.mark.usefixtures("one_thread")
def test_a_head_changes_no_other_first_weight(tiny_run, tmp_path, own_losses):
    run = {"imports": [own_losses], "max_steps": 1}
    plain = Engine(tiny_run("plain", run=run)).learner.network.state_dict()
    more = Engine(tiny_run("more", run=run, loss={"custom": {"colors": 1.0}})).learner.network
    assert more.state_dict().keys() - plain.keys() == {"heads.colors.weight", "heads.colors.bias"}
    assert all(torch.equal(x, more.state_dict()[key]) for key, x in plain.items())


def test_own_terms_are_weighed_and_left_out_at_zero(monkeypatch):
    monkeypatch.setattr(objective, "_ENTRIES", dict(objective._ENTRIES))

    @objective.register_loss("one")
    def one(inputs):
        return inputs.embeddings.sum()

    @objective.register_loss("sometimes")
    def sometimes(inputs):
        return None

    weights = {"one": 2.0, "sometimes": 1.0}
    config = LossConfig(identity=0.0, triplet=0.0, custom=weights)
    total, terms = Objective(LossContext(config=config))(
        output_of(torch.ones(2, 3)), Targets(labels=torch.tensor([0, 1]))
    )
    assert (total.item(), list(terms)) == (12.0, ["one"])
    off = LossConfig(identity=1.0, triplet=0.0, custom={"one": 0.0})
    total, terms = Objective(LossContext(config=off))(
        output_of(torch.ones(2, 3)), Targets(labels=torch.tensor([0, 1]))
    )
    assert list(terms) == ["identity"]


def test_what_is_not_registered_or_not_importable_is_named(tiny_run):
    with pytest.raises(ConfigError, match=r"registered as 'nope'; registered are identity"):
        Engine(tiny_run(loss={"custom": {"nope": 1.0}}))
    with pytest.raises(ConfigError, match="no weight of 'triplet', which has a setting"):
        Engine(tiny_run(loss={"custom": {"triplet": 2.0}}))
    with pytest.raises(ConfigError, match=r"module 'not_there', which cannot be imported"):
        tiny_run(run={"imports": ["not_there"]})
    with pytest.raises(ConfigError, match=r"loss.custom.x must be at least 0; got -1.0"):
        tiny_run(loss={"custom": {"x": -1.0}})
