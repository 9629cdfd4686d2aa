"""The random numbers of a batch."""

from __future__ import annotations

import torch

from sanreid.train.data.crop_batches import step_generator


def test_a_batch_s_generator_depends_on_seed_and_number_alone():
    draw = lambda *which: torch.rand(3, generator=step_generator(*which))  # noqa: E731
    assert torch.equal(draw(1, 5), draw(1, 5))
    assert not torch.equal(draw(1, 5), draw(1, 6))
    assert not torch.equal(draw(1, 5), draw(2, 5))
