"""People: one identity is a body shape, skin, hair and an outfit, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sanreid.train.pit.generate.clothing.fabrics import PATTERNED
from sanreid.train.pit.generate.clothing.garments import Garment
from sanreid.train.pit.generate.clothing.outfits import draw_outfit
from sanreid.train.pit.generate.clothing.palette import HAIR, SKIN, draw_color
from sanreid.train.pit.generate.clothing.street import street_outfit
from sanreid.train.pit.generate.people.body import Array

__all__ = ["Person", "draw_person"]


@dataclass(frozen=True, slots=True)
class Person:
    """One identity.

    Attributes:
        phenotypes: Shape parameters of the body.
        skin: Color of the skin, RGB in [0, 1].
        lips: Color of the lips.
        hair: Color of hair and brows.
        garments: From the innermost to the outermost, hair and bags too.
        seed: For what is drawn while painting.
    """

    phenotypes: dict[str, float]
    skin: Array
    lips: Array
    hair: Array
    garments: tuple[Garment, ...]
    seed: int

    @property
    def is_patterned(self) -> bool:
        """Whether a piece of clothing has a pattern."""
        return any(g.fabric.kind in PATTERNED for g in self.garments)

    def has(self, *kinds: str) -> bool:
        """Return whether the person wears one of these kinds."""
        return any(g.kind in kinds for g in self.garments)

    def describe(self) -> dict[str, Any]:
        """Return the parameters as plain values, for the index."""
        return {
            "phenotypes": {k: round(v, 4) for k, v in self.phenotypes.items()},
            "patterned": self.is_patterned,
            "garments": [{"kind": g.kind, "fabric": g.fabric.kind} for g in self.garments],
        }


def draw_person(
    rng: np.random.Generator, *, adults_only: bool = False, street: bool = False
) -> Person:
    """Draw one identity.

    Args:
        rng: The identity's own generator.
        adults_only: Leave out children and youths (about one in twenty otherwise).
        street: Dress and age people as street cameras see them: plainer and darker clothes, more
            coats, hoods and bags, more children and old people.
    """
    female = bool(rng.random() < 0.46)
    gender = float(np.clip((0.82 if female else 0.15) + rng.normal(0, 0.1), 0, 1))
    age = float(np.clip(0.66 + abs(rng.normal(0, 0.12)), 0.64, 0.98))
    if not adults_only and rng.random() < 0.05:
        age = float(rng.uniform(0.42, 0.62))
    if street and rng.random() < 0.18:
        age = float(rng.uniform(0.3, 0.55) if rng.random() < 0.35 else rng.uniform(0.86, 1.0))
    phenotypes = {
        "gender": gender,
        "age": age,
        "muscle": float(np.clip(rng.normal(0.42, 0.13), 0.1, 0.8)),
        "weight": float(np.clip(rng.normal(0.5, 0.17), 0.08, 0.97)),
        "height": float(np.clip(rng.normal(0.44, 0.08), 0.25, 0.65)),
        "proportions": float(np.clip(rng.normal(0.45, 0.2), 0, 1)),
    }
    skin = (draw_color(rng, SKIN) * 0.84).astype(np.float32)
    if street:  # cameras are seldom as bright as a portrait's light
        skin = (skin * rng.uniform(0.70, 0.88)).astype(np.float32)
    hair = draw_color(rng, HAIR)
    if age > 0.85 and rng.random() < 0.6:
        grey = rng.uniform(0.45, 0.85)
        hair = np.array([grey, grey, grey * 0.98], np.float32)
    lips = skin * np.array([0.92, 0.68, 0.66], np.float32)

    garments = draw_outfit(rng, hair, skin, female=female, old=age > 0.8)
    if street:
        garments = street_outfit(rng, garments)
    return Person(
        phenotypes=phenotypes,
        skin=skin,
        lips=lips.astype(np.float32),
        hair=hair,
        garments=tuple(garments),
        seed=int(rng.integers(2**31)),
    )
