"""Convolutions by matrix products: the same function and gradients, only where it is meant."""

from __future__ import annotations

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional

from sanreid.train.networks import cpu_convolution
from sanreid.train.networks.cpu_convolution import use_matrix_products


def pair(kernel, stride=1):
    torch.manual_seed(0)
    plain = nn.Conv2d(24, 40, kernel, stride=stride, padding=kernel // 2, bias=False)
    plain.to(memory_format=torch.channels_last)
    fast = deepcopy(plain)
    use_matrix_products(fast)
    return plain, fast


def random(*shape, seed=0, **kind):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **kind)


def maps(n=20, height=9, width=5):
    return random(n, 24, height, width).contiguous(memory_format=torch.channels_last)


def trained(conv, x, *, dtype=torch.bfloat16):
    """Return the output and the gradients of input and weight; without autocast for None."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        y = conv(x)
    (y.float() * random(*y.shape, seed=1)).sum().backward()
    return y, x.grad, conv.weight.grad


@pytest.fixture
def products(monkeypatch):
    """Count the matrix products that stand for a convolution or for its weight gradient."""
    found = []

    def counted(function):
        def call(*args):
            found.append(function.__name__)
            return function(*args)

        return call

    monkeypatch.setattr(functional, "linear", counted(functional.linear))
    monkeypatch.setattr(
        cpu_convolution, "_weight_gradient", counted(cpu_convolution._weight_gradient)
    )
    return found


def assert_close(ours, theirs):
    """Compare up to the rounding of bfloat16."""
    assert ours.shape == theirs.shape
    assert (ours.float() - theirs).abs().max() < 0.02 * theirs.abs().max()


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("rows", [1, 100, 1024])
@pytest.mark.parametrize("size", [(9, 5), (8, 4)])
def test_outputs_and_gradients_are_those_of_the_convolution(
    kernel, stride, rows, size, monkeypatch, products
):
    monkeypatch.setattr(cpu_convolution, "_ROWS", rows)
    plain, fast = pair(kernel, stride)
    exact = trained(plain, maps(20, *size), dtype=None)
    assert not products
    found = trained(fast, maps(20, *size))
    assert len(products) == 1
    assert found[0].dtype == torch.bfloat16
    assert found[2].dtype == torch.float32
    for ours, theirs in zip(found, exact, strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("n", [0, 1])
def test_few_crops_and_another_memory_order(kernel, n):
    plain, fast = pair(kernel)
    x = maps(n).contiguous()
    exact, found = trained(plain, x, dtype=None), trained(fast, x)
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.shape == theirs.shape
        if n:
            assert_close(ours, theirs)


@pytest.mark.parametrize("kernel", [1, 3])
def test_gradients_lie_in_memory_as_the_parameters_do(kernel):
    _, fast = pair(kernel)  # DistributedDataParallel copies them otherwise, and warns
    assert trained(fast, maps())[2].stride() == fast.weight.stride()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("rows", [1, 100])
def test_the_weight_gradient_is_the_one_autograd_finds(stride, rows, monkeypatch):
    monkeypatch.setattr(cpu_convolution, "_ROWS", rows)
    x = random(4, 24, 9, 5, dtype=torch.double)
    weight = random(40, 24, 3, 3, seed=1, dtype=torch.double).requires_grad_()
    y = functional.conv2d(x, weight, stride=stride, padding=1)
    gradient = random(*y.shape, seed=2, dtype=torch.double)
    (theirs,) = torch.autograd.grad(y, weight, gradient)
    ours = cpu_convolution._weight_gradient(x, gradient, stride)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_other_precisions_are_untouched(kernel, dtype, products):
    plain, fast = pair(kernel)
    found, theirs = trained(fast, maps(), dtype=dtype), trained(plain, maps(), dtype=dtype)
    assert not products
    assert all(map(torch.equal, found, theirs))


@pytest.mark.parametrize("kernel", [1, 3])
def test_inference_and_frozen_weights_are_untouched(kernel, products):
    plain, fast = pair(kernel)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            assert torch.equal(fast(maps()), plain(maps()))
        fast.requires_grad_(requires_grad=False)
        fast(maps().requires_grad_()).float().sum().backward()
    assert not products
    assert fast.weight.grad is None


def test_a_bias_set_later_counts(products):
    plain, fast = pair(3)
    plain.bias = nn.Parameter(torch.ones(40))
    fast.bias = nn.Parameter(torch.ones(40))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fast(maps()), plain(maps()))
    assert not products


def test_a_second_derivative_is_refused():
    _, fast = pair(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = fast(maps().requires_grad_())
    (gradient,) = torch.autograd.grad(y.float().square().sum(), fast.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(8, 8, 3, padding=1),  # with a bias
        nn.Conv2d(8, 8, 3, padding=1, bias=False, padding_mode="reflect"),
        nn.Conv2d(8, 8, 3, padding=1, bias=False, groups=2),
        nn.Conv2d(8, 8, 3, padding=1, bias=False, dilation=2),
        nn.Conv2d(8, 8, 3, padding=1, bias=False, stride=(1, 2)),
        nn.Conv2d(8, 8, 3, padding="same", bias=False),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.Conv2d(8, 8, 7, padding=3, bias=False),
    ],
    ids=["bias", "reflect", "groups", "dilation", "strides", "same", "no padding", "kernel"],
)
def test_other_convolutions_stay(conv):
    use_matrix_products(conv)
    assert type(conv) is nn.Conv2d


def test_state_copies_and_pickles_stay():
    plain, fast = pair(3)
    assert list(fast.state_dict()) == list(plain.state_dict())
    fast.load_state_dict(plain.state_dict())
    for copy in (deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert all(map(torch.equal, trained(copy, maps()), trained(pair(3)[1], maps())))
