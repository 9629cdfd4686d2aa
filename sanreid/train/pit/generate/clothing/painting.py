"""Where a garment is drawn: a person's whole texture, skin first and then garment over garment.

Which parts of the body a garment covers is in ``garments.py``, its cloth in ``fabrics.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.atlas import TEXTURE_SIZE, Atlas
from sanreid.train.pit.generate.clothing.fabrics import noise, soft
from sanreid.train.pit.generate.clothing.garments import cover, trim_cover
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.people.identity import Person
from sanreid.train.pit.generate.surface import Surface

__all__ = ["paint_person"]


def paint_person(person: Person, atlas: Atlas, surface: Surface) -> Array:
    """Paint a person.

    Args:
        person: Who.
        atlas: The texel tables.
        surface: Of every texel.

    Returns:
        (256, 256, 3) float32 in [0, 1], the colors before any light; whole, seen or not, with
        the charts' colors carried into their gutters and grey elsewhere.
    """
    rng = np.random.default_rng(person.seed)
    on_body = atlas.valid.reshape(-1)
    own = _only(surface, on_body)
    color = _skin(person, own, rng)
    for garment in person.garments:
        whole = cover(garment, own)
        covered = whole > 0
        amount, here = whole[covered, None], _only(own, covered)
        cloth = garment.fabric.paint(here)
        for trim in garment.trims:
            part = trim_cover(trim, garment, here)[:, None]
            cloth = cloth * (1 - part) + trim.color * part
        edge = 1 - 0.25 * ((amount > 0.02) & (amount < 0.75))  # a seam's shadow
        color[covered] = color[covered] * (1 - amount) + cloth * amount * edge
    texture = np.full((TEXTURE_SIZE**2, 3), 0.5, np.float32)
    texture[on_body] = np.clip(color, 0, 1)
    filled: Array = atlas.filled(texture).reshape(TEXTURE_SIZE, TEXTURE_SIZE, 3)  # type: ignore[assignment]  # colors stay float32
    return filled


def _only(surface: Surface, keep: NDArray[np.bool_]) -> Surface:
    """Return the surface of the texels that lie on the body."""
    tables = {}
    for name in surface.__slots__:
        value = getattr(surface, name)
        if isinstance(value, np.ndarray):
            value = value[keep]
        elif name == "part":
            value = {part: table[keep] for part, table in value.items()}
        tables[name] = value
    return Surface(**tables)


def _skin(person: Person, surface: Surface, rng: np.random.Generator) -> Array:
    """Skin with a face: brows, eyes, lips, nose, and a shadow under the chin."""
    position = surface.position
    tone = 1 + 0.08 * (noise(position, 0.05, rng) - 0.5)
    color = person.skin * tone[:, None]
    head = surface.part["head"]
    x, z = surface.eye.T
    front = (position[:, 1] < surface.joints["head"][1] - 0.03) & head

    def blend(amount: Array, paint: Array) -> None:
        color[:] = color * (1 - amount[:, None]) + paint * amount[:, None]

    blend(
        soft(np.where(front, 0.013 - np.hypot(x * 0.6, z * 1.5), -1), 0.004) * 0.8,
        person.skin * 0.45,
    )
    blend(soft(np.where(front, 0.005 - np.hypot(x, z), -1), 0.004), np.full(3, 0.08, np.float32))
    brow = np.where(
        front, 0.004 - np.abs(z - 0.020 + 0.25 * np.abs(x)) - np.maximum(np.abs(x) - 0.02, 0), -1
    )
    blend(soft(brow, 0.004) * 0.85, person.hair * 0.8)
    middle = np.abs(position[:, 0])
    height = position[:, 2] - surface.joints["eye.L"][2]
    lips = np.where(
        front, 0.007 - np.abs(height + 0.072) - np.maximum(middle - 0.018, 0) * 0.8, -1
    )
    blend(soft(lips, 0.005), person.lips)
    nose = np.where(front, 0.004 - np.hypot(middle - 0.008, height + 0.044), -1)
    blend(soft(nose, 0.005) * 0.5, person.skin * 0.5)
    under = soft(np.where(head | surface.part["neck"], -0.75 - surface.elevation, -1) * 0.1, 0.02)
    blend(under * 0.25, person.skin * 0.6)
    return color.astype(np.float32)
