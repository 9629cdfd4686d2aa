"""Crops of one identity: what each camera adds is the camera's own."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sanreid.train.pit.generate.cameras import crops as module
from sanreid.train.pit.generate.cameras.crops import draw_identity, photograph
from sanreid.train.pit.generate.cameras.sightings import PeopleSettings, Sighting
from sanreid.train.pit.generate.people.poses import STREET_ACTIVITIES

SETTINGS = PeopleSettings(4, 3, seed=8)


@pytest.fixture(scope="module")
def dressed(studio):
    return draw_identity(studio, SETTINGS, 0)


def test_crops_are_pictures_of_different_moments(studio, dressed):
    sighting = Sighting(1, 0, (10, 40, 90))
    crops = photograph(studio, SETTINGS, dressed, 0, sighting)
    assert len({crop.jpeg for crop in crops}) == 3
    for crop in crops:
        with Image.open(io.BytesIO(crop.jpeg)) as opened:
            width, height = opened.size
            assert height >= 32
            assert width >= 16
            assert np.asarray(opened).std() > 5
        assert crop.facts["activity"] in STREET_ACTIVITIES
        assert -180 <= crop.facts["seen_from_deg"] <= 180
        assert 0 <= crop.facts["shown"] <= 1
    again = photograph(studio, SETTINGS, dressed, 0, sighting)
    assert [c.jpeg for c in again] == [c.jpeg for c in crops]


def test_around_the_person_is_the_plate(studio, dressed, monkeypatch):
    looks = []
    real = module._look

    def remember(figure, person, camera, plate, hour, position, box):
        light = real(figure, person, camera, plate, hour, position, box)
        looks.append((camera, plate, hour, box, light))
        return light

    monkeypatch.setattr(module, "_look", remember)
    photograph(studio, SETTINGS, dressed, 0, Sighting(2, 1, (5, 30)))
    for _, plate, hour, (x0, y0, x1, y1), light in looks:
        columns, rows = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        empty = plate.light(hour, columns, rows)
        off = np.abs(light - empty).max(2)
        same = off < 1e-3
        assert 0.05 < same.mean() < 0.9  # the rest is the person and their shadow
        assert off[~same].max() > 0.05


def test_nobody_is_seen_through_a_wall(studio, dressed, monkeypatch):
    camera, plate = module._camera(SETTINGS, 3)
    nearer = type(plate)(plate.colors, np.full_like(plate.depth, 0.5), plate.gains)
    figure = studio.pose(dressed, module.draw_pose(np.random.default_rng(0), "standing"))
    position = np.array([0, np.sqrt(camera.near * camera.far), 0], np.float32)
    box = module._box(np.random.default_rng(0), camera, [figure.meshes[0].vertices + position])
    shown = module._look(figure, dressed, camera, plate, 0, position, box)
    hidden = module._look(figure, dressed, camera, nearer, 0, position, box)
    columns, rows = np.meshgrid(np.arange(box[0], box[2]), np.arange(box[1], box[3]))
    np.testing.assert_allclose(hidden, plate.light(0, columns, rows), atol=1e-6)
    assert np.abs(shown - hidden).max() > 0.1


def test_the_side_seen_is_that_of_the_camera():
    front, back = np.array([0, 5.0, 0]), np.array([0, 5.0, 0])
    assert module._seen_from(0.0, front) == pytest.approx(0)  # faces -y, where the camera is
    assert abs(module._seen_from(np.pi, back)) == pytest.approx(np.pi)
