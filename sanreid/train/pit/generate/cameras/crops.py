"""Crops: an identity in a pose, before a camera, cut out and kept as that camera keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sanreid.train.pit.generate.cameras.camera import RenderedCamera
from sanreid.train.pit.generate.cameras.plate import Plate, render_plate
from sanreid.train.pit.generate.cameras.response import capture
from sanreid.train.pit.generate.cameras.sightings import PeopleSettings, Sighting, the_camera
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.people.identity import draw_person
from sanreid.train.pit.generate.people.poses import STREET_ACTIVITIES, Pose, draw_pose
from sanreid.train.pit.generate.render import World, outlines
from sanreid.train.pit.generate.scenes.props import draw_props
from sanreid.train.pit.generate.studio import Dressed, Figure, Studio, turned, with_other

__all__ = ["Crop", "draw_identity", "photograph"]

_IDENTITIES, _VISITS, _PROPS, _BYSTANDERS = 3, 4, 5, 6  # second number of a seed
_BYSTANDER_SHARE = 0.13  # of the crops, with another person in the box
_OTHERS = 24  # people who are seen only as bystanders
_SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))
_TRIES = 6  # positions, until enough of the person is seen
_ENOUGH = 0.62  # share of the person within the frame and before everything else


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop and what is known of it."""

    jpeg: bytes
    facts: dict[str, Any]


def draw_identity(studio: Studio, settings: PeopleSettings, identity: int) -> Dressed:
    """Draw, paint and shape the identity of this number."""
    rng = np.random.default_rng([settings.seed, _IDENTITIES, identity])
    return studio.dress(draw_person(rng, street=True))


def photograph(
    studio: Studio, settings: PeopleSettings, dressed: Dressed, identity: int, sighting: Sighting
) -> list[Crop]:
    """Take the crops of one sighting; each shows another moment, pose and position.

    Args:
        studio: The body and its tables.
        settings: Of the data set.
        dressed: The identity.
        identity: Its number.
        sighting: Camera, hour and frames.
    """
    camera, plate = _camera(settings, sighting.camera)
    seed = [settings.seed, _VISITS, identity, sighting.camera]
    rng = np.random.default_rng(seed)
    activity = _activity(rng, camera)
    heading = _heading(rng, camera)
    crops = []
    for number in range(len(sighting.frames)):
        rng = np.random.default_rng([*seed, number + 1])
        if number and rng.random() < 0.35:  # they turned round, or came back
            heading = _heading(rng, camera)
        pose = draw_pose(rng, activity)
        figure = studio.pose(dressed, pose)
        own = len(figure.meshes)
        things = np.random.default_rng([settings.seed, _PROPS, identity])  # theirs everywhere
        figure = draw_props(things, studio, figure, pose)
        turn = np.pi - heading + rng.normal(0, 0.18)
        figure = Figure(turned(figure.meshes, turn, np.zeros(3)), figure.posed)
        position, shown = _position(rng, camera, plate, figure.meshes[0].vertices)
        box = _box(rng, camera, [m.vertices + position for m in figure.meshes[:own]])
        if rng.random() < _BYSTANDER_SHARE:
            figure = _with_bystander(rng, studio, settings, figure)
        light = _look(figure, dressed, camera, plate, sighting.hour, position, box)
        off_axis = _off_axis(camera, box)
        jpeg = capture(light, off_axis, camera.response, plate.gains[sighting.hour], rng)
        side = np.degrees(_seen_from(turn, position))
        crops.append(Crop(jpeg, _facts(pose, position, side, shown)))
    return crops


@cache
def _camera(settings: PeopleSettings, number: int) -> tuple[RenderedCamera, Plate]:
    """Return the camera and its plate, made once in each process."""
    camera = the_camera(settings, number)
    return camera, render_plate(camera)


def _activity(rng: np.random.Generator, camera: RenderedCamera) -> str:
    shares = dict(STREET_ACTIVITIES)
    if camera.location.indoors:
        shares |= {"cycling": 0.0, "under an umbrella": 0.0}
    weights = np.array(list(shares.values()))
    return str(list(shares)[rng.choice(len(weights), p=weights / weights.sum())])


def _heading(rng: np.random.Generator, camera: RenderedCamera) -> float:
    """Direction in which somebody walks, radians from y; most keep to the location's."""
    if rng.random() < 0.3:
        return float(rng.uniform(-np.pi, np.pi))
    return float(camera.location.walking + rng.choice([0, np.pi]) + rng.normal(0, 0.3))


def _position(
    rng: np.random.Generator, camera: RenderedCamera, plate: Plate, vertices: Array
) -> tuple[Array, float]:
    """Draw where a person stands, (3,), and the share of them that is seen there."""
    body = vertices[::16]
    best, most = np.zeros(3, np.float32), -1.0
    for _ in range(_TRIES):
        y = rng.uniform(camera.near, camera.far)
        x = rng.uniform(-1, 1) * camera.spread * y
        position = np.array([x, y, 0], np.float32)
        pixels, depth = camera.project(body + position)
        column, row = np.floor(pixels).astype(np.int64).T
        inside = (column >= 0) & (column < camera.frame[1]) & (row >= 0) & (row < camera.frame[0])
        column, row = column.clip(0, camera.frame[1] - 1), row.clip(0, camera.frame[0] - 1)
        shown = float((inside & (plate.depth[row, column] > depth - 0.25)).mean())
        if shown > most:
            best, most = position, shown
        if shown > _ENOUGH:
            break
    return best, most


def _box(
    rng: np.random.Generator, camera: RenderedCamera, meshes: list[Array]
) -> tuple[int, int, int, int]:
    """Draw the detector's box round a person: left, top, right, bottom, whole pixels."""
    pixels = camera.project(np.concatenate(meshes))[0]
    (left, top), (right, bottom) = pixels.min(0), pixels.max(0)
    tall = bottom - top
    above, below = camera.padding
    top -= (above + rng.normal(0, 0.015)) * tall
    bottom += (below + rng.normal(0, 0.015)) * tall
    if rng.random() < 0.04:  # it lost the feet
        bottom -= rng.uniform(0.08, 0.25) * tall
    tall = bottom - top
    wide = max(tall * rng.uniform(0.38, 0.50), (right - left) * rng.uniform(0.92, 1.1))
    middle = (left + right) / 2 + rng.normal(0, 0.03) * wide
    height, width = camera.frame
    x0, x1 = int(max(middle - wide / 2, 0)), int(np.ceil(min(middle + wide / 2, width)))
    y0, y1 = int(max(top, 0)), int(np.ceil(min(bottom, height)))
    x0, y0 = min(x0, width - 16), min(y0, height - 32)
    return x0, y0, max(x1, x0 + 16), max(y1, y0 + 32)


def _with_bystander(
    rng: np.random.Generator, studio: Studio, settings: PeopleSettings, figure: Figure
) -> Figure:
    """Put somebody else beside, behind or partly before the person."""
    number = int(rng.integers(_OTHERS))
    key = (settings.seed, _BYSTANDERS, number)
    if key not in studio.kept:
        studio.kept[key] = studio.dress(draw_person(np.random.default_rng(key), street=True))
    other = studio.kept[key]
    position = np.array([rng.choice([-1, 1]) * rng.uniform(0.4, 0.9), rng.uniform(-0.5, 2.5), 0])
    posed = studio.pose(other, draw_pose(rng, str(rng.choice(["walking", "standing"]))))
    return with_other(figure, posed, other.texture, rng.uniform(0, 2 * np.pi), position)


def _look(
    figure: Figure,
    dressed: Dressed,
    camera: RenderedCamera,
    plate: Plate,
    hour: int,
    position: Array,
    box: tuple[int, int, int, int],
) -> Array:
    """Return the light of each pixel of a box, (H, W, 3); the person stays at the origin."""
    x0, y0, x1, y1 = box
    columns, rows = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
    x, y = columns.ravel(), rows.ravel()
    eye = camera.eye - position

    def backdrop(_origins: Array, rays: Array) -> Array:
        return plate.light(hour, *camera.pixels(rays))

    world = World(figure.meshes, dressed.texture, camera.lights[hour], backdrop)

    def cast(across: Array, down: Array) -> tuple[Array, Array]:
        rays = camera.rays(across, down)
        color, _, depth = world.look(eye, rays)
        at = camera.pixels(rays)
        before = np.flatnonzero(plate.depth[at[1], at[0]] < depth)
        color[before] = plate.light(hour, at[0][before], at[1][before])
        depth[before] = plate.depth[at[1][before], at[0][before]]
        return color, depth

    light, depth = cast(x + 0.5, y + 0.5)
    edge = np.flatnonzero(outlines(depth.reshape(rows.shape)))
    if len(edge):
        across = np.concatenate([x[edge] + 0.5 + dx for dx, _ in _SUBPIXELS])
        down = np.concatenate([y[edge] + 0.5 + dy for _, dy in _SUBPIXELS])
        more = cast(across, down)[0].reshape(len(_SUBPIXELS), len(edge), 3)
        light[edge] = (light[edge] + more.sum(0)) / (1 + len(_SUBPIXELS))
    return light.reshape(*rows.shape, 3)


def _off_axis(camera: RenderedCamera, box: tuple[int, int, int, int]) -> Array:
    """Distance of each pixel of a box from the middle of the frame, 1 at its corners, (H, W)."""
    height, width = camera.frame
    x = (np.arange(box[0], box[2]) + 0.5) / width * 2 - 1
    y = (np.arange(box[1], box[3]) + 0.5) / height * 2 - 1
    off: Array = (np.hypot(*np.meshgrid(x, y)) / np.sqrt(2)).astype(np.float32)
    return off


def _seen_from(turn: float, position: Array) -> float:
    """Return where a person is seen from, radians: 0 their front, pi their back."""
    facing = np.array([np.sin(turn), -np.cos(turn)])
    to_camera = -position[:2] / max(float(np.linalg.norm(position[:2])), 1e-6)
    cross = facing[0] * to_camera[1] - facing[1] * to_camera[0]
    return float(np.arctan2(cross, facing @ to_camera))


def _facts(pose: Pose, position: Array, side_deg: float, shown: float) -> dict[str, Any]:
    return {
        "activity": pose.activity,
        "position_m": [round(float(v), 2) for v in position[:2]],
        "seen_from_deg": round(float(side_deg), 1),
        "shown": round(shown, 2),
    }
