"""Locations: what one camera looks at when nobody is there.

World of a camera: it hangs at (0, 0, height) and looks along y; x to its right, z up, metres.
People walk on the ground between ``near`` and ``far`` metres before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanreid.train.pit.generate.cameras.materials import GROUNDS, WALLS, Material, draw_material
from sanreid.train.pit.generate.people.body import Array

__all__ = ["Block", "Location", "draw_location"]


@dataclass(frozen=True, slots=True)
class Block:
    """A box that stands still: a wall, a pillar, a parked car, a bench."""

    center: Array  # (3,) metres
    half: Array  # (3,) half its size along its own axes
    turn: float  # radians about z
    material: Material


@dataclass(frozen=True, slots=True)
class Location:
    """Ground, walls and things.

    Attributes:
        indoors: Lit by lamps, the same all day.
        ground: Of the ground.
        strip: Of a path over the ground along ``strip_turn``; None where there is none.
        strip_turn: Direction of the path, radians from y.
        strip_width: Metres.
        blocks: Everything else.
        walking: Direction in which most people walk, radians from y.
    """

    indoors: bool
    ground: Material
    strip: Material | None
    strip_turn: float
    strip_width: float
    blocks: tuple[Block, ...]
    walking: float


def draw_location(rng: np.random.Generator, *, near: float, far: float, indoors: bool) -> Location:
    """Draw a location.

    Args:
        rng: The camera's generator.
        near: Metres to where people come nearest to the camera.
        far: Metres to where they are farthest.
        indoors: Lit by lamps.
    """
    walking = float(rng.choice([0.0, np.pi / 2, rng.uniform(-np.pi, np.pi)], p=[0.4, 0.3, 0.3]))
    grounds = dict(GROUNDS)
    if indoors:
        grounds |= {"grass": 0.0, "asphalt": 0.0}
    walls = dict(WALLS)
    walls |= {"hedge": 0.0, "bricks": 0.05} if indoors else {"shelves": 0.02}
    blocks = [_wall(rng, walls, far)]
    enclosed = 0.7 if indoors else 0.35
    blocks += [_side_wall(rng, walls, s, far) for s in (-1, 1) if rng.random() < enclosed]
    blocks += [_thing(rng, near, far, indoors=indoors) for _ in range(rng.integers(3, 14))]
    while rng.random() < 0.4:
        blocks.append(_post(rng, near, far))
    strip = None
    if rng.random() < 0.5:
        strip = draw_material(rng, grounds)
    return Location(
        indoors=indoors,
        ground=draw_material(rng, grounds),
        strip=strip,
        strip_turn=walking,
        strip_width=float(rng.uniform(1.5, 5)),
        blocks=tuple(blocks),
        walking=walking,
    )


def _wall(rng: np.random.Generator, walls: dict[str, float], far: float) -> Block:
    """Draw the wall at the end, so wide and high that little of the sky is seen."""
    distance = far * rng.uniform(1.15, 2.4)
    half = np.array([60.0, 0.2, rng.uniform(2.5, 12)])
    turn = float(rng.normal(0, 0.25))
    center = np.array([0, distance + 0.2 + 6 * abs(np.sin(turn)), half[2]])
    return Block(center, half, turn, draw_material(rng, walls))


def _side_wall(rng: np.random.Generator, walls: dict[str, float], side: int, far: float) -> Block:
    half = np.array([0.2, far * 1.5, rng.uniform(2.2, 8)])
    center = np.array([side * (rng.uniform(2.0, 4.5) + 0.2), far, half[2]])
    return Block(center, half, float(rng.normal(0, 0.06)), draw_material(rng, walls))


def _thing(rng: np.random.Generator, near: float, far: float, *, indoors: bool) -> Block:
    """Draw something beside or behind the walking zone: a car, a bench, a counter, a pillar."""
    inside, outside = ("counter", "pillar", "cabinet", "bin"), ("car", "bench", "hedge", "bin")
    kind = str(rng.choice(inside if indoors else outside))
    half = {
        "counter": rng.uniform((0.5, 0.3, 0.4), (1.8, 0.5, 0.6)),
        "pillar": rng.uniform((0.15, 0.15, 1.3), (0.4, 0.4, 1.8)),
        "cabinet": rng.uniform((0.3, 0.25, 0.5), (1.2, 0.5, 1.1)),
        "car": rng.uniform((0.8, 1.7, 0.55), (0.95, 2.3, 0.85)),
        "bench": rng.uniform((0.5, 0.2, 0.2), (1.0, 0.3, 0.4)),
        "hedge": rng.uniform((0.5, 0.3, 0.3), (2.5, 0.6, 0.8)),
        "bin": rng.uniform((0.2, 0.2, 0.35), (0.4, 0.4, 0.6)),
    }[kind]
    y = rng.uniform(near, far * 1.4)
    beside = rng.choice([-1, 1]) * (half[0] + rng.uniform(0.28, 0.75) * y)
    if y > far + 1.0:
        beside = rng.uniform(-0.6, 0.6) * y
    center = np.array([beside, y + half[1], half[2]])
    shares = {"hedge": 1.0} if kind == "hedge" else {"plain": 0.6, "panels": 0.3, "shelves": 0.1}
    return Block(center, half, float(rng.normal(0, 0.3)), draw_material(rng, shares))


def _post(rng: np.random.Generator, near: float, far: float) -> Block:
    """Draw a thin or a low thing between the people and the camera."""
    y = rng.uniform(near * 0.6, far * 0.8)
    if rng.random() < 0.5:
        half = np.array([rng.uniform(0.03, 0.09), 0.05, rng.uniform(0.5, 1.6)])
    else:
        half = np.array([rng.uniform(0.4, 1.2), 0.04, rng.uniform(0.2, 0.42)])
    center = np.array([rng.uniform(-0.4, 0.4) * y, y, half[2]])
    shares = {"plain": 0.8, "hedge": 0.2}
    return Block(center, half, float(rng.normal(0, 0.3)), draw_material(rng, shares))
