"""Picture sheets."""

from __future__ import annotations

import torch

from sanreid.train.loop.pictures import sheet


def test_a_sheet_has_a_row_for_each_crop():
    crops = torch.zeros(2, 3, 64, 32)
    painted = torch.ones(2, 3, 256, 256) * 5
    pixels = sheet(crops, None, painted, mean=(0.5, 0.5, 0.5), std=(1, 1, 1))
    assert pixels.shape == (2 * 260, 128 + 256 + 8, 3)
    assert pixels[0, 0].tolist() == [128, 128, 128]
    assert pixels[0, 200].tolist() == [255, 255, 255]
