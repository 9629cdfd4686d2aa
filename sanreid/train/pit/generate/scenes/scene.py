"""Scenes: surveillance cameras, light, ground and walls, and the detector's box.

World: the person stands at the origin on z = 0, facing -y. Lengths in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sanreid.train.pit.generate.people.body import Array

__all__ = ["CROP_SIZE", "Camera", "Light", "Stage", "draw_camera", "draw_light", "draw_stage"]

CROP_SIZE = (256, 128)
"""Height and width of a crop, pixels."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera and the box that is cut from its picture."""

    position: Array  # (3,)
    axes: Array  # (3, 3) rows: right, down, forward
    box: tuple[float, float, float, float]  # left, top, right, bottom, in tangents of the view
    heading: float  # radians; where the person is seen from: 0 its front, pi its back

    def rays(self, offset: tuple[float, float] = (0.5, 0.5)) -> Array:
        """Directions through the pixels, (256 * 128, 3); ``offset`` within each pixel."""
        height, width = CROP_SIZE
        left, top, right, bottom = self.box
        x = left + (np.arange(width) + offset[0]) / width * (right - left)
        y = top + (np.arange(height) + offset[1]) / height * (bottom - top)
        columns, rows = np.meshgrid(x, y)
        flat = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3)
        rays: Array = (flat @ self.axes).astype(np.float32)
        return rays

    def describe(self) -> dict[str, Any]:
        """Return the camera as plain values, for the index."""
        return {
            "position": [round(float(x), 3) for x in self.position],
            "box": [round(float(x), 4) for x in self.box],
            "heading_deg": round(float(np.degrees(self.heading)), 1),
        }


@dataclass(frozen=True, slots=True)
class Light:
    """A sun (or a lamp) and the sky."""

    direction: Array  # (3,) towards the sun
    sun: Array  # (3,) RGB
    sky: Array  # (3,) RGB from above
    bounce: Array  # (3,) RGB from below
    softness: float  # 0 hard shadows, 1 none

    def describe(self) -> dict[str, Any]:
        """Return the light as plain values, for the index."""
        return {
            "direction": [round(float(x), 3) for x in self.direction],
            "sun": [round(float(x), 3) for x in self.sun],
            "sky": [round(float(x), 3) for x in self.sky],
            "softness": round(self.softness, 3),
        }


@dataclass(frozen=True, slots=True)
class Stage:
    """A procedural ground and what stands behind, in the frame of the person."""

    seed: int
    kind: str
    ground: Array  # (2, 3) colors
    wall: Array  # (2, 3)
    distance: float  # of the wall
    tile: float


def draw_camera(rng: np.random.Generator, points: Array) -> Camera:
    """Draw a camera that looks at a person, and a detector-like box round it.

    Args:
        rng: A generator.
        points: (V, 3) of the posed person.
    """
    heading = rng.uniform(-np.pi, np.pi)
    height = rng.uniform(1.2, 5.0)
    distance = rng.uniform(3.5, 14.0) + max(height - 2.5, 0) * 1.2
    seen_from = np.array([np.sin(heading), -np.cos(heading), 0.0])
    position = seen_from * distance + np.array([0, 0, height])
    middle = (points.min(0) + points.max(0)) / 2
    position[:2] += middle[:2]
    forward = middle + rng.normal(0, 0.25, 3) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = rng.normal(0, 0.035)
    right, down = (
        right * np.cos(roll) + down * np.sin(roll),
        down * np.cos(roll) - right * np.sin(roll),
    )
    axes = np.stack([right, down, forward])
    local = (points - position) @ axes.T
    flat = local[:, :2] / local[:, 2:]
    (left, top), (rightmost, bottom) = flat.min(0), flat.max(0)

    tall = bottom - top
    pad = rng.uniform(0.0, 0.09, 2) * tall
    top, bottom = top - pad[0], bottom + pad[1]
    cut = rng.random()
    if cut < 0.06:  # the detector lost the feet
        bottom -= rng.uniform(0.1, 0.32) * tall
    elif cut < 0.09:  # or the head
        top += rng.uniform(0.05, 0.14) * tall
    tall = bottom - top
    wide = max(tall * rng.uniform(0.42, 0.56), (rightmost - left) * rng.uniform(0.86, 1.1))
    centre = (left + rightmost) / 2 + rng.normal(0, 0.03) * wide
    return Camera(
        position=position.astype(np.float32),
        axes=axes.astype(np.float32),
        box=(centre - wide / 2, top, centre + wide / 2, bottom),
        heading=float(heading),
    )


def draw_light(rng: np.random.Generator) -> Light:
    """Draw daylight, an overcast sky or lamps indoors."""
    turn, height = rng.uniform(-np.pi, np.pi), np.radians(rng.uniform(25, 75))
    direction = np.array(
        [np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)]
    )
    share = rng.beta(1.2, 1.6)  # of the sun in the whole
    level = np.clip(rng.normal(1.4, 0.26), 0.7, 2.2)
    warm = (
        np.array([1, 1, 1])
        + rng.normal(0, 0.04) * np.array([1, 0.2, -1])
        + rng.normal(0, 0.015, 3)
    )
    cool = np.array([1, 1, 1]) - rng.uniform(0, 0.06) * np.array([1, 0.2, -1])
    return Light(
        direction=direction.astype(np.float32),
        sun=(level * 0.85 * share * warm).astype(np.float32),
        sky=(level * (1.02 - 0.75 * share) * cool).astype(np.float32),
        bounce=(level * 0.55 * (1 - 0.5 * share) * warm).astype(np.float32),
        softness=float(np.clip(1.1 - 1.6 * share, 0, 1)),
    )


def draw_stage(rng: np.random.Generator) -> Stage:
    """Draw a ground and a wall."""
    kinds = ("tiles", "asphalt", "grass", "planks", "plain")
    kind = str(rng.choice(kinds, p=[0.35, 0.3, 0.12, 0.08, 0.15]))
    grey = rng.uniform(0.18, 0.68)
    ground = np.full((2, 3), grey) + rng.normal(0, 0.018, (2, 3)) + rng.normal(0, 0.06, (2, 1))
    if kind == "grass":
        ground = np.array([[0.30, 0.36, 0.20], [0.36, 0.40, 0.24]]) * rng.uniform(0.6, 1.3)
    wall = rng.uniform(0.1, 0.66, (2, 1)) + rng.normal(0, 0.025, (2, 3))
    return Stage(
        seed=int(rng.integers(2**31)),
        kind=kind,
        ground=np.clip(ground, 0.05, 0.9).astype(np.float32),
        wall=np.clip(wall, 0.05, 0.9).astype(np.float32),
        distance=float(rng.uniform(0.8, 9)),
        tile=float(rng.uniform(0.25, 1.1)),
    )
