"""Things carried: boxes with a colour of their own and no place in the texture."""

from __future__ import annotations

import numpy as np

from sanreid.train.pit.body import Array
from sanreid.train.pit.palette import SHOES, TORSO, draw_colour
from sanreid.train.pit.poses import Pose
from sanreid.train.pit.render import Figure, Mesh, Studio

__all__ = ["draw_props"]

_CUBE_FACES = np.array(
    [
        (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
        (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3),
    ],
    np.int32,
)  # fmt: skip


def draw_props(rng: np.random.Generator, studio: Studio, figure: Figure, pose: Pose) -> Figure:
    """Put bags into the hands that carry, or a box before the chest."""
    body, joints = studio.body, figure.posed.joints
    things = []
    for side in pose.carries:
        if side == "front":
            hands = (joints[body.bone("wrist.L")] + joints[body.bone("wrist.R")]) / 2
            size = rng.uniform((0.15, 0.12, 0.1), (0.22, 0.2, 0.2))
            things.append(_box(hands + np.array([0, -0.02, 0.02]), size, 0.0, rng))
            continue
        hand = joints[body.bone(f"finger3-1.{side}")]
        size = rng.uniform((0.04, 0.10, 0.10), (0.09, 0.22, 0.22))
        centre = hand - np.array([0, 0, size[2] + rng.uniform(0.02, 0.14)])
        centre[2] = max(centre[2], size[2] + 0.02)
        things.append(_box(centre, size, rng.normal(0, 0.3), rng))
    return Figure((*figure.meshes, *things), figure.posed)


def _box(centre: Array, half: Array, turn: float, rng: np.random.Generator) -> Mesh:
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    taper = np.where(signs[:, 2:] > 0, [[0.75, 0.9, 1.0]], [[1.0, 1.0, 1.0]])
    corners = signs * half * taper
    c, s = np.cos(turn), np.sin(turn)
    corners = corners @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + centre
    # Each triangle has corners of its own, so that the box's faces stay flat.
    vertices = corners[_CUBE_FACES].reshape(-1, 3).astype(np.float32)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    colour = draw_colour(rng, TORSO if rng.random() < 0.6 else SHOES)
    return Mesh(vertices, faces, np.zeros((len(faces), 3, 2), np.float32), colour=colour)
