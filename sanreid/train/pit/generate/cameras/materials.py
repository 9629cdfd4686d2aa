"""Surfaces of locations: paving, asphalt, grass, walls, hedges, shelves; as colors over points.

A material mixes two colors by a pattern on its surface, then darkens and lightens it by stains of
about a metre, so that no two parts of a surface look the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanreid.train.pit.generate.clothing.fabrics import noise
from sanreid.train.pit.generate.people.body import Array

__all__ = ["GROUNDS", "WALLS", "Material", "draw_material", "paint"]

GROUNDS = {"tiles": 0.40, "asphalt": 0.31, "plain": 0.20, "planks": 0.04, "grass": 0.05}
"""Kinds of ground and their shares."""

WALLS = {"plain": 0.22, "windows": 0.22, "bricks": 0.14, "panels": 0.22, "hedge": 0.08,
         "shelves": 0.12}  # fmt: skip
"""Kinds of wall and their shares."""


@dataclass(frozen=True, slots=True)
class Material:
    """One surface.

    Attributes:
        kind: A key of :data:`GROUNDS` or :data:`WALLS`.
        colors: (2, 3) in [0, 1], ground and figure of the pattern.
        scale: Metres of one repeat.
        stains: Strength of the stains, 0 for none.
        seed: For what is drawn while painting.
    """

    kind: str
    colors: Array
    scale: float
    stains: float
    seed: int


def draw_material(rng: np.random.Generator, kinds: dict[str, float]) -> Material:
    """Draw a material of one of these kinds.

    Args:
        rng: A generator.
        kinds: Shares by kind.
    """
    shares = np.array(list(kinds.values()))
    kind = list(kinds)[rng.choice(len(shares), p=shares / shares.sum())]
    gray = rng.uniform(0.16, 0.62)
    tint = rng.normal(0, 0.012, 3)
    first = gray + tint
    second = gray + tint + rng.normal(0, 0.012, 3) + rng.choice([-1, 1]) * rng.uniform(0.03, 0.22)
    if kind in ("grass", "hedge"):
        green = np.array([0.24, 0.28, 0.18]) * rng.uniform(0.6, 1.6)
        first, second = green, green * np.array([1.45, 1.4, 1.3])
    elif kind == "bricks":
        first = np.array([0.44, 0.35, 0.31]) * rng.uniform(0.6, 1.4) + rng.normal(0, 0.03, 3)
        second = first * 1.25
    elif kind == "planks":
        first = np.array([0.44, 0.38, 0.32]) * rng.uniform(0.6, 1.3)
        second = first * 0.8
    elif rng.random() < 0.10:  # painted
        first = gray + rng.normal(0, 0.07, 3)
    return Material(
        kind=kind,
        colors=np.clip([first, second], 0.10, 0.85).astype(np.float32),
        scale=float(rng.uniform(0.25, 1.3)),
        stains=float(rng.uniform(0.05, 0.45)),
        seed=int(rng.integers(2**31)),
    )


def paint(material: Material, across: Array, along: Array) -> Array:
    """Return the colors of points on a surface.

    Args:
        material: Of the surface.
        across: (N,) metres along the surface.
        along: (N,) metres up a wall, or the other way over the ground.

    Returns:
        (N, 3) in [0, 1].
    """
    rng = np.random.default_rng(material.seed)
    flat = np.stack([across, along, np.zeros_like(across)], 1).astype(np.float32)
    flat = np.clip(flat, -200, 200)
    fine = noise(flat, 0.05, rng)
    x, y = flat[:, 0] / material.scale, flat[:, 1] / material.scale
    cell = (np.floor(x).astype(np.int64) * 7 + np.floor(y).astype(np.int64) * 13) % 11
    if material.kind == "shelves":
        goods = rng.uniform(0.1, 0.75, (11, 1)) + rng.normal(0, 0.09, (11, 3))
        kinds = (np.floor(x * 4).astype(np.int64) * 5 + np.floor(y * 2).astype(np.int64) * 3) % 11
        shown = goods[kinds].astype(np.float32) * (0.8 + 0.4 * fine[:, None])
        board = (y * 2 % 1 < 0.12)[:, None]
        colors = np.where(board, material.colors[0], shown)
    else:
        amount = _amount(material.kind, x, y, fine, cell, flat, rng)
        colors = material.colors[0] * (1 - amount[:, None]) + material.colors[1] * amount[:, None]
    coarse = noise(flat, 1.1, rng) + 0.6 * noise(flat, 0.3, rng) - 0.8
    stained: Array = np.clip(colors * (1 + material.stains * coarse[:, None]), 0, 1)
    return stained.astype(np.float32)


def _amount(
    kind: str,
    x: Array,
    y: Array,
    fine: Array,
    cell: Array,
    flat: Array,
    rng: np.random.Generator,
) -> Array:
    """Share of the second color, (N,); ``x`` and ``y`` count repeats."""
    if kind == "tiles":
        joint = np.maximum(np.abs(x % 1 - 0.5), np.abs(y % 1 - 0.5)) > 0.475
        return np.where(joint, 1.0, 0.25 * fine + 0.04 * cell).astype(np.float32)
    if kind == "asphalt":
        mark = (np.abs(flat[:, 0] % 4.7 - 2.3) < 0.06) & bool(rng.random() < 0.5)
        return np.where(mark, 1.6, 0.7 * fine).astype(np.float32)
    if kind == "planks":
        return np.asarray(0.09 * ((np.floor(flat[:, 0] / 0.14) * 37) % 11) + 0.3 * fine)
    if kind in ("grass", "hedge"):
        leaves = noise(flat, 0.03 if kind == "grass" else 0.12, rng)
        return np.clip(2.2 * leaves - 0.6 + 0.5 * (fine - 0.5), 0, 1)
    if kind == "windows":
        pane = (x / 2.2 % 1 > 0.3) & (y / 2.0 % 1 > 0.35)
        return np.where(pane, 1.0 + 0.12 * (cell - 5) / 5, 0.2 * fine).astype(np.float32)
    if kind == "bricks":
        row = np.floor(flat[:, 1] / 0.075)
        joint = (flat[:, 1] / 0.075 % 1 < 0.14) | (
            (flat[:, 0] / 0.22 + 0.5 * (row % 2)) % 1 < 0.06
        )
        return np.where(joint, 1.3, 0.5 * fine).astype(np.float32)
    if kind == "panels":
        joint = (x * 0.7 % 1 < 0.02) | (y * 0.5 % 1 < 0.015)
        return np.where(joint, 1.4, 0.07 * cell).astype(np.float32)
    return np.asarray(0.35 * fine)
