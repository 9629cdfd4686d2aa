from __future__ import annotations

import numpy as np
import pytest

from sanreid.train.pit.generate.atlas import TEXTURE_SIZE, mirror_texture, sample
from sanreid.train.pit.generate.atlas_tables import compute_tables
from sanreid.train.pit.tables import REGIONS, load_tables


def test_sampling_is_bilinear():
    texture = np.zeros((4, 4, 1), np.float32)
    texture[1, 1] = 1
    at = np.array([[1.5, 1.5], [2.0, 1.5], [2.0, 2.0], [3.5, 3.5]], np.float32) / 4
    np.testing.assert_allclose(sample(texture, at)[:, 0], [1, 0.5, 0.25, 0], atol=1e-6)


def test_mirroring_twice_changes_nothing():
    mirror = load_tables()["mirror"].astype(np.int64)
    np.testing.assert_array_equal(mirror[mirror], np.arange(TEXTURE_SIZE**2))
    texture = np.random.default_rng(0).random((TEXTURE_SIZE, TEXTURE_SIZE, 3))
    there = mirror_texture(texture, mirror)
    assert np.abs(there - texture).max() > 0.5
    np.testing.assert_array_equal(mirror_texture(there, mirror), texture)


def test_mirroring_keeps_the_body_and_its_parts():
    tables = load_tables()
    mirror, valid, regions = (tables[n] for n in ("mirror", "valid", "regions"))
    np.testing.assert_array_equal(valid.reshape(-1)[mirror], valid.reshape(-1))
    assert (regions.reshape(-1)[mirror] == regions.reshape(-1)).mean() > 0.999
    assert set(np.unique(regions)) == set(range(len(REGIONS) + 1))
    assert 0.55 < valid.mean() < 0.7


def test_packaged_tables_are_the_body_models(studio):
    packaged, computed = load_tables(), compute_tables(studio)
    for name, table in computed.items():
        np.testing.assert_array_equal(packaged[name], table, err_msg=name)


def test_mirrored_texels_lie_on_opposite_places(studio):
    surface = studio.atlas.on_body(studio.body.template, studio.body.faces)
    other = mirror_texture(surface, studio.atlas.mirror) * np.array([-1, 1, 1])
    apart = np.linalg.norm(other - surface, axis=2)[studio.atlas.valid]
    assert apart.max() < 0.005
    assert np.median(apart) < 1e-4
    # Left and right do change surface: only a few texels on the axes keep theirs.
    kept = studio.atlas.mirror == np.arange(TEXTURE_SIZE**2)
    assert (kept & studio.atlas.valid.reshape(-1)).sum() < 400


def test_gutters_carry_the_colors_of_their_chart(studio):
    atlas = studio.atlas
    texture = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE, 1), np.float32)
    texture[atlas.valid] = 1
    filled = atlas.filled(texture)
    grown = np.zeros_like(atlas.valid)
    grown[1:] |= atlas.valid[:-1]
    grown[:, 1:] |= atlas.valid[:, :-1]
    assert filled[grown].min() == 1


def test_places_are_where_they_are_said_to_be(studio):
    surface, valid = studio.texels, studio.atlas.valid.reshape(-1)
    left = surface.position[:, 0] > 0.02
    assert (surface.side[valid & left] == 1).all()
    hand = surface.part["hand"] & valid
    assert surface.arm[hand].min() > 1.7
    foot = surface.part["foot"] & valid
    assert surface.leg[foot].min() > 1.6
    assert surface.along[surface.part["neck"] & valid].max() < 0.12
    assert surface.elevation[valid].max() == pytest.approx(np.pi / 2, abs=0.1)
