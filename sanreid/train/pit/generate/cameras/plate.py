"""Plates: a camera's location with nobody in it, rendered once for each hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.cameras.camera import RenderedCamera
from sanreid.train.pit.generate.cameras.location import Block, Location
from sanreid.train.pit.generate.cameras.materials import paint
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.render import World
from sanreid.train.pit.generate.scenes.props import box_mesh
from sanreid.train.pit.generate.studio import Mesh

__all__ = ["Plate", "render_plate"]

_BRIGHTEST = 1.7  # light kept in a plate's bytes
_FAR = 1e6
_CHUNK = 60_000  # pixels at once


@dataclass(frozen=True, slots=True)
class Plate:
    """What a camera sees of its location."""

    colors: tuple[NDArray[np.uint8], ...]  # (H, W, 3) at each hour
    depth: Array  # (H, W) metres along the optical axis
    gains: tuple[Array, ...]  # (3,) automatic exposure and white balance at each hour

    def light(self, hour: int, x: NDArray[np.int64], y: NDArray[np.int64]) -> Array:
        """Return the light from some pixels at an hour, (N, 3)."""
        light: Array = self.colors[hour][y, x] * np.float32(_BRIGHTEST / 255)
        return light


def render_plate(camera: RenderedCamera) -> Plate:
    """Render a camera's location at each of its hours; about a second."""
    height, width = camera.frame
    location = camera.location
    ground = np.array([[-200, -50, 0], [200, -50, 0], [200, 300, 0], [-200, 300, 0]], np.float32)
    gray = np.full(3, 0.5, np.float32)
    floor = Mesh(
        ground, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.zeros((2, 3, 2), np.float32), gray
    )
    meshes = (floor, *(box_mesh(b.center, b.half, b.turn, gray) for b in location.blocks))
    world = World(meshes, np.zeros((2, 2, 3), np.float32), camera.lights[0], _nothing)

    depth = np.full(height * width, _FAR, np.float32)
    colors = [np.zeros((height * width, 3), np.uint8) for _ in camera.lights]
    for begin in range(0, height * width, _CHUNK):
        numbers = np.arange(begin, min(begin + _CHUNK, height * width))
        rows, columns = np.divmod(numbers, width)
        rays = camera.rays(columns + 0.5, rows + 0.5)
        hits = world.scene.cast(np.broadcast_to(camera.eye, rays.shape), rays)
        on = np.flatnonzero(hits.face >= 0)
        depth[numbers[on]] = hits.distance[on]
        point = camera.eye + rays[on] * hits.distance[on, None]
        normal = world.normals[world.faces[hits.face[on], 0]]
        normal = normal * -np.sign((normal * rays[on]).sum(1, keepdims=True))
        albedo = _albedo(location, world.owner[hits.face[on]], point, normal)
        for light, kept in zip(camera.lights, colors, strict=True):
            world.light = light
            lit = np.broadcast_to(light.sky * 0.8, (len(numbers), 3)).copy()
            lit[on] = albedo * world.shade(point, normal)
            kept[numbers] = np.clip(lit * (255 / _BRIGHTEST) + 0.5, 0, 255).astype(np.uint8)
    return Plate(
        colors=tuple(kept.reshape(height, width, 3) for kept in colors),
        depth=depth.reshape(height, width),
        gains=tuple(_automatic_gains(kept) for kept in colors),
    )


def _automatic_gains(colors: NDArray[np.uint8]) -> Array:
    """Return the gains, (3,), that bring a picture most of the way to middle gray."""
    mean = colors.reshape(-1, 3).mean(0) * (_BRIGHTEST / 255)
    exposure = np.clip((0.46 / mean.mean()) ** 0.85, 0.7, 1.6)
    white = (mean.mean() / mean) ** 0.4
    gains: Array = (exposure * white).astype(np.float32)
    return gains


def _albedo(location: Location, owner: NDArray[np.int64], point: Array, normal: Array) -> Array:
    """Color of each point before any light, (N, 3); owner 0 is the ground."""
    colors = np.empty((len(point), 3), np.float32)
    ground = owner == 0
    x, y = point[ground, 0], point[ground, 1]
    painted = paint(location.ground, x, y)
    if location.strip is not None:
        c, s = np.cos(location.strip_turn), np.sin(location.strip_turn)
        across, along = x * c - y * s, x * s + y * c
        path = np.abs(across) < location.strip_width / 2
        painted[path] = paint(location.strip, across[path], along[path])
    colors[ground] = painted
    for number, block in enumerate(location.blocks, 1):
        own = owner == number
        if own.any():
            colors[own] = _painted_block(block, point[own], normal[own])
    return colors


def _painted_block(block: Block, point: Array, normal: Array) -> Array:
    """Color of points of a box: upright sides by height, the top like a ground."""
    flat = np.abs(normal[:, 2]) > 0.7
    across = np.where(flat, point[:, 0], point[:, 0] * normal[:, 1] - point[:, 1] * normal[:, 0])
    along = np.where(flat, point[:, 1], point[:, 2])
    colors = paint(block.material, across, along)
    foot = np.clip(point[:, 2] / 0.5, 0, 1)[:, None]  # dirt and shadow where it stands
    dimmed: Array = (colors * (0.75 + 0.25 * foot)).astype(np.float32)
    return dimmed


def _nothing(_origins: Array, rays: Array) -> Array:
    return np.zeros((len(rays), 3), np.float32)
