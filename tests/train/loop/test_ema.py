"""The average follows its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanreid.train.loop.ema import WeightAverage


class Counted(nn.Module):
    """A weight, statistics and a counter, as BatchNorm has them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("count", torch.tensor(0))

    def fill(self, value):
        with torch.no_grad():
            self.weight.fill_(value)
            self.mean.fill_(value)
            self.count.fill_(int(value))


def test_the_average_follows_its_definition():
    module = Counted()
    average = WeightAverage(module, decay=0.5, warmup=False)
    for value in (1.0, 3.0):
        module.fill(value)
        average.update_parameters(module)
    expected = 0.5 * (0.5 * 1) + 0.5 * 3
    assert average.module.weight.item() == pytest.approx(expected)
    assert average.module.mean.item() == pytest.approx(expected)
    assert average.module.count.item() == 3  # a counter is not averaged
    assert not average.module.weight.requires_grad
    assert module.weight.item() == 3.0
    assert module.weight.requires_grad


def test_the_warm_up_forgets_the_start():
    module = Counted()
    average = WeightAverage(module, decay=0.999)
    module.fill(1.0)
    average.update_parameters(module)
    assert average.module.weight.item() == pytest.approx(1 - 2 / 11)
    again = WeightAverage(module, decay=0.999)
    again.restore(average.checkpoint())
    assert again.step == 1
    assert torch.equal(again.module.weight, average.module.weight)
    again.restart()
    module.fill(2.0)
    again.update_parameters(module)
    assert again.module.weight.item() == pytest.approx((9 / 11) * 2 + (2 / 11) * (9 / 11))
