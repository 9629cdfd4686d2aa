"""Rendered cameras: how each hangs, what it looks at, the light at its hours, its response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.cameras.location import Location, draw_location
from sanreid.train.pit.generate.cameras.response import Response, draw_response
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.scenes.scene import Light

__all__ = ["HOURS", "RenderedCamera", "draw_rendered_camera"]

HOURS = 4
"""Times of day at which people are seen; a camera's light differs between them."""


@dataclass(frozen=True, slots=True)
class RenderedCamera:
    """A camera at (0, 0, height) that looks along y and down; lengths in metres.

    Attributes:
        height: Above the ground.
        axes: (3, 3) rows: right, down, forward.
        focal_px: Focal length in pixels.
        middle: (x, y) pixel of the optical axis.
        frame: (H, W) of its picture, pixels.
        near: Metres to where people come nearest.
        far: Metres to where they are farthest.
        spread: Half the width of their zone over its distance.
        padding: (above, below) the person that its detector takes in, shares of their height.
        location: What it looks at.
        lights: The light at each of the :data:`HOURS`.
        response: What it makes of the light.
    """

    height: float
    axes: Array
    focal_px: float
    middle: tuple[float, float]
    frame: tuple[int, int]
    near: float
    far: float
    spread: float
    padding: tuple[float, float]
    location: Location
    lights: tuple[Light, ...]
    response: Response

    @property
    def eye(self) -> Array:
        """Position, (3,)."""
        return np.array([0, 0, self.height], np.float32)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return pixels (N, 2) and depths (N,) of (N, 3) points."""
        local = (points - self.eye) @ self.axes.T
        depth = local[:, 2]
        pixels = local[:, :2] / np.maximum(depth, 1e-3)[:, None] * self.focal_px + self.middle
        return pixels, depth

    def rays(self, x: Array, y: Array) -> Array:
        """Return directions through pixels, (N, 3); their forward part is 1."""
        across = (x - self.middle[0]) / self.focal_px
        down = (y - self.middle[1]) / self.focal_px
        flat = np.stack([across, down, np.ones_like(across)], 1)
        rays: Array = (flat @ self.axes).astype(np.float32)
        return rays

    def pixels(self, rays: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return columns and rows of the pixels that (N, 3) directions go through."""
        local = rays @ self.axes.T
        flat = local[:, :2] / local[:, 2:] * self.focal_px + self.middle
        x, y = np.floor(flat).astype(np.int64).T
        return np.clip(x, 0, self.frame[1] - 1), np.clip(y, 0, self.frame[0] - 1)

    def describe(self) -> dict[str, Any]:
        """Return the camera as plain values, for the index."""
        return {
            "height_m": round(self.height, 2),
            "tilt_deg": round(float(np.degrees(np.arcsin(-self.axes[2, 2]))), 1),
            "focal_px": round(self.focal_px, 1),
            "frame": list(self.frame),
            "indoors": self.location.indoors,
            "ground": self.location.ground.kind,
            "wall": self.location.blocks[0].material.kind,
            "response": self.response.describe(),
        }


def draw_rendered_camera(rng: np.random.Generator) -> RenderedCamera:
    """Draw one camera and all that is its own."""
    indoors = bool(rng.random() < 0.4)
    height = float(rng.uniform(2.2, 3.4) if indoors else rng.uniform(2.0, 6.0))
    near = float(rng.uniform(2.4, 5.5) + max(height - 2.8, 0) * 1.1)
    far = near * float(rng.uniform(1.5, 2.1))
    middle_m = float(np.sqrt(near * far))
    tall_px = float(np.clip(np.exp(rng.normal(np.log(150), 0.33)), 90, 280))
    focal = tall_px / 1.68 * float(np.hypot(middle_m, height - 0.9))
    pitch = float(np.arctan2(height - 0.9 + rng.normal(0, 0.15), middle_m))
    axes = _axes(pitch, float(rng.normal(0, 0.03)))
    spread = float(rng.uniform(0.22, 0.42))

    corners = np.array(
        [(s * spread * d, d, z) for s in (-1, 1) for d in (near, far) for z in (0, 1.9)]
    )
    local = (corners - [0, 0, height]) @ axes.T
    flat = local[:, :2] / local[:, 2:] * focal
    low, high = flat.min(0) - 0.1 * tall_px, flat.max(0) + 0.1 * tall_px
    if rng.random() < 0.25:  # people near to it lose their feet
        high[1] -= rng.uniform(0.1, 0.35) * tall_px
    size = np.ceil(high - low).astype(int)
    lights = _hours(rng, indoors=indoors)
    return RenderedCamera(
        height=height,
        axes=axes,
        focal_px=focal,
        middle=(float(-low[0]), float(-low[1])),
        frame=(int(size[1]), int(size[0])),
        near=near,
        far=far,
        spread=spread,
        padding=(float(rng.uniform(0.0, 0.08)), float(rng.uniform(-0.01, 0.07))),
        location=draw_location(rng, near=near, far=far, indoors=indoors),
        lights=lights,
        response=draw_response(rng),
    )


def _axes(pitch: float, roll: float) -> Array:
    c, s = np.cos(pitch), np.sin(pitch)
    right, down, forward = np.array([[1.0, 0, 0], [0, -s, -c], [0, c, -s]])
    right, down = (
        right * np.cos(roll) + down * np.sin(roll),
        down * np.cos(roll) - right * np.sin(roll),
    )
    return np.stack([right, down, forward]).astype(np.float32)


def _hours(rng: np.random.Generator, *, indoors: bool) -> tuple[Light, ...]:
    """Draw the light of each hour."""
    if indoors:
        turn, steep = rng.uniform(-np.pi, np.pi), np.radians(rng.uniform(50, 88))
        share, softness = rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.0)
        warm = 1 + rng.normal(0, 0.04) * np.array([1, 0.2, -1]) + rng.normal(0, 0.015, 3)
        lights = []
        for _ in range(HOURS):
            level = 1.35 * np.exp(rng.normal(0, 0.06))
            lights.append(_light(turn, steep, level, share, warm, warm, softness))
    else:
        lights = []
        turn = rng.uniform(-np.pi, np.pi)
        for hour in range(HOURS):
            overcast = rng.random() < 0.5
            share = rng.uniform(0.03, 0.2) if overcast else rng.uniform(0.35, 0.7)
            steep = np.radians((30, 58, 50, 22)[hour] + rng.normal(0, 5))
            evening = hour == HOURS - 1 and rng.random() < 0.5
            level = (0.75 if evening else 1.4) * np.exp(rng.normal(0, 0.14))
            warm = 1 + (rng.normal(0, 0.03) + 0.04 * evening) * np.array([1, 0.2, -1])
            cool = 1 - rng.uniform(0, 0.06) * np.array([1, 0.2, -1])
            at = turn + np.radians(-70 + 50 * hour)
            softness = float(np.clip(1.1 - 1.6 * share, 0, 1))
            lights.append(_light(at, steep, level, share, warm, cool, softness))
    return tuple(lights)


def _light(
    turn: float,
    steep: float,
    level: float,
    share: float,
    warm: Array,
    cool: Array,
    softness: float,
) -> Light:
    """Return a light of this level; ``share`` of it comes from the sun or the lamp."""
    direction = [np.cos(turn) * np.cos(steep), np.sin(turn) * np.cos(steep), np.sin(steep)]
    return Light(
        direction=np.array(direction, np.float32),
        sun=(level * 0.85 * share * warm).astype(np.float32),
        sky=(level * (1.02 - 0.75 * share) * cool).astype(np.float32),
        bounce=(level * 0.55 * (1 - 0.5 * share) * warm).astype(np.float32),
        softness=softness,
    )
