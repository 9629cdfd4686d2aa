"""Distances between texels, and the texels of a generator that knows none."""

from __future__ import annotations

import pytest
import torch

from sanreid.config import EncoderConfig
from sanreid.train.config import DecoderConfig
from sanreid.train.networks.san import build_san_pg
from sanreid.train.textures.generator import Generator
from tests.benchmarks.texels_shown import distances, predicted_texels


def generator(*, copy):
    torch.manual_seed(0)
    config = EncoderConfig(
        backbone="resnet18", input_size=(64, 32), head="pool", embedding_dim=512
    )
    module = build_san_pg(config, DecoderConfig(width=32, copy=copy)).eval()
    return Generator(module, config, torch.arange(256**2), "mine")


def test_distances_count_rows_and_columns():
    texels = torch.tensor([0, 3, 4 * 256 + 3])
    assert distances(texels, torch.zeros(3, dtype=torch.long)).tolist() == [0, 3, 5]


def test_texels_are_whole_numbers_of_the_texture():
    crops = torch.randint(0, 256, (2, 3, 64, 32), dtype=torch.uint8)
    texels = predicted_texels(generator(copy=True), crops)
    assert texels.shape == (2, 64, 32)
    assert int(texels.min()) >= -1
    assert int(texels.max()) < 256**2


def test_a_generator_that_does_not_copy_knows_none():
    with pytest.raises(SystemExit, match="mine does not copy"):
        predicted_texels(generator(copy=False), torch.zeros(1, 3, 64, 32, dtype=torch.uint8))
