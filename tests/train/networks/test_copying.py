"""Copying into the texture: nothing at first, then what the pixels show."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sanreid.config import BACKBONES
from sanreid.errors import ConfigError
from sanreid.train.config import DecoderConfig, LossConfig, PitConfig, TrainConfig
from sanreid.train.config.data import DataConfig, SourceConfig
from sanreid.train.networks.copying import TEXTURE_SIZE, TextureCopier, laid_out
from sanreid.train.networks.sa_dec import SADec
from sanreid.train.networks.surface import CELLS, Surface, SurfaceHead, cells_of, shown

CHANNELS = BACKBONES["resnet18"].channels


def stages_of(count, height, width):
    return [
        torch.randn(count, c, height // s, width // s)
        for c, s in zip(CHANNELS, (4, 8, 16, 16), strict=True)
    ]


def told(texels):
    """The surface of crops of twice the size, without a doubt."""
    cells, within = cells_of(texels.clamp_min(0), TEXTURE_SIZE)
    number = torch.where(texels >= 0, cells + 1, 0)
    logits = 50 * functional.one_hot(number, 1 + CELLS**2).permute(0, 3, 1, 2).float()
    every = within.permute(0, 3, 1, 2)[:, None].expand(-1, CELLS**2, -1, -1, -1)
    return Surface(logits, every)


def spread_over(first, last):
    """Texels of a crop, 32 x 16 of half its size, that covers these rows and columns."""
    rows = torch.linspace(first[0], last[0], 32).round().long()
    columns = torch.linspace(first[1], last[1], 16).round().long()
    return (rows[:, None] * TEXTURE_SIZE + columns)[None]


def test_at_first_the_texture_is_the_painted_one():
    decoder = SADec(CHANNELS, width=32, copy=True).eval()
    stages, crops = stages_of(2, 64, 32), torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        painted = decoder(stages)
        copied, surface = decoder.copied(crops, stages, painted)
    assert torch.equal(copied.texture, painted.texture)
    assert surface.cells.shape == (2, 65, 32, 16)
    assert surface.within.shape == (2, 64, 2, 32, 16)
    assert SADec(CHANNELS, width=32).copied(crops, stages, painted) == (painted, None)


def test_cells_and_places_are_texels():
    texels = torch.arange(TEXTURE_SIZE**2)
    cells, within = cells_of(texels, TEXTURE_SIZE)
    assert within.abs().max() < 0.5
    assert (cells.bincount() == 32 * 32).all()
    whole = torch.stack([cells % CELLS, cells // CELLS], 1) + 0.5 + within
    place = (whole * 32).long()
    assert torch.equal(place[:, 1] * TEXTURE_SIZE + place[:, 0], texels)


def test_what_is_told_is_shown():
    texels = spread_over((40, 40), (58, 50))  # within one cell, so that nothing mixes
    texels[:, :4] = -1
    found, likely = shown(told(texels), (32, 16), TEXTURE_SIZE)
    body = texels >= 0
    assert torch.equal(found[body], texels[body])
    assert (likely[body] > 0.99).all()
    assert not likely[~body].any()


def test_pixels_are_laid_out_at_their_texels():
    crops = torch.rand(1, 3, 1, 1).expand(1, 3, 64, 32).clone()
    crops[:, :, 32:] = -1.0  # the lower half is of another color
    fine, coarse, seen = laid_out(crops, told(spread_over((64, 96), (127, 127))))
    assert fine.shape == coarse.shape == (1, 3, 128, 128)
    upper, lower = fine[0, :, 34:46, 50:62], fine[0, :, 50:62, 50:62]
    torch.testing.assert_close(upper, crops[0, :, :1, :1].expand_as(upper))
    torch.testing.assert_close(lower, torch.full_like(lower, -1.0))
    assert seen[0, 0, 34:62, 50:62].mean() > 0.9
    assert not seen[0, 0, :30].any()
    assert not seen[0, 0, :, 70:].any()
    near = fine[0, :, 28, 56]  # above what was seen: rather from there than from below
    assert (near - crops[0, :, 0, 0]).abs().max() < (near + 1).abs().min() / 2


def test_where_no_body_is_shown_nothing_is_laid_out():
    nothing = told(torch.full((2, 32, 16), -1))
    fine, coarse, seen = laid_out(torch.rand(2, 3, 64, 32), nothing)
    assert not fine.any()
    assert not coarse.any()
    assert not seen.any()


def test_the_correction_learns_from_what_is_laid_out():
    torch.manual_seed(0)
    copier = TextureCopier(CHANNELS, 8)
    optimizer = torch.optim.Adam(copier.parameters(), lr=0.02)
    surface = told(spread_over((0, 0), (255, 255)).expand(4, -1, -1))
    features, painted = torch.zeros(4, 8, 16, 8), torch.zeros(4, 3, TEXTURE_SIZE, TEXTURE_SIZE)
    colors = torch.rand(4, 3, 1, 1)
    losses = []
    for _ in range(60):
        texture = copier(colors.expand(-1, -1, 64, 32), painted, features, surface)
        loss = functional.l1_loss(texture, colors.expand_as(texture))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_the_texture_stays_in_its_range():
    copier = TextureCopier(CHANNELS, 8)
    torch.nn.init.constant_(copier.correct.bias, 3.0)
    painted = torch.zeros(1, 3, TEXTURE_SIZE, TEXTURE_SIZE)
    with torch.no_grad():
        surface = copier.surface(torch.rand(1, 3, 64, 32), stages_of(1, 64, 32))
        texture = copier(torch.rand(1, 3, 64, 32), painted, torch.zeros(1, 8, 4, 4), surface)
    assert texture.max() <= 1
    torch.testing.assert_close(texture, torch.ones_like(texture))


@pytest.mark.parametrize("shape", [(64, 32), (70, 30), (256, 128)])
def test_any_size_of_crop(shape):
    surface = SurfaceHead(CHANNELS)(torch.rand(1, 3, *shape), stages_of(1, *shape))
    assert surface.cells.shape[2:] == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    assert [len(one) for one in laid_out(torch.rand(1, 3, *shape), surface)] == [1, 1, 1]


def test_only_san_pg_copies():
    TrainConfig(
        decoder=DecoderConfig(copy=True),
        pit=PitConfig(folder="pairs"),
        loss=LossConfig(identity=0.0, triplet=0.0, reconstruction=1.0, surface=1.0),
    )
    with pytest.raises(ConfigError, match=r"decoder\.copy is for SAN-PG"):
        TrainConfig(
            decoder=DecoderConfig(copy=True), data=DataConfig(sources=(SourceConfig(folder="x"),))
        )
    with pytest.raises(ConfigError, match=r"loss\.surface is for SAN-PG with decoder\.copy"):
        TrainConfig(
            pit=PitConfig(folder="pairs"),
            loss=LossConfig(identity=0.0, triplet=0.0, reconstruction=1.0, surface=1.0),
        )
