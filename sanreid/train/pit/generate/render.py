"""Rendering: a posed, dressed body before a camera; its crop, UV map and seen texels.

Each pixel casts a ray at the body with Embree; the point it meets gives the texture coordinates,
these the color, and shadow rays to the sun and to five points of the sky the light. Pixels at
edges cast four more rays, so outlines are smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.atlas import TEXTURE_SIZE, sample
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.rays import Scene
from sanreid.train.pit.generate.scenes.scene import CROP_SIZE, Camera, Light
from sanreid.train.pit.generate.studio import Figure, Mesh
from sanreid.train.pit.generate.surface import vertex_normals

__all__ = ["Picture", "World", "outlines", "render", "seen_texels"]

_SKY = np.array(
    [[0, 0, 1], [0.8, 0, 0.6], [-0.8, 0, 0.6], [0, 0.8, 0.6], [0, -0.8, 0.6]], np.float32
)
_SUBPIXELS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
_ONE_SURFACE = 10  # texels between neighbouring pixels, at most, that show one piece of surface
Backdrop = Callable[[Array, Array], Array]
"""Colors behind the person from (N, 3) ray origins and directions, before shadows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera sees of a figure, H x W = 256 x 128."""

    crop: Array  # (H, W, 3) in [0, 1], lit, before occluders and the camera's faults
    unlit: Array  # (H, W, 3) the texture's colors at the UV map; 0 off the body
    uv: Array  # (H, W, 2) texture coordinates, v down, quantised; -1 off the body

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Texels seen, (256, 256)."""
        return seen_texels(self.uv)


def render(
    figure: Figure,
    texture: Array,
    camera: Camera,
    light: Light,
    backdrop: Backdrop,
    *,
    smooth: bool = True,
) -> Picture:
    """Render a figure.

    Args:
        figure: As returned by ``Studio.pose``; more meshes (props, bystanders) may be added.
        texture: (256, 256, 3) in [0, 1].
        camera: Position and box.
        light: Sun and sky.
        backdrop: What lies behind.
        smooth: Cast four more rays at pixels on edges.
    """
    height, width = CROP_SIZE
    world = World(figure.meshes, texture, light, backdrop)
    crop, uv, depth = world.look(camera.position, camera.rays())
    unlit = np.zeros_like(crop)
    on = uv[:, 0] >= 0
    unlit[on] = sample(texture, uv[on])
    if smooth:
        edge = np.flatnonzero(outlines(depth.reshape(height, width)))
        total = crop[edge]
        for offset in _SUBPIXELS:
            total = total + world.look(camera.position, camera.rays(offset)[edge])[0]
        crop[edge] = total / (1 + len(_SUBPIXELS))
    uv = uv.reshape(height, width, 2)
    return Picture(
        crop=np.clip(crop, 0, 1).reshape(height, width, 3),
        unlit=unlit.reshape(height, width, 3),
        uv=uv,
    )


def seen_texels(uv: Array, valid: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return texels that a UV map shows, (256, 256) bool.

    They are those that bilinear reading at the map's pixels touches, and those between four
    pixels that lie side by side on the surface; holes of one texel are closed.

    Args:
        uv: (H, W, 2), negative off the body.
        valid: Texels on the body; others are never seen.
    """
    read = np.zeros((TEXTURE_SIZE + 2, TEXTURE_SIZE + 2), bool)
    texel = np.concatenate([uv[uv[..., 0] >= 0], _between(uv)])
    texel = np.clip(texel * TEXTURE_SIZE - 0.5, 0, TEXTURE_SIZE - 1.001)
    x, y = texel.astype(np.int64).T + 1
    for dy in (0, 1):
        for dx in (0, 1):
            read[y + dy, x + dx] = True
    wide = _grow(read)
    closed = ~_grow(~wide) | read
    seen: NDArray[np.bool_] = closed[1:-1, 1:-1]
    return seen if valid is None else seen & valid


def _between(uv: Array) -> Array:
    """Texture coordinates within each four neighbouring pixels of one surface, (N, 2)."""
    on = uv[..., 0] >= 0
    rows, columns = np.nonzero(on[:-1, :-1] & on[:-1, 1:] & on[1:, :-1] & on[1:, 1:])
    quads = [uv[rows + dy, columns + dx] for dy in (0, 1) for dx in (0, 1)]
    corners = np.stack(quads, 1)  # (N, 4, 2)
    lowest = np.minimum(np.minimum(quads[0], quads[1]), np.minimum(quads[2], quads[3]))
    highest = np.maximum(np.maximum(quads[0], quads[1]), np.maximum(quads[2], quads[3]))
    spread = np.maximum(*(highest - lowest).T) * TEXTURE_SIZE
    near = (spread < _ONE_SURFACE) & (spread > 1)
    part = np.arange(4) / 4
    across, down = (axis.ravel() for axis in np.meshgrid(part, part))
    weights = np.stack(
        [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down], 1
    )
    inside: Array = np.matmul(weights.astype(np.float32), corners[near]).reshape(-1, 2)
    return inside


class World:
    """All triangles of a picture, and the light on them."""

    def __init__(
        self, meshes: tuple[Mesh, ...], texture: Array, light: Light, backdrop: Backdrop
    ) -> None:
        starts = np.cumsum([0] + [len(m.vertices) for m in meshes])
        self.vertices = np.concatenate([m.vertices for m in meshes])
        self.faces = np.concatenate(
            [m.faces + start for m, start in zip(meshes, starts[:-1], strict=True)]
        ).astype(np.int32)
        self.normals = np.concatenate([vertex_normals(m.vertices, m.faces) for m in meshes])
        self.uv = np.concatenate([m.uv for m in meshes])
        self.owner = np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes])
        self.meshes, self.texture, self.light, self.backdrop = meshes, texture, light, backdrop
        self.scene = Scene(self.vertices, self.faces)
        self.reach = float(np.abs(self.vertices[:, :2]).max()) + 2.5

    def look(self, eye: Array, rays: Array) -> tuple[Array, Array, Array]:
        """Colors, texture coordinates (-1 off the person) and depths of (N, 3) rays."""
        origins = np.broadcast_to(eye, rays.shape)
        hits = self.scene.cast(origins, rays)
        color = self.backdrop(origins, rays)
        color *= self._ground_light(eye, rays, hits.face < 0)[:, None]
        uv = np.full((len(rays), 2), -1, np.float32)
        depth = np.where(hits.face >= 0, hits.distance, 1e6).astype(np.float32)
        on = np.flatnonzero(hits.face >= 0)
        face = hits.face[on]
        weights = np.stack([1 - hits.u[on] - hits.v[on], hits.u[on], hits.v[on]], 1)
        corners = self.faces[face]
        normal = np.einsum("nk,nkc->nc", weights, self.normals[corners])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        normal *= -np.sign((normal * rays[on]).sum(1, keepdims=True))
        point = eye + rays[on] * hits.distance[on, None]
        texture_uv = np.einsum("nk,nkc->nc", weights, self.uv[face])
        texture_uv = quantise(texture_uv)
        owner = self.owner[face]
        albedo = np.empty((len(on), 3), np.float32)
        for i, mesh in enumerate(self.meshes):
            own = owner == i
            if mesh.color is not None:
                albedo[own] = mesh.color
            elif mesh.texture is not None:
                albedo[own] = sample(mesh.texture, texture_uv[own])
            else:
                albedo[own] = sample(self.texture, texture_uv[own])
                uv[on[own]] = texture_uv[own]
        color[on] = albedo * self.shade(point, normal)
        return color, uv, depth

    def shade(self, point: Array, normal: Array) -> Array:
        """Light on (N, 3) points with unit normals, (N, 3)."""
        light = self.light
        start = (point + normal * 0.004).astype(np.float32)
        facing = np.clip(normal @ light.direction, 0, 1)
        shadow = np.zeros(len(point), np.float32)
        lit = np.flatnonzero(facing > 0)
        blocked = self.scene.blocked(start[lit], np.broadcast_to(light.direction, (len(lit), 3)))
        shadow[lit] = 1 - blocked * (1 - 0.6 * light.softness)
        open_sky = np.zeros(len(point), np.float32)
        for way in _SKY:
            toward = np.clip(normal @ way + 0.25, 0, 1) / (1.25 * len(_SKY))
            up = np.flatnonzero(toward > 0)
            free = ~self.scene.blocked(start[up], np.broadcast_to(way, (len(up), 3)))
            open_sky[up] += toward[up] * (0.25 + 0.75 * free)
        below = 0.5 - 0.5 * normal[:, 2]
        shade: Array = (
            (facing * shadow)[:, None] * light.sun
            + (0.35 + 1.15 * open_sky[:, None]) * light.sky
            + below[:, None] * light.bounce * 0.8
        )
        return shade.astype(np.float32)

    def _ground_light(self, eye: Array, rays: Array, free: NDArray[np.bool_]) -> Array:
        """1 on open ground, less in the person's shadow and under its feet, (N,)."""
        dimmed = np.ones(len(rays), np.float32)
        down = np.flatnonzero(free & (rays[:, 2] < -1e-4))
        distance = -eye[2] / rays[down, 2]
        point = eye + rays[down] * distance[:, None]
        near = np.abs(point[:, :2]).max(1) < self.reach
        down, point = down[near], point[near].astype(np.float32)
        point[:, 2] = 0.003
        sun_share = self.light.sun.mean() / (self.light.sun.mean() + self.light.sky.mean())
        blocked = self.scene.blocked(point, np.broadcast_to(self.light.direction, point.shape))
        dark = 0.75 * sun_share * blocked * (1 - 0.5 * self.light.softness)
        for way in _SKY:
            hidden = self.scene.blocked(point, np.broadcast_to(way, point.shape))
            dark = dark + 0.5 / len(_SKY) * (1 - sun_share) * hidden
        dimmed[down] = 1 - dark
        return dimmed


def quantise(uv: Array) -> Array:
    """Round texture coordinates to what the shards keep: 65,534 steps."""
    rounded: Array = (np.rint(uv * 65534) / 65534).astype(np.float32)
    return rounded


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    wide = grown.copy()
    wide[:, 1:] |= grown[:, :-1]
    wide[:, :-1] |= grown[:, 1:]
    return wide


def outlines(depth: Array) -> NDArray[np.bool_]:
    """Return pixels beside another surface: on and off the body, or a step in depth."""
    scaled = np.minimum(depth, 60.0)
    edge = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        step = np.abs(np.diff(scaled, axis=axis)) > 0.06
        pad_before = [(0, 0), (0, 0)]
        pad_before[axis] = (1, 0)
        pad_after = [(0, 0), (0, 0)]
        pad_after[axis] = (0, 1)
        edge |= np.pad(step, pad_before) | np.pad(step, pad_after)
    return edge.reshape(-1)
