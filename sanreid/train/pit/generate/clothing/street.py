"""Outfits as street cameras see them: plainer and darker, with more coats, hoods and bags.

The shares follow what real crops show: half of the people wear dark clothes from head to foot and
differ only in cut, and patterns are few.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sanreid.train.pit.generate.clothing.fabrics import PATTERNED
from sanreid.train.pit.generate.clothing.garments import Garment, Trim
from sanreid.train.pit.generate.clothing.outfits import draw_backpack, draw_coat
from sanreid.train.pit.generate.people.body import Array

__all__ = ["street_outfit"]

Rng = np.random.Generator

_DARK_SHARE = 0.22  # dark from head to foot, beside those whom chance dresses so
_PLAIN_SHARE = 0.55  # of the patterned clothes, worn plain
_COATS = ("jacket", "open jacket", "suit jacket", "down jacket", "coat", "vest")
_TOPS = ("T-shirt", "long-sleeved shirt", "polo shirt", "tank top", "button shirt", "sweater",
         "hooded sweater", "dress")  # fmt: skip
_LEGS = ("trousers", "jeans", "shorts", "skirt", "leggings")
_BAGS = ("backpack", "shoulder bag")


def street_outfit(rng: Rng, garments: list[Garment]) -> list[Garment]:
    """Change what one person wears, from the innermost to the outermost.

    Args:
        rng: The identity's own generator.
        garments: As :func:`draw_outfit` draws them.
    """
    worn = [_plain_or_not(rng, garment) for garment in garments]
    if rng.random() < 0.22:
        worn = _over(worn, _COATS, [draw_coat(rng)])
    worn = [_open(rng, garment) for garment in worn]
    if rng.random() < 0.07:
        worn = _hooded(rng, worn)
    if rng.random() < 0.12:
        worn = [g for g in worn if g.kind not in _BAGS]
        worn.append(draw_backpack(rng))
    worn = [_strapless(rng, garment) for garment in worn]
    if rng.random() < _DARK_SHARE:
        worn = [_dark(rng, garment) for garment in worn]
    return worn


def _plain_or_not(rng: Rng, garment: Garment) -> Garment:
    if garment.fabric.kind in PATTERNED and rng.random() < _PLAIN_SHARE:
        kind = "heather" if rng.random() < 0.2 else "plain"
        return replace(garment, fabric=replace(garment.fabric, kind=kind))
    return garment


def _over(worn: list[Garment], kinds: tuple[str, ...], added: list[Garment]) -> list[Garment]:
    """Wear other garments of these kinds: over the tops, under hair, hats and bags."""
    kept = [g for g in worn if g.kind not in kinds]
    last = max((n for n, g in enumerate(kept) if g.kind in (*_TOPS, *_LEGS)), default=-1)
    return [*kept[: last + 1], *added, *kept[last + 1 :]]


def _open(rng: Rng, garment: Garment) -> Garment:
    """Wear a jacket or coat open now and then."""
    if garment.kind in ("jacket", "coat", "down jacket") and rng.random() < 0.35:
        cut = {**garment.cut, "open": float(rng.uniform(0.02, 0.075)), "vee": 0.15}
        trims = tuple(trim for trim in garment.trims if trim.kind != "zip")
        return replace(garment, cut=cut, trims=trims)
    return garment


def _hooded(rng: Rng, worn: list[Garment]) -> list[Garment]:
    """Pull up the hood of the outermost top or coat; nobody has a hood and a hat."""
    outer = [g for g in worn if g.kind in (*_COATS, *_TOPS)]
    if not outer or any(g.kind in ("hood", "head scarf") for g in worn):
        return worn
    fabric = replace(outer[-1].fabric, kind="plain")
    cut = {"face": float(rng.uniform(0.95, 1.15)), "tall": 1.0}
    kept = [g for g in worn if g.kind not in ("cap", "hat", "beanie")]
    bags = [g for g in kept if g.kind in _BAGS]
    others = [g for g in kept if g.kind not in _BAGS]
    return [*others, Garment("hood", fabric, cut, 0.022), *bags]


def _strapless(rng: Rng, garment: Garment) -> Garment:
    """Hide a backpack's straps from the front now and then, as those of the coat's color are."""
    if garment.kind == "backpack" and rng.random() < 0.35:
        return replace(garment, cut={**garment.cut, "front": 0.0})
    return garment


def _dark(rng: Rng, garment: Garment) -> Garment:
    """Dye tops, coats, legs and shoes black, anthracite, navy or brown."""
    if garment.kind not in (*_COATS, *_TOPS, *_LEGS, "shoes", "trainers", "boots", "hood"):
        return garment
    ground = _dark_color(rng)
    figure = np.clip(ground + rng.uniform(0.03, 0.2), 0, 1)
    colors = np.stack([ground, figure, figure]).astype(np.float32)
    trims = tuple(
        trim if rng.random() < 0.3 else Trim(trim.kind, (ground * 1.35).astype(np.float32))
        for trim in garment.trims
    )
    return replace(garment, fabric=replace(garment.fabric, colors=colors), trims=trims)


def _dark_color(rng: Rng) -> Array:
    tint = ((0, 0, 0), (-0.015, 0.0, 0.05), (0.03, 0.005, -0.01), (-0.01, 0.012, 0.0))
    chosen = np.array(tint[int(rng.choice(4, p=[0.55, 0.25, 0.12, 0.08]))])
    return np.clip(rng.uniform(0.07, 0.2) + chosen, 0.03, 1).astype(np.float32)
