"""Margin softmaxes against their definitions, values worked out by hand, and both ends."""

from __future__ import annotations

import math

import pytest
import torch

from sanreid.errors import InputError
from sanreid.train.config import LossConfig
from sanreid.train.losses import LossContext, Objective
from sanreid.train.losses.margin_softmax import margin_logits
from sanreid.train.losses.objective import Targets
from sanreid.train.losses.terms import identity_loss
from sanreid.train.networks.cosine_classifier import CosineClassifier
from sanreid.train.networks.san import SANOutput


def cosines(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)
    return (torch.rand(*shape, generator=generator, dtype=torch.float64) * 1.9 - 0.95).to(dtype)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_logits_equal_their_definition(kind, dtype):
    x, labels = cosines(6, 4, dtype=dtype), torch.tensor([0, 3, 1, 1, 2, 0])
    found = margin_logits(x, labels, kind=kind, scale=8.0, margin=0.3)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    for n in range(6):
        for c in range(4):
            one = float(x[n, c])
            if c == labels[n]:
                one = one - 0.3 if kind == "cosface" else math.cos(math.acos(one) + 0.3)
            assert float(found[n, c]) == pytest.approx(8 * one, abs=2e-5)


@pytest.mark.parametrize(("kind", "margin"), [("arcface", math.pi / 6), ("cosface", 0.5)])
def test_known_value(kind, margin):
    # An angle of 60 degrees, and 30 more, are the right angle that the other identity has: log 2.
    # Smoothing changes nothing between equals. Without a margin it is log(1 + exp(-2 * 0.5)).
    x, labels = torch.tensor([[0.5, 0.0]]), torch.tensor([0])
    logits = margin_logits(x, labels, kind=kind, scale=2.0, margin=margin)
    for smoothing in (0.0, 0.1):
        loss = identity_loss(logits, labels, label_smoothing=smoothing)
        assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    without = identity_loss(
        margin_logits(x, labels, kind=kind, scale=2.0, margin=0.0), labels, label_smoothing=0.0
    )
    assert without.item() == pytest.approx(math.log1p(math.exp(-1)), rel=1e-5)


def test_both_ends_and_beyond_have_finite_gradients():
    # The last is 1 by rounding alone.
    ends = torch.tensor([[1.0], [-1.0], [-0.99], [1.0 + 1e-7]], requires_grad=True)
    found = margin_logits(ends, torch.zeros(4, dtype=torch.int64), scale=1.0, margin=0.3)
    expected = [math.cos(0.3), -1 - 0.3 * math.sin(0.3), -0.99 - 0.3 * math.sin(0.3)]
    assert found.flatten().tolist() == pytest.approx([*expected, math.cos(0.3)], abs=2e-4)
    found.sum().backward()
    assert ends.grad.isfinite().all()
    assert (ends.grad > 0).all()  # the larger the angle, the lower, on both sides of pi - m
    falling = margin_logits(
        torch.linspace(1, -1, 201)[:, None], torch.zeros(201, dtype=torch.int64), margin=0.3
    )
    assert (falling.diff(dim=0) < 0).all()


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_gradient(kind):
    labels = torch.tensor([0, 2, 1])
    assert torch.autograd.gradcheck(
        lambda x: margin_logits(x, labels, kind=kind), (cosines(3, 4).requires_grad_(),)
    )
    with pytest.raises(InputError, match="'arcface' or 'cosface'; got 'circle'"):
        margin_logits(cosines(3, 4), labels, kind="circle")


def test_the_classifier_returns_cosines_in_full_precision_under_autocast():
    classifier = CosineClassifier(5, 3, bias=False)
    embedding = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = classifier(embedding)
    assert found.dtype == torch.float32
    expected = torch.nn.functional.cosine_similarity(
        embedding.float()[:, None], classifier.weight[None], dim=2
    )
    torch.testing.assert_close(found, expected)


def test_the_objective_takes_what_the_configuration_says():
    x, labels = cosines(4, 3, dtype=torch.float32), torch.tensor([0, 2, 1, 1])
    empty = torch.zeros(4, 2)
    output = SANOutput(empty, pooled=empty, logits=x, texture=None, block_maps=())
    config = LossConfig(
        triplet=0.0, identity_softmax="cosface", identity_scale=7.0, identity_margin=0.2
    )
    total, _ = Objective(LossContext(config=config))(output, Targets(labels=labels))
    logits = margin_logits(x, labels, kind="cosface", scale=7.0, margin=0.2)
    torch.testing.assert_close(total, identity_loss(logits, labels, label_smoothing=0.1))
