"""Where texels look and where they are seen: the loss, and mirrored crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sanreid.errors import ConfigError, InputError
from sanreid.train.config import DecoderConfig, LossConfig, PitConfig, TrainConfig
from sanreid.train.config.data import DataConfig
from sanreid.train.losses.locations import location_loss, visibility_loss
from sanreid.train.pit.locations import locations
from sanreid.train.textures.targets import mirrored_locations, open_atlas


def test_only_texels_that_are_seen_count():
    looked = torch.zeros(2, 4, 4, 2, requires_grad=True)
    seen = torch.full((2, 2, 4, 4), torch.nan)
    seen[0, :, 1, 2] = torch.tensor([0.5, -0.1])
    seen[1, :, 3, 3] = torch.tensor([-0.2, 0.0])
    loss = location_loss(looked, seen)
    assert loss.item() == pytest.approx((0.5 + 0.1 + 0.2) / 4)
    loss.backward()
    assert torch.count_nonzero(looked.grad) == 3
    assert looked.grad.isfinite().all()
    assert location_loss(looked, torch.full_like(seen, torch.nan)).item() == 0


def test_what_passes_for_seen_is_compared_with_what_is():
    seen = torch.full((1, 2, 2, 2), torch.nan)
    seen[0, :, 0, 0] = 0.3
    logits = torch.tensor([[[[2.0, -1.0], [0.0, -3.0]]]])
    expected = [torch.tensor(x).sigmoid().log() for x in (2.0, 1.0, 0.0, 3.0)]
    assert visibility_loss(logits, seen).item() == pytest.approx(-sum(expected).item() / 4)


def test_shapes_that_do_not_fit():
    with pytest.raises(InputError, match=r"got \(2, 4, 4, 2\) and \(2, 4, 4, 2\)"):
        location_loss(torch.zeros(2, 4, 4, 2), torch.zeros(2, 4, 4, 2))


def test_a_mirrored_crop_shows_the_other_side_at_the_mirrored_place():
    tables = open_atlas(DataConfig())
    rng = np.random.default_rng(0)
    body = np.flatnonzero(tables.valid.numpy())
    texels = rng.choice(body, (256, 128))
    shown = rng.random((256, 128)) < 0.5

    def uv_of(texels, shown):
        uv = np.stack([(texels % 256 + 0.5) / 256, (texels // 256 + 0.5) / 256], -1)
        return np.where(shown[..., None], uv, -1).astype(np.float32)

    mirror = tables.mirror.numpy()
    expected = locations(uv_of(mirror[texels][:, ::-1], shown[:, ::-1]))
    given = torch.from_numpy(locations(uv_of(texels, shown)))
    both = mirrored_locations(given[None].repeat(2, 1, 1, 1), torch.tensor([True, False]), tables)
    np.testing.assert_allclose(both[0].numpy(), expected, atol=1e-6)
    np.testing.assert_array_equal(both[1].numpy(), given.numpy())


def test_only_a_run_that_copies_has_the_loss():
    with pytest.raises(ConfigError, match=r"loss\.locations is for SAN-PG with decoder\.copy"):
        TrainConfig(
            decoder=DecoderConfig(copy=False),
            pit=PitConfig(folder="pairs"),
            loss=LossConfig(identity=0.0, triplet=0.0, reconstruction=1.0, locations=1.0),
        )
