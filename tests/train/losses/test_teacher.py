"""The losses towards a teacher equal their definitions."""

from __future__ import annotations

import pytest
import torch

from sanreid.errors import InputError
from sanreid.train.losses.teacher import embedding_loss, similarity_loss


def rows(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def cosine(a, b):
    return float((a.double() @ b.double()) / (a.double().norm() * b.double().norm()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_embedding_loss_equals_its_definition(dtype):
    mapped, taught = rows(6, 4, dtype=dtype), rows(6, 4, seed=1, dtype=dtype)
    expected = sum(1 - cosine(a, b) for a, b in zip(mapped, taught, strict=True)) / 6
    assert embedding_loss(mapped, taught).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_similarity_loss_equals_its_definition(dtype):
    mine, taught = rows(5, 3, dtype=dtype), rows(5, 7, seed=1, dtype=dtype)
    expected = 0.0
    for a in range(5):
        for b in range(5):
            expected += (cosine(mine[a], mine[b]) - cosine(taught[a], taught[b])) ** 2 / 25
    assert similarity_loss(mine, taught).item() == pytest.approx(expected, rel=1e-5)


def test_gradients_are_those_of_differences():
    x, taught = rows(4, 3).requires_grad_(), rows(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x: embedding_loss(x, taught), (x,))
    assert torch.autograd.gradcheck(lambda x: similarity_loss(x, taught), (x,))


def test_what_agrees_costs_nothing():
    taught = rows(4, 3)
    turned = torch.linalg.qr(rows(3, 3, seed=2)).Q
    assert embedding_loss(3 * taught, taught).item() == pytest.approx(0, abs=1e-12)
    assert similarity_loss(taught @ turned, taught).item() == pytest.approx(0, abs=1e-12)


def test_losses_are_precise_under_autocast():
    x, taught = rows(8, 5, dtype=torch.float32), rows(8, 5, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = embedding_loss(x, taught), similarity_loss(x, taught)
    assert mixed == (embedding_loss(x, taught), similarity_loss(x, taught))


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(4, 3\), the teacher's \(4, 2\)"):
        embedding_loss(rows(4, 3), rows(4, 2))
    with pytest.raises(InputError, match="4 embeddings and 5 of the teacher"):
        similarity_loss(rows(4, 3), rows(5, 3))
