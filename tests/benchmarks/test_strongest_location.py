"""The strongest location of feature maps, on constructed maps."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.strongest_location import strongest


def test_a_constant_corner_is_found():
    features = torch.zeros(4, 3, 2, 2)
    features[:, 0] = 1.0  # everywhere
    features[:3, :, 0, 1] = torch.tensor([3.0, 4.0, 0.0])  # on three of four crops
    features[3, 0, 1, 0] = 7.0
    found = strongest(features)
    assert (found["row"], found["column"], found["share"]) == (0, 1, 0.75)
    assert found["others"] == pytest.approx((3 * 5 + 1 / 3) / 4)
    assert found["cosine"] == pytest.approx((3 * 1 + 3 * 0.6) / 6)
