"""The range test of the learning rate."""

from __future__ import annotations

import pytest

from sanreid.errors import InputError
from sanreid.train.tools.find_lr import find_lr


def test_find_lr_tries_rising_rates(tiny_run):
    found = find_lr(tiny_run(), steps=10, low=1e-5, high=1e-1)
    tried = [lr for lr, _ in found.curve]
    assert tried == sorted(tried)
    assert tried[0] == pytest.approx(1e-5)
    assert found.suggestion in tried
    with pytest.raises(InputError, match="at least 10"):
        find_lr(tiny_run(), steps=3)
