from __future__ import annotations

import numpy as np
import pytest

from sanreid.train.pit.generate.atlas import mirror_texture, sample
from sanreid.train.pit.generate.people.identity import draw_person
from sanreid.train.pit.generate.people.poses import draw_pose, mirror_pose
from sanreid.train.pit.generate.render import render, seen_texels
from sanreid.train.pit.generate.scenes.scene import (
    Camera,
    Light,
    draw_camera,
    draw_light,
    draw_stage,
)
from sanreid.train.pit.generate.studio import Figure, Mesh

ONES = np.ones(3, np.float32)
UP = np.array([0, 0, 1], np.float32)


def grey(_origins, rays):
    return np.full((len(rays), 3), 0.5, np.float32)


def a_view(studio, number=0):
    rng = np.random.default_rng([2, number])
    dressed = studio.dress(draw_person(rng))
    pose = draw_pose(rng)
    figure = studio.pose(dressed, pose)
    return dressed, pose, figure, draw_camera(rng, figure.points), draw_light(rng)


@pytest.mark.parametrize("number", range(3))
def test_the_texture_at_the_uv_map_is_the_crop_before_lighting(studio, number):
    dressed, _, figure, camera, light = a_view(studio, number)
    picture = render(figure, dressed.texture, camera, light, grey)
    on = picture.uv[..., 0] >= 0
    assert 0.1 < on.mean() < 0.9
    again = sample(dressed.texture, picture.uv[on])
    assert np.abs(again - picture.unlit[on]).max() < 0.5 / 255
    # What is lit is that color times one light per pixel: none of it is color of its own.
    # A white overcast from everywhere leaves the colors' proportions as they are.
    flat = Light(UP, ONES * 0, ONES * 0.5, ONES * 0.4, 1.0)
    plain = render(figure, dressed.texture, camera, flat, grey, smooth=False)
    inside = on & (plain.crop.max(2) < 0.99) & (plain.unlit.min(2) > 0.02)
    ratio = plain.crop[inside] / plain.unlit[inside]
    assert np.ptp(ratio, axis=1).max() < 1e-3


def test_seen_texels_are_those_that_the_uv_map_reads(studio):
    dressed, _, figure, camera, light = a_view(studio, 1)
    picture = render(figure, dressed.texture, camera, light, grey)
    on = picture.uv[..., 0] >= 0
    place = np.clip((picture.uv[on] * 256).astype(int), 0, 255)
    assert picture.seen[place[:, 1], place[:, 0]].all()
    read = np.zeros((256, 256), bool)
    read[place[:, 1], place[:, 0]] = True
    near = np.zeros_like(read)
    for dy in range(-6, 7):
        for dx in range(-6, 7):
            near |= np.roll(read, (dy, dx), (0, 1))
    assert not (picture.seen & ~near).any()
    # From the front the chest is seen and the back is not.
    assert 0.05 < (picture.seen & studio.atlas.valid).sum() / studio.atlas.valid.sum() < 0.6


def test_no_body_no_texel():
    assert not seen_texels(np.full((256, 128, 2), -1, np.float32)).any()
    one = np.full((256, 128, 2), -1, np.float32)
    one[3, 4] = (10.5 / 256, 20.5 / 256)  # the centre of the texel in row 20, column 10
    rows, columns = np.nonzero(seen_texels(one))
    assert (20, 10) in set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(rows) <= 4


def test_mirroring_commutes_with_rendering(studio):
    rng = np.random.default_rng(11)
    person = draw_person(rng)
    even = tuple(g for g in person.garments if g.kind not in ("shoulder bag", "watch"))
    person = type(person)(person.phenotypes, person.skin, person.lips, person.hair, even, 5)
    dressed = studio.dress(person)
    pose = draw_pose(rng)
    figure = studio.pose(dressed, pose)
    camera, light = draw_camera(rng, figure.points), draw_light(rng)
    first = render(figure, dressed.texture, camera, light, grey)

    flip = np.array([-1, 1, 1], np.float32)
    left, top, right, bottom = camera.box
    axes = camera.axes * flip * np.array([[-1], [1], [1]], np.float32)
    other = Camera(camera.position * flip, axes, (-right, top, -left, bottom), -camera.heading)
    sun = Light(light.direction * flip, light.sun, light.sky, light.bounce, light.softness)
    texture = mirror_texture(dressed.texture, studio.atlas.mirror)
    second = render(studio.pose(dressed, mirror_pose(pose)), texture, other, sun, grey)

    apart = np.abs(second.crop[:, ::-1] - first.crop).max(2)
    assert np.mean(apart) < 0.004
    assert np.mean(apart > 0.05) < 0.01
    # The check can fail: without mirroring the texture, or by flipping it as a picture, it does.
    for wrong in (dressed.texture, dressed.texture[:, ::-1]):
        bad = render(studio.pose(dressed, mirror_pose(pose)), wrong, other, sun, grey)
        assert np.mean(np.abs(bad.unlit[:, ::-1] - first.unlit)) > 5 * np.mean(
            np.abs(second.unlit[:, ::-1] - first.unlit)
        )
    # So does a mask of seen texels.
    both = first.seen & studio.atlas.valid
    mirrored = mirror_texture(second.seen & studio.atlas.valid, studio.atlas.mirror)
    assert (both & mirrored).sum() / (both | mirrored).sum() > 0.95


def test_the_box_holds_the_person(studio):
    for number in range(12):
        rng = np.random.default_rng([3, number])
        points = studio.body.shape({}).vertices
        camera = draw_camera(rng, points)
        local = (points - camera.position) @ camera.axes.T
        flat = local[:, :2] / local[:, 2:]
        left, top, right, bottom = camera.box
        inside = (flat >= [left, top]).all(1) & (flat <= [right, bottom]).all(1)
        assert inside.mean() > 0.6
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-5)
        down = camera.axes[1]
        assert down[2] < -0.3  # pictures are upright


def test_a_prop_hides_texels_and_has_none(studio):
    dressed, _, figure, camera, light = a_view(studio, 2)
    before = render(figure, dressed.texture, camera, light, grey)
    towards = camera.position - figure.points.mean(0)
    towards /= np.linalg.norm(towards)
    middle = figure.points.mean(0) + towards * 1.0
    right, down = camera.axes[0] * 3, camera.axes[1] * 3
    wall = np.stack([middle - right - down, middle + right - down, middle + down]).astype(
        np.float32
    )
    board = Mesh(
        wall, np.array([[0, 1, 2]], np.int32), np.zeros((1, 3, 2), np.float32), color=ONES * 0.5
    )
    after = render(
        Figure((*figure.meshes, board), figure.posed), dressed.texture, camera, light, grey
    )
    assert before.seen.any()
    assert not after.seen.any()


def test_shadow_darkens_the_ground(studio):
    dressed, _, figure, camera, _ = a_view(studio, 0)
    darkest = []
    for x, y in ((0.6, 0), (-0.6, 0), (0, 0.6), (0, -0.6)):
        low = np.array([x, y, 0.8], np.float32)
        sunny = Light(low, ONES, ONES * 0.3, ONES * 0.1, 0.0)
        picture = render(figure, dressed.texture, camera, sunny, grey, smooth=False)
        ground = picture.crop[picture.uv[..., 0] < 0]
        assert ground.max() == pytest.approx(0.5, abs=1e-6)
        darkest.append(float(ground.min()))
    assert min(darkest) < 0.35  # one of the four falls into the picture


def test_stages_and_lights_are_colors():
    for number in range(30):
        rng = np.random.default_rng(number)
        stage, light = draw_stage(rng), draw_light(rng)
        assert 0 < stage.ground.min() <= stage.ground.max() < 1
        assert np.linalg.norm(light.direction) == pytest.approx(1, abs=1e-5)
        assert light.direction[2] > 0.3


def test_a_pixels_texel_lies_on_the_pixels_ray(studio):
    # The way back: from texture coordinates to the place on the posed body, to the picture.
    dressed, _, figure, camera, light = a_view(studio, 2)
    body = Figure(figure.meshes[:1], figure.posed)  # a skirt's corners read texels of the legs
    picture = render(body, dressed.texture, camera, light, grey, smooth=False)
    surface = studio.atlas.on_body(figure.meshes[0].vertices, studio.body.faces)
    rows, columns = np.nonzero(picture.uv[..., 0] >= 0)
    texel = np.clip((picture.uv[rows, columns] * 256).astype(int), 0, 255)
    on = studio.atlas.valid[texel[:, 1], texel[:, 0]]
    place = surface[texel[on, 1], texel[on, 0]]
    local = (place - camera.position) @ camera.axes.T
    flat = local[:, :2] / local[:, 2:]
    left, top, right, bottom = camera.box
    x = (flat[:, 0] - left) / (right - left) * 128 - 0.5
    y = (flat[:, 1] - top) / (bottom - top) * 256 - 0.5
    off = np.hypot((x - columns[on]) * 2, y - rows[on])  # in rows; a column is two wide
    assert on.mean() > 0.95
    assert np.median(off) < 1.5
    assert np.quantile(off, 0.98) < 5
