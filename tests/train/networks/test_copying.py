"""Copying into the texture: nothing at first, then what lies where each texel looks."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sanreid.config import BACKBONES
from sanreid.errors import ConfigError
from sanreid.train.config import DecoderConfig, LossConfig, PitConfig, TrainConfig
from sanreid.train.config.data import DataConfig, SourceConfig
from sanreid.train.networks.copying import SIDE, TEXTURE_SIZE, WAYS, TextureCopier
from sanreid.train.networks.sa_dec import SADec

SIZE = (TEXTURE_SIZE, TEXTURE_SIZE)
DEEP = 6


def whole_crop():
    """Locations that spread a crop over the texture."""
    steps = (torch.arange(TEXTURE_SIZE) + 0.5) / (TEXTURE_SIZE / 2) - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y])


def copying(channels=8):
    """A copier whose correction is what it looked up at full resolution."""
    copier = TextureCopier(DEEP, channels)
    copier.look_at(whole_crop(), torch.zeros(0, 2, SIDE, SIDE))
    with torch.no_grad():
        for layer in (copier.mix, copier.correct):
            layer.weight.zero_()
            layer.bias.zero_()
        for color in range(3):
            copier.mix.weight[color, channels + 3 + color, 1, 1] = 1
            copier.mix.bias[color] = 5  # above the ReLU
            copier.correct.weight[color, color, 1, 1] = 1
            copier.correct.bias[color] = -5
        copier.visible.bias.fill_(20)  # all is seen
    return copier


def looked_up(copier, crops, painted, features):
    stage = torch.rand(len(crops), DEEP, 4, 2)
    return copier(crops, painted, features, copier.look_up(stage))


def test_at_first_the_texture_is_the_painted_one():
    channels = BACKBONES["resnet18"].channels
    decoder = SADec(channels, width=32, copy=True).eval()
    stages = [
        torch.randn(2, c, 64 // s, 32 // s) for c, s in zip(channels, (4, 8, 16, 16), strict=True)
    ]
    crops = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        painted = decoder(stages)
        copied, lookup = decoder.copied(crops, stages, painted)
    assert torch.equal(copied.texture, painted.texture)
    assert not lookup.locations.any()
    assert lookup.visibility.shape == (2, 1, *SIZE)
    assert SADec(channels, width=32).copied(crops, stages, painted) == (painted, None)


def test_texels_show_what_they_look_at():
    crops = torch.rand(2, 3, 64, 32) - 0.5
    features, painted = torch.zeros(2, 8, 64, 32), torch.zeros(2, 3, *SIZE)
    with torch.no_grad():
        texture = looked_up(copying(), crops, painted, features)
    spread = functional.interpolate(crops, size=SIZE, mode="bilinear", align_corners=False)
    torch.testing.assert_close(texture, spread, atol=1e-4, rtol=0)


def test_an_offset_moves_the_look_up_and_learns():
    crops = torch.zeros(1, 3, 64, 32)
    crops[..., 16:] = 0.5  # the right half
    features, painted = torch.zeros(1, 8, 64, 32), torch.zeros(1, 3, *SIZE)
    copier = copying()
    with torch.no_grad():
        assert looked_up(copier, crops, painted, features)[..., :100].max() < 1e-3
        copier.offsets.bias[: SIDE * SIDE] = 0.5  # x: half of the crop's half to the right
        moved = looked_up(copier, crops, painted, features)
    assert moved[..., 80:].min() > 0.499
    assert moved[..., :56].max() < 1e-3
    functional.l1_loss(
        looked_up(copier, crops, painted, features), torch.ones(1, 3, *SIZE)
    ).backward()
    assert copier.offsets.bias.grad.abs().max() > 0


def test_modes_are_the_ways_in_which_all_texels_move():
    copier = TextureCopier(DEEP, 8)
    modes = torch.zeros(2, 2, SIDE, SIDE)
    modes[0, 0], modes[1, 1] = 0.2, 0.1  # to the right, and down
    copier.look_at(whole_crop(), modes)
    with torch.no_grad():
        copier.gist[3].weight.zero_()
        copier.gist[3].bias.copy_(torch.tensor([1.0, -2.0] + [9.0] * (WAYS - 2)))
        locations = copier.look_up(torch.rand(1, DEEP, 16, 8)).locations
    moved = locations[0].permute(2, 0, 1) - whole_crop()
    torch.testing.assert_close(moved[0], torch.full(SIZE, 0.2))
    torch.testing.assert_close(moved[1], torch.full(SIZE, -0.2))


def test_texels_that_are_not_seen_stay_as_they_were_painted():
    copier = copying()
    with torch.no_grad():
        copier.visible.bias[: SIDE * SIDE // 2] = -20  # the upper half
        crops, painted = torch.full((1, 3, 64, 32), 0.5), torch.full((1, 3, *SIZE), -0.25)
        texture = looked_up(copier, crops, painted, torch.zeros(1, 8, 4, 4))
    half = TEXTURE_SIZE // 2
    torch.testing.assert_close(texture[..., : half - 4, :], painted[..., : half - 4, :])
    torch.testing.assert_close(
        texture[..., half + 4 :, :], painted[..., half + 4 :, :] + 0.5, atol=1e-5, rtol=0
    )


def test_the_texture_stays_in_its_range():
    copier = copying()
    with torch.no_grad():
        crops, painted = torch.full((1, 3, 64, 32), 9.0), torch.zeros(1, 3, *SIZE)
        texture = looked_up(copier, crops, painted, torch.zeros(1, 8, 4, 4))
    assert texture.min() >= -1
    assert texture.max() <= 1


def test_only_san_pg_copies():
    TrainConfig(
        decoder=DecoderConfig(copy=True),
        pit=PitConfig(folder="pairs"),
        loss=LossConfig(identity=0.0, triplet=0.0, reconstruction=1.0),
    )
    with pytest.raises(ConfigError, match=r"decoder\.copy is for SAN-PG"):
        TrainConfig(
            decoder=DecoderConfig(copy=True), data=DataConfig(sources=(SourceConfig(folder="x"),))
        )
