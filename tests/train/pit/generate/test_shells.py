from __future__ import annotations

import numpy as np
import pytest

from sanreid.train.pit.generate.clothing.fabrics import draw_fabric
from sanreid.train.pit.generate.clothing.garments import Garment
from sanreid.train.pit.generate.clothing.shells import raised, tube_vertices
from sanreid.train.pit.generate.people.identity import Person
from sanreid.train.pit.generate.surface import NEUTRAL

GREY = np.full(3, 0.5, np.float32)


def garment(kind, thickness, **cut):
    fabric = draw_fabric(np.random.default_rng(0), "plain", GREY, GREY, GREY)
    return Garment(kind, fabric, cut, thickness)


def lifted(studio, *garments):
    """How far each vertex of the neutral body is moved, (V, 3)."""
    neutral = studio.body.shape(NEUTRAL)
    return raised(neutral, studio.body, studio.vertices, garments).vertices - neutral.vertices


def test_cloth_stands_off_the_skin_by_its_thickness(studio):
    shirt = garment("T-shirt", 0.02, sleeve=0.6, hem=0.1, neck=0.08)
    moved = np.linalg.norm(lifted(studio, shirt), axis=1)
    surface = studio.vertices
    chest = surface.part["torso"] & (np.abs(surface.position[:, 2] - 0.45) < 0.05)
    np.testing.assert_allclose(moved[chest], 0.02, atol=1e-5)
    assert moved[surface.part["foot"] | surface.part["hand"] | surface.part["head"]].max() == 0


def test_layers_do_not_add_up(studio):
    shirt = garment("T-shirt", 0.02, sleeve=0.6, hem=0.1, neck=0.08)
    jacket = garment("jacket", 0.03, sleeve=1.9, hem=0.1, neck=0.08)
    moved = np.linalg.norm(lifted(studio, shirt, jacket), axis=1)
    assert moved.max() == pytest.approx(0.03, abs=1e-5)


def test_a_backpack_stands_off_the_back_alone(studio):
    pack = garment("backpack", 0.1, width=0.13, bottom=0.3)
    moved = lifted(studio, pack)
    assert moved[:, 1].max() > 0.09  # y points to the back
    behind = moved[:, 1] > 0.03
    assert (studio.vertices.position[behind, 1] > 0).all()
    assert np.abs(moved[behind, 0]).max() < 0.01


def test_shoes_have_no_toes(studio):
    feet = studio.vertices.part["foot"]
    neutral = studio.body.shape(NEUTRAL).vertices
    shoes = garment("shoes", 0.0, top=1.9, low=0.02)
    smooth = raised(studio.body.shape(NEUTRAL), studio.body, studio.vertices, (shoes,)).vertices
    front = feet & (neutral[:, 1] < -0.12) & (neutral[:, 0] > 0)

    def roughness(points):
        own = studio.body.faces[front[studio.body.faces].all(1)]
        return np.linalg.norm(points[own[:, 0]] - points[own[:, 1]], axis=1).std()

    assert roughness(smooth) < roughness(neutral)
    assert np.abs(smooth - neutral)[~feet].max() == 0


def test_the_tube_lies_about_the_legs_and_reads_their_texels(studio):
    tube = studio.tube
    valid = studio.atlas.valid
    texel = np.clip((tube.uv * 256).astype(int), 0, 255)
    assert valid[texel[..., 1], texel[..., 0]].all()
    # The corners of a triangle read texels side by side: none spans a cut of the chart.
    assert np.ptp(tube.uv, axis=1).max() < 0.2
    regions = studio.texels.part["leg"] | studio.texels.part["torso"]
    assert regions.reshape(256, 256)[texel[..., 1], texel[..., 0]].all()
    # What they read is the surface near by.
    surface = studio.texels.position.reshape(256, 256, 3)[texel[..., 1], texel[..., 0]]
    apart = np.linalg.norm(surface - tube.vertices[tube.faces], axis=2)
    assert np.median(apart) < 0.05
    np.testing.assert_allclose(tube.skin.sum(1), 1, atol=1e-4)
    # In the middle, front and back, it hangs from both legs alike; at the sides from its own.
    left = tube.skin[:, [b.endswith(".L") for b in studio.body.bones]].sum(1)
    right = tube.skin[:, [b.endswith(".R") for b in studio.body.bones]].sum(1)
    low = tube.level < -0.2
    middle = low & (np.abs(tube.vertices[:, 0]) < 1e-4)
    assert middle.any()
    np.testing.assert_allclose(left[middle], right[middle], atol=0.02)
    assert left[low & (tube.vertices[:, 0] > 0.15)].min() > 0.9
    beside = low & (np.abs(tube.vertices[:, 0] - 0.03) < 0.025)
    assert beside.any()
    assert left[beside].max() < 0.9  # it passes from one leg to the other gradually
    neutral = studio.body.shape(NEUTRAL)
    wide = tube_vertices(tube, studio.body, neutral, flare=0.3, off=0.0, top=0.1)
    tight = tube_vertices(tube, studio.body, neutral, flare=0.0, off=0.0, top=0.1)
    np.testing.assert_allclose(tight, tube.vertices, atol=1e-6)
    grown = ((wide - tight) * tube.outward).sum(1)
    assert grown[tube.level > 0.1].max() < 1e-6
    assert grown[tube.level < -0.3].min() > 0.05


def test_only_what_hangs_free_gets_a_tube(studio):
    def dressed(*garments):
        return studio.dress(Person({"age": 0.7}, GREY, GREY, GREY, garments, 0))

    skirt = garment("skirt", 0.005, waist=0.27, length=0.9, flare=0.2)
    long_skirt = garment("skirt", 0.005, waist=0.27, length=1.6, flare=0.2)
    shorts = garment("shorts", 0.005, waist=0.27, length=0.9)
    assert dressed(shorts).tube is None
    assert 0 < len(dressed(skirt).tube_faces) < len(dressed(long_skirt).tube_faces)
    coat = garment("coat", 0.02, sleeve=1.9, hem=-0.3, neck=0.08)
    jacket = garment("coat", 0.02, sleeve=1.9, hem=0.1, neck=0.08)
    assert dressed(coat).tube is not None
    assert dressed(jacket).tube is None
