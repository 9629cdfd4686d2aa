"""Things carried: boxes with a color of their own and no texels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from sanreid.train.pit.generate.clothing.palette import SHOES, TORSO, draw_color
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.people.poses import Pose
from sanreid.train.pit.generate.studio import Figure, Mesh, Studio

__all__ = ["box_mesh", "draw_props"]

_SIGNS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
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
        if side.startswith("umbrella"):
            things += _umbrella(rng, studio, figure, side[-1])
            continue
        hand = joints[body.bone(f"finger3-1.{side}")]
        size = rng.uniform((0.04, 0.10, 0.10), (0.09, 0.22, 0.22))
        centre = hand - np.array([0, 0, size[2] + rng.uniform(0.02, 0.14)])
        centre[2] = max(centre[2], size[2] + 0.02)
        things.append(_box(centre, size, rng.normal(0, 0.3), rng))
    if pose.activity == "cycling":
        return _on_bicycle(rng, studio, figure)
    return Figure((*figure.meshes, *things), figure.posed)


def box_mesh(center: Array, half: Array, turn: float, color: Array) -> Mesh:
    """Return a box of one color.

    Args:
        center: (3,) metres.
        half: (3,) half its size along its own axes.
        turn: Radians about z.
        color: (3,) in [0, 1].
    """
    c, s = np.cos(turn), np.sin(turn)
    corners = _SIGNS * half @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + center
    return _flat_sided(corners, color)


def _umbrella(rng: np.random.Generator, studio: Studio, figure: Figure, side: str) -> list[Mesh]:
    """Return the stick from the hand to above the head and a canopy of eight parts."""
    hand = figure.posed.joints[studio.body.bone(f"finger3-1.{side}")]
    crown = float(figure.meshes[0].vertices[:, 2].max())
    top = np.array([hand[0] * 0.6, hand[1] * 0.6, crown + rng.uniform(0.16, 0.28)])
    radius, color = rng.uniform(0.42, 0.58), draw_color(rng, TORSO)
    turn = np.linspace(0, 2 * np.pi, 9)
    rings = []
    for share, drop in ((0.55, 0.06), (1.0, 0.2)):
        ring = radius * share * np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
        rings.append(top + ring - np.array([0, 0, drop]))
    triangles = []
    for n in range(8):
        inner, outer = rings[0][n : n + 2], rings[1][n : n + 2]
        triangles += [
            (top, inner[0], inner[1]),
            (inner[0], outer[0], outer[1]),
            (inner[0], outer[1], inner[1]),
        ]
    vertices = np.array(triangles, np.float32).reshape(-1, 3)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    canopy = Mesh(vertices, faces, np.zeros((len(faces), 3, 2), np.float32), color=color)
    return [_bar(hand, top, 0.008, np.full(3, 0.2, np.float32)), canopy]


def _on_bicycle(rng: np.random.Generator, studio: Studio, figure: Figure) -> Figure:
    """Put a bicycle under the person, its lower pedal above the ground."""
    body, joints = studio.body, figure.posed.joints
    up = np.array([0, 0, 0.13], np.float32)
    meshes = tuple(replace(mesh, vertices=mesh.vertices + up) for mesh in figure.meshes)
    seat = joints[body.bone("root")] + up - np.array([0, -0.05, 0.13])
    hands = (joints[body.bone("wrist.L")] + joints[body.bone("wrist.R")]) / 2 + up
    radius = 0.33
    back = np.array([seat[0], seat[1] + 0.32, radius])
    front = np.array([seat[0], min(hands[1], seat[1] - 0.4) - 0.22, radius])
    crank = np.array([seat[0], (front[1] + back[1]) / 2 + 0.03, radius - 0.03])
    head = np.array([seat[0], front[1] + 0.2, max(hands[2] - 0.12, 0.6)])
    grip, saddle = np.array([0.26, 0, 0]), np.array([0, 0.11, 0])
    bars = [
        (seat, crank), (crank, head), (seat * 0.8 + crank * 0.2, head), (crank, back),
        (seat * 0.8 + crank * 0.2, back), (head, front), (hands - grip, hands + grip),
        (head, hands),
    ]  # fmt: skip
    color = draw_color(rng, TORSO)
    dark = np.full(3, 0.1, np.float32)
    parts = [_bar(a, b, 0.016, color) for a, b in bars]
    for hub in (front, back):
        turn = np.linspace(0, 2 * np.pi, 17)
        rim = hub + radius * np.stack([0 * turn, np.cos(turn), np.sin(turn)], 1)
        parts += [_bar(a, b, 0.02, dark) for a, b in pairwise(rim)]
    parts.append(_bar(seat - saddle, seat + saddle, 0.05, dark))
    posed = replace(
        figure.posed, vertices=figure.posed.vertices + up, joints=figure.posed.joints + up
    )
    return Figure((*meshes, *parts), posed)


def _bar(start: Array, end: Array, half: float, color: Array) -> Mesh:
    """Return a square bar from one point to another."""
    along = np.asarray(end, np.float64) - start
    length = float(np.linalg.norm(along))
    along = along / max(length, 1e-6)
    aside = np.cross(along, [1.0, 0, 0] if abs(along[0]) < 0.9 else [0, 1.0, 0])
    aside /= np.linalg.norm(aside)
    axes = np.stack([aside, np.cross(along, aside), along])
    corners = (_SIGNS * [half, half, length / 2]) @ axes + (np.asarray(start) + end) / 2
    return _flat_sided(corners, color)


def _box(centre: Array, half: Array, turn: float, rng: np.random.Generator) -> Mesh:
    taper = np.where(_SIGNS[:, 2:] > 0, [[0.75, 0.9, 1.0]], [[1.0, 1.0, 1.0]])
    corners = _SIGNS * half * taper
    c, s = np.cos(turn), np.sin(turn)
    corners = corners @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + centre
    return _flat_sided(corners, draw_color(rng, TORSO if rng.random() < 0.6 else SHOES))


def _flat_sided(corners: Array, color: Array) -> Mesh:
    """Return a box of eight corners; no triangles share corners, so its sides stay flat."""
    vertices = corners[_CUBE_FACES].reshape(-1, 3).astype(np.float32)
    faces = np.arange(len(vertices), dtype=np.int32).reshape(-1, 3)
    return Mesh(vertices, faces, np.zeros((len(faces), 3, 2), np.float32), color=color)
