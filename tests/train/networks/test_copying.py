"""Copying into the texture: nothing at first, then what the pixels show."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sanreid.config import BACKBONES, IMAGENET_MEAN, IMAGENET_STD, EncoderConfig
from sanreid.errors import ConfigError
from sanreid.train.config import DecoderConfig, LossConfig, PitConfig, TrainConfig
from sanreid.train.config.data import DataConfig, SourceConfig
from sanreid.train.losses.surface import surface_loss
from sanreid.train.networks.copying import TextureCopier, laid_out
from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.networks.san import build_san_pg
from sanreid.train.networks.surface import CELLS, Surface, SurfaceHead, cells_of, shown
from sanreid.train.pit.tables import ATLAS_PATH
from sanreid.train.textures.generator import Generator, load_generator, save_generator
from sanreid.train.textures.targets import load_atlas_tables

CHANNELS = BACKBONES["resnet18"].channels
FEATURES = 8  # channels of SA-Dec's finest map


def copier_of(mean=IMAGENET_MEAN, std=IMAGENET_STD):
    return TextureCopier(CHANNELS, FEATURES, mean=mean, std=std)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=seeded(seed))


def stages_of(count, height, width):
    return [
        random(count, c, -(-height // s), -(-width // s), seed=s)
        for c, s in zip(CHANNELS, (4, 8, 16, 16), strict=True)
    ]


def surface_of(texels):
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


def san_pg(*, copy):
    torch.manual_seed(0)
    config = EncoderConfig(
        backbone="resnet18", input_size=(64, 32), head="pool", embedding_dim=512
    )
    return build_san_pg(config, DecoderConfig(width=32, copy=copy)).eval(), config


def test_at_first_the_texture_is_the_painted_one():
    copying, _ = san_pg(copy=True)
    plain, _ = san_pg(copy=False)
    plain.encoder.load_state_dict(copying.encoder.state_dict())
    plain.decoder.load_state_dict(copying.decoder.state_dict())
    crops = random(2, 3, 64, 32)
    with torch.no_grad():
        painted, surface = copying.paint_pairs(crops)
        assert torch.equal(painted, plain.paint(crops))
        assert torch.equal(painted, copying(crops).texture)
        assert plain.paint_pairs(crops).surface is None
    assert surface.cells.shape == (2, 65, 32, 16)
    assert surface.within.shape == (2, 64, 2, 32, 16)


def test_a_generator_that_copies_is_kept_whole(tmp_path):
    module, config = san_pg(copy=True)
    with torch.no_grad():
        module.copier.correct.weight.normal_(std=0.1, generator=seeded())
    save_generator(module, config, DecoderConfig(width=32, copy=True), tmp_path)
    crops = (random(2, 3, 64, 32) * 255).to(torch.uint8)
    mirror = load_atlas_tables(ATLAS_PATH).mirror
    wanted = Generator(module, config, mirror, "own").paint(crops).textures
    painted = load_generator(tmp_path).paint(crops).textures
    # The file has half precision; a pixel between two texels may fall to either.
    assert (painted - wanted).abs().mean() < 0.01
    module.copier = None
    plain = Generator(module, config, mirror, "own").paint(crops).textures
    assert (plain - wanted).abs().mean() > 0.05


def test_training_in_half_precision_reaches_every_part():
    module, _ = san_pg(copy=True)
    module.train()
    torch.nn.init.constant_(module.copier.correct.weight, 0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        texture, surface = module.paint_pairs(random(2, 3, 64, 32))
        texels = spread_over((40, 40), (200, 200)).expand(2, -1, -1)
        loss = texture.float().abs().mean() + surface_loss(surface, texels)
    loss.backward()
    without = [
        name
        for part in (module.encoder.trunk, module.decoder, module.copier)
        for name, one in part.named_parameters()
        if one.grad is None or not one.grad.any()
    ]
    assert not without


def test_cells_and_places_are_texels():
    texels = torch.arange(TEXTURE_SIZE**2)
    cells, within = cells_of(texels, TEXTURE_SIZE)
    assert within.abs().max() < 0.5
    assert (cells.bincount() == 32 * 32).all()
    whole = torch.stack([cells % CELLS, cells // CELLS], 1) + 0.5 + within
    place = (whole * 32).long()
    assert torch.equal(place[:, 1] * TEXTURE_SIZE + place[:, 0], texels)


def test_what_is_predicted_is_shown():
    texels = spread_over((40, 40), (140, 90))
    texels[:, :4] = -1
    found, probability = shown(surface_of(texels), (32, 16), TEXTURE_SIZE)
    body = texels >= 0
    assert torch.equal(found[body], texels[body])
    assert (probability[body] > 0.99).all()
    assert not probability[~body].any()


def test_a_place_may_lie_beyond_its_cell_but_not_far():
    cells = torch.zeros(1, 1 + CELLS**2, 2, 2)
    cells[:, 1 + 9] = 5.0  # the second cell of the second row
    within = torch.zeros(1, CELLS**2, 2, 2, 2)
    within[:, 9, 0], within[:, 9, 1] = 0.625, -9.0  # u, v in cells of 32 texels
    texels, probability = shown(Surface(cells, within), (4, 4), TEXTURE_SIZE)
    assert (texels % TEXTURE_SIZE == (1.5 + 0.625) * 32).all()
    assert (texels // TEXTURE_SIZE == (1.5 - 0.75) * 32).all()
    torch.testing.assert_close(probability, cells.softmax(1)[:, 10].repeat(1, 2, 2))


def test_between_two_pixels_is_a_texel_between_theirs():
    texels = spread_over((40, 40), (58, 50))  # in one cell
    found, _ = shown(surface_of(texels), (64, 32), TEXTURE_SIZE)
    rows = (found // TEXTURE_SIZE)[0, :, 0]
    assert (rows.diff() >= 0).all()
    assert rows.diff().max() <= 1
    assert (rows[0], rows[-1]) == (40, 58)


def test_pixels_are_laid_out_at_their_texels():
    crops = random(1, 3, 1, 1).expand(1, 3, 64, 32).clone()
    crops[:, :, 32:] = -1.0  # the lower half is of another color
    fine, coarse, seen = laid_out(crops, surface_of(spread_over((64, 96), (127, 127))))
    assert fine.shape == coarse.shape == (1, 3, 128, 128)
    upper, lower = fine[0, :, 34:46, 50:62], fine[0, :, 50:62, 50:62]
    torch.testing.assert_close(upper, crops[0, :, :1, :1].expand_as(upper))
    torch.testing.assert_close(lower, torch.full_like(lower, -1.0))
    assert seen[0, 0, 34:62, 50:62].mean() > 0.9
    assert not seen[0, 0, :30].any()
    assert not seen[0, 0, :, 70:].any()
    around = coarse[0, :, 36, 56]  # amid squares of 8 x 8 texels of the upper half
    torch.testing.assert_close(around, crops[0, :, 0, 0])
    near = fine[0, :, 28, 56]  # above what was seen: rather from there than from below
    assert (near - crops[0, :, 0, 0]).abs().max() < (near + 1).abs().min() / 2


def test_pixels_of_one_texel_count_by_their_probability():
    logits = torch.full((1, 1 + CELLS**2, 32, 16), -50.0)
    logits[:, 1] = 0.0  # the first cell, and for the lower half the next one nearly as likely
    logits[:, 2, 16:] = -0.1
    surface = Surface(logits, torch.zeros(1, CELLS**2, 2, 32, 16))
    crops = torch.zeros(1, 3, 64, 32)
    crops[:, :, :32] = 1.0
    fine, _, _ = laid_out(crops, surface)
    weights = shown(surface, (64, 32), 128)[1]
    share = weights[:, :32].sum() / weights.sum()
    assert share > 0.6
    torch.testing.assert_close(fine[0, :, 8, 8], share.expand(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("mean", "std"), [(IMAGENET_MEAN, IMAGENET_STD), ((0.5,) * 3, (0.4,) * 3)]
)
def test_at_first_the_light_only_takes_the_normalization_away(mean, std):
    colors = random(2, 3, 5, 5)
    normalized = (colors - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    lit = copier_of(mean, std)._lit(normalized, random(2, CHANNELS[3], 4, 2))
    torch.testing.assert_close(lit, 2 * colors - 1)


def test_where_no_body_is_shown_nothing_is_laid_out():
    nothing = surface_of(torch.full((2, 32, 16), -1))
    fine, coarse, seen = laid_out(random(2, 3, 64, 32), nothing)
    assert not fine.any()
    assert not coarse.any()
    assert not seen.any()


def test_the_correction_learns_from_what_is_laid_out():
    torch.manual_seed(0)
    copier = copier_of()
    optimizer = torch.optim.Adam(copier.parameters(), lr=0.02)
    surface = surface_of(spread_over((0, 0), (255, 255)).expand(4, -1, -1))
    features, painted = (
        torch.zeros(4, FEATURES, 16, 8),
        torch.zeros(4, 3, TEXTURE_SIZE, TEXTURE_SIZE),
    )
    colors = random(4, 3, 1, 1)
    losses = []
    for _ in range(80):
        texture = copier(
            colors.expand(-1, -1, 64, 32), stages_of(4, 64, 32)[3], surface, painted, features
        )
        loss = functional.l1_loss(texture, colors.expand_as(texture))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_the_texture_stays_in_its_range():
    copier = copier_of()
    torch.nn.init.constant_(copier.correct.bias[:3], 3.0)
    painted = torch.zeros(1, 3, TEXTURE_SIZE, TEXTURE_SIZE)
    crops, stages = random(1, 3, 64, 32), stages_of(1, 64, 32)
    surface, features = copier.surface(crops, stages), torch.zeros(1, FEATURES, 4, 4)
    texture = copier(crops, stages[3], surface, painted, features)
    assert texture.max() <= 1
    torch.testing.assert_close(texture, torch.ones_like(texture))
    texture.sum().backward()  # what is out of range learns to return
    assert (copier.correct.bias.grad[:3] > 0).all()


@pytest.mark.parametrize("shape", [(64, 32), (70, 30), (256, 128)])
def test_any_size_of_crop(shape):
    surface = SurfaceHead(CHANNELS)(random(1, 3, *shape), stages_of(1, *shape))
    assert surface.cells.shape[2:] == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    assert [len(one) for one in laid_out(random(1, 3, *shape), surface)] == [1, 1, 1]


def test_only_san_pg_copies():
    TrainConfig(
        decoder=DecoderConfig(copy=True),
        pit=PitConfig(folder="pairs"),
        loss=LossConfig(identity=0.0, triplet=0.0, reconstruction=1.0, surface=1.0),
    )
    data = DataConfig(sources=(SourceConfig(folder="x", textures="y"),))
    for wrong in (
        {"decoder": DecoderConfig(copy=True)},
        {"loss": LossConfig(reconstruction=1.0, surface=1.0)},
    ):
        with pytest.raises(ConfigError, match=r"loss\.surface are for SAN-PG"):
            TrainConfig(data=data, **wrong)


@pytest.mark.parametrize(("copy", "weight"), [(False, 1.0), (True, 0.0)])
def test_copying_and_its_loss_go_together(copy, weight):
    with pytest.raises(ConfigError, match=rf"go together.* = {str(copy).lower()}, .* = {weight}"):
        TrainConfig(
            decoder=DecoderConfig(copy=copy),
            pit=PitConfig(folder="pairs"),
            loss=LossConfig(identity=0.0, triplet=0.0, reconstruction=1.0, surface=weight),
        )
