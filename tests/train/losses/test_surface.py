"""The loss of what pixels show, and mirrored crops."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sanreid.errors import InputError
from sanreid.train.config.data import DataConfig
from sanreid.train.losses.surface import surface_loss
from sanreid.train.networks.sa_dec import TEXTURE_SIZE
from sanreid.train.networks.surface import CELLS, Surface, cells_of
from sanreid.train.textures.targets import mirrored_texels, open_atlas


def random_texels(*shape):
    texels = torch.randint(TEXTURE_SIZE**2, shape, generator=torch.Generator().manual_seed(0))
    texels[:, : shape[1] // 4] = -1
    return texels


def test_the_truth_costs_nothing_and_its_distance_what_it_is():
    texels = random_texels(2, 8, 4)
    cells, within = cells_of(texels.clamp_min(0), TEXTURE_SIZE)
    number = torch.where(texels >= 0, cells + 1, 0)
    logits = 100 * functional.one_hot(number, 1 + CELLS**2).permute(0, 3, 1, 2).float()
    every = within.permute(0, 3, 1, 2)[:, None].repeat(1, CELLS**2, 1, 1, 1)
    assert surface_loss(Surface(logits, every), texels) == pytest.approx(0, abs=1e-6)
    aside = every.clone()
    aside[:, :, 0] += 0.25  # u: a quarter of a cell
    assert surface_loss(Surface(logits, aside), texels) == pytest.approx(4 * 0.25 / 2, abs=1e-5)
    unsure = surface_loss(Surface(torch.zeros_like(logits), every), texels)
    assert unsure == pytest.approx(torch.log(torch.tensor(1.0 + CELLS**2)).item(), abs=1e-5)


def test_only_the_true_cell_of_bodies_counts_within():
    texels = torch.full((1, 2, 2), -1)
    texels[0, 0, 0] = 0  # the first cell
    within = torch.zeros(1, CELLS**2, 2, 2, 2, requires_grad=True)
    surface_loss(Surface(torch.zeros(1, 1 + CELLS**2, 2, 2), within), texels).backward()
    touched = within.grad[0].abs().sum(1)
    assert touched[0, 0, 0] > 0
    touched[0, 0, 0] = 0
    assert not touched.any()


def test_no_body_at_all():
    surface = Surface(torch.zeros(1, 1 + CELLS**2, 2, 2), torch.zeros(1, CELLS**2, 2, 2, 2))
    assert torch.isfinite(surface_loss(surface, torch.full((1, 2, 2), -1)))


def test_processes_average_to_the_joint_batch(monkeypatch):
    texels = random_texels(2, 8, 4)
    texels[1, :6] = -1  # fewer pixels of a body than the other crop has
    rng = torch.Generator().manual_seed(1)
    logits = torch.rand(2, 1 + CELLS**2, 8, 4, generator=rng)
    within = torch.rand(2, CELLS**2, 2, 8, 4, generator=rng) - 0.5
    joint = surface_loss(Surface(logits, within), texels)
    body = (texels >= 0).sum().float()
    monkeypatch.setattr("sanreid.train.runtime.world_size", lambda: 2)
    monkeypatch.setattr("sanreid.train.runtime.all_sum", lambda _: body)
    own = [surface_loss(Surface(logits[n : n + 1], within[n : n + 1]), texels[n : n + 1])
           for n in range(2)]  # fmt: skip
    torch.testing.assert_close(sum(own) / 2, joint)
    assert (own[0] - own[1]).abs() > 0.1


def test_shapes_must_agree():
    surface = Surface(torch.zeros(1, 1 + CELLS**2, 4, 2), torch.zeros(1, CELLS**2, 2, 4, 2))
    with pytest.raises(InputError, match=r"texels must be of shape \(1, 4, 2\); got \(1, 8, 4\)"):
        surface_loss(surface, random_texels(1, 8, 4))


def test_mirrored_crops_show_the_other_side():
    tables = open_atlas(DataConfig())
    body = tables.valid.flatten().nonzero()[:, 0]
    texels = body[torch.arange(48).view(2, 6, 4) * 500 % len(body)]
    texels[:, 0] = -1
    turned = mirrored_texels(texels, torch.tensor([True, False]), tables)
    assert torch.equal(turned[1], texels[1])
    assert (turned[0, 0] == -1).all()
    assert torch.equal(turned[0, 1:], tables.mirror[texels[0, 1:]])
    assert not torch.equal(turned[0, 1:], texels[0, 1:])
    again = mirrored_texels(turned, torch.tensor([True, False]), tables)
    assert torch.equal(again, texels)
