"""Convolutions by matrix products: the same function and gradients, only where it is meant."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional

from sanreid.train.networks import cpu_convolution
from sanreid.train.networks.cpu_convolution import use_matrix_products


def pair(kernel, stride=1, **changes):
    torch.manual_seed(0)
    plain = nn.Conv2d(24, 40, kernel, stride=stride, padding=kernel // 2, bias=False, **changes)
    fast = deepcopy(plain)
    use_matrix_products(fast)
    return plain, fast


def trained(conv, x, *, autocast=True):
    """Return the output and the gradients of input and weight."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y = conv(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y.float() * weights).sum().backward()
    return y, x.grad, conv.weight.grad


def maps(n=20, height=9, width=5):
    x = torch.randn(n, 24, height, width, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("rows", [1, 100, 1024])
def test_outputs_and_gradients_are_those_of_the_convolution(kernel, stride, rows, monkeypatch):
    monkeypatch.setattr(cpu_convolution, "_ROWS", rows)
    plain, fast = pair(kernel, stride)
    exact = trained(plain, maps(), autocast=False)
    found = trained(fast, maps())
    assert found[0].dtype == torch.bfloat16
    assert found[2].dtype == torch.float32
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.shape == theirs.shape
        error = (ours.float() - theirs).abs().max() / theirs.abs().max()
        assert error < 0.02  # of bfloat16


def test_the_weight_gradient_is_the_one_autograd_finds():
    x, weight = maps(4).double(), torch.randn(40, 24, 3, 3, dtype=torch.double).requires_grad_()
    y = functional.conv2d(x, weight, padding=1)
    gradient = torch.randn_like(y)
    (theirs,) = torch.autograd.grad(y, weight, gradient)
    ours = cpu_convolution._weight_gradient(x, gradient, 1)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3])
def test_float32_and_inference_are_untouched(kernel):
    plain, fast = pair(kernel)
    for ours, theirs in zip(
        trained(fast, maps(), autocast=False), trained(plain, maps(), autocast=False), strict=True
    ):
        assert torch.equal(ours, theirs)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fast(maps()), plain(maps()))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(8, 8, 3, padding=1),  # with a bias
        nn.Conv2d(8, 8, 3, padding=1, bias=False, padding_mode="reflect"),
        nn.Conv2d(8, 8, 3, padding=1, bias=False, groups=2),
        nn.Conv2d(8, 8, 3, padding=2, bias=False, dilation=2),
        nn.Conv2d(8, 8, 7, padding=3, bias=False),
    ],
    ids=["bias", "reflect", "groups", "dilation", "kernel"],
)
def test_other_convolutions_stay(conv):
    use_matrix_products(conv)
    assert type(conv) is nn.Conv2d


def test_state_and_names_stay():
    plain, fast = pair(3)
    assert list(fast.state_dict()) == list(plain.state_dict())
    fast.load_state_dict(plain.state_dict())
