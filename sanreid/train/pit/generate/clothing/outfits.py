"""Outfits: which garments one person wears, of which cut, fabric and colors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sanreid.train.pit.generate.clothing.fabrics import draw_fabric
from sanreid.train.pit.generate.clothing.garments import Garment, Trim
from sanreid.train.pit.generate.clothing.palette import LEGS, SHOES, TORSO, Rows, draw_color
from sanreid.train.pit.generate.people.body import Array

__all__ = ["draw_backpack", "draw_coat", "draw_outfit"]

Rng = np.random.Generator

_UPPER_FABRICS = {
    "plain": 0.44, "heather": 0.10, "stripes": 0.10, "pinstripes": 0.04, "bands": 0.05,
    "checks": 0.07, "gingham": 0.04, "dots": 0.04, "camouflage": 0.03, "floral": 0.05,
    "panel": 0.08, "gradient": 0.02, "print": 0.10, "logo": 0.09, "lettering": 0.09,
}  # fmt: skip
_COAT_FABRICS = {"plain": 0.62, "heather": 0.14, "checks": 0.06, "panel": 0.12, "camouflage": 0.03,
                 "logo": 0.03}  # fmt: skip
_LOWER_FABRICS = {"plain": 0.78, "heather": 0.08, "checks": 0.03, "pinstripes": 0.03, "dots": 0.01,
                  "camouflage": 0.03, "floral": 0.02, "stripes": 0.02}  # fmt: skip
_SKIRT_FABRICS = {"plain": 0.55, "checks": 0.10, "floral": 0.12, "dots": 0.07, "stripes": 0.08,
                  "pinstripes": 0.04, "bands": 0.04}  # fmt: skip


_BAG_FABRICS = {"plain": 0.75, "heather": 0.1, "camouflage": 0.05, "bands": 0.1}


def draw_outfit(rng: Rng, hair: Array, skin: Array, *, female: bool, old: bool) -> list[Garment]:
    """Draw what one person wears, from the innermost to the outermost, hair and bags too.

    Args:
        rng: The identity's own generator.
        hair: Color of the hair, (3,).
        skin: Color of the skin, (3,), which no cloth has.
        female: Whether skirts, dresses and long hair are likely.
        old: Whether a man is likely to be bald.
    """
    garments = [
        *_legs_and_feet(rng, female=female),
        *_torso(rng, female=female),
        *_head(rng, hair, female=female, old=old),
        *_extras(rng),
    ]
    return [_unlike_skin(g, skin) for g in _no_skirt_under_dress(garments)]


def _pick(rng: Rng, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(list(shares)[rng.choice(len(weights), p=weights / weights.sum())])


def _cloth(
    rng: Rng,
    kind: str,
    shares: dict[str, float],
    rows: Rows,
    **more: Any,  # noqa: ANN401
) -> Garment:
    fabric = draw_fabric(
        rng,
        _pick(rng, shares),
        draw_color(rng, rows),
        draw_color(rng, TORSO),
        draw_color(rng, TORSO),
    )
    return Garment(kind, fabric, **more)


def _plain(rng: Rng, kind: str, color: Array, **more: Any) -> Garment:  # noqa: ANN401
    return Garment(kind, draw_fabric(rng, "plain", color, color, color), **more)


def _darker(color: Array, by: float = 0.6) -> Array:
    return (color * by).astype(np.float32)


def _contrast(rng: Rng, color: Array) -> Array:
    return (color * 0.5 if rng.random() < 0.6 else np.clip(color + 0.35, 0, 1)).astype(np.float32)


def _legs_and_feet(rng: Rng, *, female: bool) -> list[Garment]:
    kind = _pick(
        rng,
        {"trousers": 0.42, "jeans": 0.22, "shorts": 0.15, "skirt": 0.13, "leggings": 0.08}
        if female
        else {"trousers": 0.55, "jeans": 0.26, "shorts": 0.19},
    )
    waist = float(rng.uniform(0.24, 0.30))
    worn: list[Garment] = []
    if rng.random() < 0.6:
        top = rng.choice([1.75, 1.6, 1.2], p=[0.6, 0.3, 0.1])
        worn.append(
            _plain(rng, "socks", draw_color(rng, SHOES), cut={"top": float(top)}, thickness=0.002)
        )
    if kind == "skirt" and rng.random() < 0.35:
        tights = draw_color(rng, LEGS[:3])
        worn.append(
            _plain(rng, "leggings", tights, cut={"waist": waist, "length": 2.2}, thickness=0.002)
        )
    shoe = _pick(rng, {"shoes": 0.42, "trainers": 0.44, "boots": 0.14})
    color = draw_color(rng, SHOES)
    cut = {"top": float(rng.uniform(1.5, 1.8))} if shoe == "boots" else {"top": 1.9, "low": 0.02}
    sole = np.full(3, 0.85 if shoe == "trainers" and rng.random() < 0.7 else 0.12, np.float32)
    feet = _plain(rng, shoe, color, cut=cut, thickness=0.014, trims=(Trim("sole", sole),))

    length = {
        "trousers": rng.uniform(1.85, 2.05), "jeans": rng.uniform(1.85, 2.05),
        "shorts": rng.choice([rng.uniform(0.45, 0.75), rng.uniform(0.75, 1.15)]),
        "skirt": rng.choice([rng.uniform(0.55, 0.95), rng.uniform(0.95, 1.7)]),
        "leggings": rng.uniform(1.5, 2.0),
    }[kind]  # fmt: skip
    cut = {"waist": waist, "length": float(length), "flare": float(rng.uniform(0.03, 0.30))}
    loose = float(rng.uniform(0.008, 0.036))
    if kind == "jeans":
        blue = rng.uniform(0.1, 0.4)
        ground = np.array([blue * 0.62, blue * 0.82, blue * 1.12], np.float32)
        if rng.random() < 0.3:
            ground = draw_color(rng, LEGS[:5])
        worn_off = np.clip(ground + 0.22, 0, 1).astype(np.float32)
        fabric = draw_fabric(rng, "denim", ground, worn_off, ground)
        lower = Garment(kind, fabric, cut, loose, (Trim("pockets", _darker(ground)),))
    elif kind == "skirt":
        lower = _cloth(rng, kind, _SKIRT_FABRICS, TORSO if rng.random() < 0.5 else LEGS, cut=cut)
    elif kind == "leggings":
        lower = _plain(rng, kind, draw_color(rng, LEGS), cut=cut, thickness=0.003)
    else:
        lower = _cloth(rng, kind, _LOWER_FABRICS, LEGS, cut=cut, thickness=loose)
        if rng.random() < 0.15:
            stripe = _contrast(rng, lower.fabric.colors[0])
            lower = replace(lower, trims=(Trim("side stripe", stripe),))
    if rng.random() < 0.3:
        lower = replace(lower, trims=(*lower.trims, Trim("belt", draw_color(rng, SHOES[:2]))))
    if shoe == "boots" and rng.random() < 0.6:
        return [*worn, lower, feet]
    return [*worn, feet, lower]


def _torso(rng: Rng, *, female: bool) -> list[Garment]:
    if female and rng.random() < 0.10:
        return _dress(rng)
    base = _pick(rng, {
        "T-shirt": 0.34, "long-sleeved shirt": 0.16, "polo shirt": 0.09, "button shirt": 0.15,
        "sweater": 0.11, "hooded sweater": 0.08, "tank top": 0.05 + 0.04 * female,
    })  # fmt: skip
    hem = float(rng.uniform(0.08, 0.20) if rng.random() < 0.8 else rng.uniform(0.22, 0.28))
    cut = {"sleeve": 0.0, "hem": hem, "neck": float(rng.uniform(0.075, 0.10))}
    if base in ("T-shirt", "polo shirt"):
        cut["sleeve"] = float(rng.uniform(0.45, 0.95))
    elif base == "tank top":
        cut |= {"sleeve": 0.02, "straps": float(rng.uniform(0.018, 0.04)), "neck": 0.10}
    else:
        cut["sleeve"] = float(
            rng.uniform(1.85, 2.0) if rng.random() < 0.85 else rng.uniform(0.9, 1.3)
        )
    if base in ("T-shirt", "long-sleeved shirt", "sweater") and rng.random() < 0.25:
        cut["vee"] = float(rng.uniform(0.10, 0.18))
    if base in ("polo shirt", "button shirt"):
        cut |= {"collar": float(rng.uniform(0.0, 0.03)), "vee": float(rng.uniform(0.06, 0.12))}
    shirt = _cloth(
        rng, base, _UPPER_FABRICS, TORSO, cut=cut, thickness=float(rng.uniform(0.008, 0.028))
    )
    ground = shirt.fabric.colors[0]
    trims = {
        "polo shirt": [
            Trim("collar", _contrast(rng, ground)),
            Trim("placket", _darker(ground, 0.8)),
        ],
        "button shirt": [
            Trim("placket", _darker(ground, 0.85)),
            Trim("buttons", _contrast(rng, ground)),
        ],
        "hooded sweater": [
            Trim("pouch", _darker(ground, 0.7)),
            Trim("collar", _darker(ground, 0.8)),
        ],
        "sweater": [Trim("cuffs", _darker(ground, 0.8)), Trim("hem", _darker(ground, 0.8))],
    }.get(base, [])
    if base in ("T-shirt", "long-sleeved shirt") and rng.random() < 0.25:
        trims = [Trim("collar", _contrast(rng, ground)), Trim("cuffs", _contrast(rng, ground))]
    worn = [replace(shirt, trims=tuple(trims))]
    if base == "hooded sweater" and rng.random() < 0.12:
        hood = {"face": float(rng.uniform(0.95, 1.15)), "tall": 1.0}
        worn.append(Garment("hood", replace(shirt.fabric, kind="plain"), hood, 0.02))
    if rng.random() < 0.34:
        worn.append(draw_coat(rng))
    return worn


def _dress(rng: Rng) -> list[Garment]:
    cut = {
        "sleeve": float(rng.choice([0.05, 0.5, 1.9])), "hem": float(rng.uniform(-0.45, -0.08)),
        "neck": float(rng.uniform(0.08, 0.11)), "flare": float(rng.uniform(0.08, 0.35)),
    }  # fmt: skip
    if rng.random() < 0.4:
        cut["vee"] = float(rng.uniform(0.08, 0.14))
    dress = _cloth(
        rng, "dress", {**_SKIRT_FABRICS, "panel": 0.05}, TORSO, cut=cut, thickness=0.008
    )
    if rng.random() < 0.4:
        dress = replace(dress, trims=(Trim("belt", draw_color(rng, SHOES)),))
    return [dress]


def draw_coat(rng: Rng) -> Garment:
    """Draw a jacket, a coat or a vest."""
    kind = _pick(rng, {
        "jacket": 0.30, "open jacket": 0.30, "suit jacket": 0.12, "down jacket": 0.10,
        "coat": 0.12, "vest": 0.06,
    })  # fmt: skip
    cut = {
        "sleeve": 0.02 if kind == "vest" else float(rng.uniform(1.88, 2.05)),
        "hem": float(rng.uniform(0.06, 0.20)), "neck": float(rng.uniform(0.08, 0.095)),
        "collar": float(rng.uniform(0.0, 0.06)),
    }  # fmt: skip
    thickness = float(rng.uniform(0.012, 0.03))
    if kind == "coat":
        cut |= {"hem": float(rng.uniform(-0.45, -0.05)), "flare": float(rng.uniform(0.02, 0.12))}
    if kind == "suit jacket":
        cut |= {"vee": float(rng.uniform(0.22, 0.34)), "hem": float(rng.uniform(0.02, 0.10))}
    if kind in ("open jacket", "vest") or (kind == "coat" and rng.random() < 0.35):
        cut |= {"open": float(rng.uniform(0.02, 0.075)), "vee": 0.15}
    if kind == "down jacket":
        thickness = float(rng.uniform(0.03, 0.05))
    coat = _cloth(rng, kind, _COAT_FABRICS, TORSO, cut=cut, thickness=thickness)
    ground = coat.fabric.colors[0]
    trims = [Trim("cuffs", _darker(ground, 0.8))] if rng.random() < 0.4 else []
    if kind in ("jacket", "down jacket", "coat") and "open" not in cut:
        trims.append(Trim("zip", _contrast(rng, ground)))
    if kind == "suit jacket":
        trims.append(Trim("lapels", _darker(ground, 0.75)))
    if kind == "down jacket":
        trims.append(Trim("quilt", _darker(ground, 0.7)))
    if rng.random() < 0.4:
        trims.append(Trim("pockets", _darker(ground, 0.65)))
    return replace(coat, trims=tuple(trims))


def _head(rng: Rng, hair: Array, *, female: bool, old: bool) -> list[Garment]:
    worn: list[Garment] = []
    bald = not female and rng.random() < (0.22 if old else 0.05)
    long = rng.random() < (0.62 if female else 0.03)
    cut = {"front": float(rng.uniform(0.42, 0.62)), "side": float(rng.uniform(-0.25, 0.1)),
           "nape": float(rng.uniform(-0.75, -0.45))}  # fmt: skip
    volume = float(rng.uniform(0.008, 0.025))
    if bald:
        cut |= {"front": 1.3, "side": 0.05}
        volume = 0.004
    elif long:
        cut |= {"side": float(rng.uniform(-0.75, -0.5)), "nape": -1.3}
        volume = float(rng.uniform(0.018, 0.035))
        if rng.random() < 0.6:
            cut["fall"] = float(rng.uniform(0.02, 0.30))
        elif rng.random() < 0.6:
            cut |= {"bun": 1.0, "side": 0.0, "nape": -0.5}
    style = draw_fabric(rng, "heather", hair, np.clip(hair + 0.12, 0, 1), hair)
    if not (bald and rng.random() < 0.4):
        worn.append(Garment("hair", style, cut, volume))
    if not female and rng.random() < 0.10:
        worn.append(Garment("beard", style, {"top": float(rng.uniform(0.5, 0.65))}, 0.006))
    if rng.random() < 0.16:
        dark = draw_color(rng, SHOES[:1]) if rng.random() < 0.7 else draw_color(rng, TORSO)
        frame = {"frame": 1.0} if rng.random() < 0.65 else {}
        worn.append(
            _plain(rng, "glasses", dark, cut={"size": float(rng.uniform(0.022, 0.028)), **frame})
        )
    if rng.random() < 0.13:
        kind = _pick(rng, {"cap": 0.5, "beanie": 0.25, "hat": 0.25})
        cut = {"low": float(rng.uniform(0.2, 0.34)), "deep": 0.1}
        if kind == "cap":
            cut["brim"] = float(rng.uniform(0.04, 0.065))
        elif kind == "hat":
            cut |= {"brim": float(rng.uniform(0.03, 0.055)), "all_round": 1.0}
        else:
            cut["deep"] = 0.35
        shares = {"plain": 0.7, "stripes": 0.1, "heather": 0.2}
        worn.append(
            _cloth(rng, kind, shares, TORSO, cut=cut, thickness=float(rng.uniform(0.014, 0.028)))
        )
    elif female and rng.random() < 0.03:
        cut = {"face": float(rng.uniform(0.8, 0.95)), "tall": 0.9}
        worn.append(_cloth(rng, "head scarf", _SKIRT_FABRICS, TORSO, cut=cut, thickness=0.015))
    return worn


def _extras(rng: Rng) -> list[Garment]:
    worn: list[Garment] = []
    if rng.random() < 0.06:
        cut = {"wide": float(rng.uniform(0.11, 0.14)), "end": float(rng.uniform(0.0, 0.45))}
        worn.append(_cloth(rng, "scarf", _SKIRT_FABRICS, TORSO, cut=cut, thickness=0.025))
    if rng.random() < 0.15:
        side = float(rng.choice([-1, 1]))
        worn.append(_plain(rng, "watch", draw_color(rng, SHOES), cut={"side": side}))
    if rng.random() < 0.03:
        worn.append(_plain(rng, "gloves", draw_color(rng, SHOES), cut={"cuff": 1.9}))
    bag = rng.random()
    if bag < 0.22:
        worn.append(draw_backpack(rng))
    elif bag < 0.36:
        cut = {"side": float(rng.choice([-1, 1])), "back": float(rng.uniform(-0.04, 0.06))}
        depth = float(rng.uniform(0.04, 0.09))
        worn.append(_cloth(rng, "shoulder bag", _BAG_FABRICS, TORSO, cut=cut, thickness=depth))
    return worn


def draw_backpack(rng: Rng) -> Garment:
    """Draw a backpack."""
    cut = {"width": float(rng.uniform(0.11, 0.15)), "bottom": float(rng.uniform(0.22, 0.36))}
    depth = float(rng.uniform(0.06, 0.15))
    return _cloth(rng, "backpack", _BAG_FABRICS, TORSO, cut=cut, thickness=depth)


def _unlike_skin(garment: Garment, skin: Array) -> Garment:
    """Darken cloth of the skin's own color: nobody is to look undressed from afar."""
    ground = garment.fabric.colors[0]
    if garment.kind in ("hair", "beard") or np.abs(ground - skin).max() > 0.2:
        return garment
    darker = garment.fabric.colors * (0.55 if ground.mean() > 0.35 else 0.3)
    return replace(garment, fabric=replace(garment.fabric, colors=darker))


def _no_skirt_under_dress(garments: list[Garment]) -> list[Garment]:
    if any(g.kind == "dress" for g in garments):
        covered = ("trousers", "jeans", "shorts", "skirt")
        return [g for g in garments if g.kind not in covered]
    return garments
