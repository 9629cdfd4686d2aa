"""A rendered camera's geometry and its plate, against the arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sanreid.train.pit.generate.cameras.camera import HOURS, draw_rendered_camera
from sanreid.train.pit.generate.cameras.location import Block
from sanreid.train.pit.generate.cameras.materials import (
    GROUNDS,
    WALLS,
    draw_material,
    paint,
)
from sanreid.train.pit.generate.cameras.plate import render_plate


def a_camera(number=0):
    return draw_rendered_camera(np.random.default_rng([9, number]))


@pytest.mark.parametrize("number", range(4))
def test_rays_go_where_points_are_projected(number):
    camera = a_camera(number)
    rng = np.random.default_rng(number)
    points = rng.uniform((-2, camera.near, 0), (2, camera.far, 2), (50, 3)).astype(np.float32)
    pixels, depth = camera.project(points)
    again = camera.eye + camera.rays(pixels[:, 0], pixels[:, 1]) * depth[:, None]
    np.testing.assert_allclose(again, points, atol=2e-3)
    inside = (pixels >= 0).all(1) & (pixels < camera.frame[::-1]).all(1)
    x, y = camera.pixels(camera.rays(pixels[:, 0], pixels[:, 1]))
    near_line = np.abs(pixels - np.rint(pixels)).min(1) < 1e-2  # rounding may choose either side
    found = np.stack([x, y], 1)[inside & ~near_line]
    np.testing.assert_array_equal(found, np.floor(pixels)[inside & ~near_line])


def test_people_in_the_zone_are_in_the_frame():
    for number in range(20):
        camera = a_camera(number)
        y = np.sqrt(camera.near * camera.far)
        head_and_feet = np.array([[0, y, 1.75], [0, y, 0.0]], np.float32)
        pixels, _ = camera.project(head_and_feet)
        assert (pixels > 0).all()
        assert (pixels < camera.frame[::-1]).all()
        assert 80 < pixels[1, 1] - pixels[0, 1] < 320


def test_cameras_differ_and_each_is_the_same_again():
    facts = [a_camera(number).describe() for number in range(12)]
    assert facts[3] == a_camera(3).describe()
    for name in ("height_m", "tilt_deg", "focal_px"):
        assert len({one[name] for one in facts}) == 12
    for name in ("exposure", "gamma", "noise", "blur_px"):
        assert len({one["response"][name] for one in facts}) == 12


def test_the_plate_has_the_depth_of_the_ground_and_of_what_stands_on_it(studio):
    camera = a_camera(1)
    middle = float(np.sqrt(camera.near * camera.far))
    block = Block(
        np.array([0, middle + 0.5, 0.5]), np.array([0.3, 0.5, 0.5]), 0.0,
        draw_material(np.random.default_rng(0), {"plain": 1.0}),
    )  # fmt: skip
    camera = replace(camera, location=replace(camera.location, blocks=(block,)))
    plate = render_plate(camera)
    assert len(plate.colors) == len(plate.gains) == HOURS
    assert plate.depth.shape == camera.frame

    def depth_at(point):
        pixels, depth = camera.project(np.array([point], np.float32))
        x, y = np.floor(pixels[0]).astype(int)
        return plate.depth[y, x], depth[0]

    seen, wanted = depth_at([0, middle, 0.5])  # the face of the block
    assert seen == pytest.approx(wanted, abs=0.1)
    seen, wanted = depth_at([0.8, middle, 0.0])  # the ground beside it
    assert seen == pytest.approx(wanted, rel=0.02)
    seen, behind = depth_at([0, middle + 1.4, 0.2])  # hidden by the block
    assert seen < behind - 0.2


def test_the_automatic_exposure_lifts_what_is_dark(studio):
    camera = a_camera(2)
    dim = [
        replace(one, sun=one.sun * 0.3, sky=one.sky * 0.3, bounce=one.bounce * 0.3)
        for one in camera.lights
    ]
    bright, dark = render_plate(camera), render_plate(replace(camera, lights=tuple(dim)))
    for gain, lifted in zip(bright.gains, dark.gains, strict=True):
        assert lifted.mean() > gain.mean()


@pytest.mark.parametrize("kind", sorted({**GROUNDS, **WALLS}))
def test_materials_are_colors_with_a_texture(kind):
    rng = np.random.default_rng(4)
    material = draw_material(rng, {kind: 1.0})
    x, y = rng.uniform(-20, 20, (2, 3000)).astype(np.float32)
    colors = paint(material, x, y)
    assert colors.shape == (3000, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert colors.std(0).max() > 0.003
    np.testing.assert_array_equal(colors, paint(material, x, y))
