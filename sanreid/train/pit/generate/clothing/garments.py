"""Garments: which parts of the body each covers, how thick it lies, and its trimmings.

``painting.py`` draws them into a texture. Every region depends only on :class:`Surface`, so the
same garment can be painted on the texels and raised on the vertices. Heights are metres on the
neutral body: neck 0.75, waist 0.27, hip joint 0.16, crotch 0.05.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sanreid.train.pit.generate.clothing.fabrics import Fabric, soft
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.surface import Surface

__all__ = ["GARMENTS", "Garment", "Trim", "cover"]

_ARM_LENGTH, _LEG_LENGTH = 0.27, 0.45  # metres per unit of Surface.arm and Surface.leg


@dataclass(frozen=True, slots=True)
class Trim:
    """A part of a garment in a color of its own: buttons, a zip, a collar, a sole, a belt."""

    kind: str
    color: Array


@dataclass(frozen=True, slots=True)
class Garment:
    """One piece of clothing, or hair, or a bag.

    Attributes:
        kind: A key of :data:`GARMENTS`.
        fabric: What it is made of.
        cut: Numbers of its cut, by the names its region uses.
        thickness: Metres it stands off the body.
        trims: Painted over it.
    """

    kind: str
    fabric: Fabric
    cut: dict[str, float] = field(default_factory=dict)
    thickness: float = 0.004
    trims: tuple[Trim, ...] = ()


def cover(garment: Garment, surface: Surface) -> Array:
    """Return how much of each point the garment covers, (N,) in [0, 1]."""
    return GARMENTS[garment.kind](surface, garment.cut)


def trim_cover(trim: Trim, garment: Garment, surface: Surface) -> Array:
    """Return how much of each point a trimming covers, (N,), within its garment."""
    return _TRIMS[trim.kind](surface, garment.cut) * cover(garment, surface)


def _neckline(surface: Surface, cut: dict[str, float]) -> Array:
    """Distance below the neckline: a circle about the neck's base, and a V down the front."""
    front = surface.position[:, 1] < 0.0
    radius = np.where(front, cut["neck"], min(cut["neck"], 0.085))
    distance = surface.neck - radius
    if cut.get("collar"):
        distance = np.maximum(
            distance, cut["collar"] - (surface.position[:, 2] - surface.torso_height)
        )
    vee = cut.get("vee", 0.0)
    if vee:
        x, z = np.abs(surface.position[:, 0]), surface.position[:, 2]
        beside = x - (z - (surface.torso_height - vee)) * 0.42
        distance = np.where(front, np.minimum(distance, beside), distance)
    return distance


def _upper(surface: Surface, cut: dict[str, float]) -> Array:
    """Shirts, coats, dresses: ``sleeve``, ``hem`` (z), ``neck``, ``vee``, ``collar``, ``open``."""
    part = surface.part
    z = surface.position[:, 2]
    sleeve = np.where(part["arm"], (cut["sleeve"] - surface.arm) * _ARM_LENGTH, 1.0)
    distance = np.minimum(z - cut["hem"], sleeve)
    distance = np.minimum(distance, _neckline(surface, cut))
    width = cut.get("open", 0.0)
    if width:
        x, front = np.abs(surface.position[:, 0]), surface.position[:, 1] < 0.0
        gap = width * (0.5 + 0.5 * np.clip((0.75 - z) / 0.5, 0, 1.2))
        distance = np.where(
            front & (part["torso"] | part["neck"]), np.minimum(distance, x - gap), distance
        )
        distance = np.where(front & part["leg"], np.minimum(distance, x - gap), distance)
    straps = cut.get("straps", 0.0)
    if straps:  # a top held by straps: bare shoulders
        bare = (z > 0.60) & (np.abs(np.abs(surface.position[:, 0]) - 0.09) > straps)
        distance = np.where(bare, -1.0, distance)
    here = part["torso"] | part["leg"] | part["neck"] | part["arm"]
    if cut.get("collar"):
        here |= part["head"] & (surface.elevation < -0.95)
    return soft(np.where(here, distance, -1.0))


def _lower(surface: Surface, cut: dict[str, float]) -> Array:
    """Trousers, shorts, skirts: ``waist`` (z) and ``length`` (of the leg: 1 knee, 2 ankle)."""
    part = surface.part
    distance = np.minimum(
        cut["waist"] - surface.position[:, 2], (cut["length"] - surface.leg) * _LEG_LENGTH
    )
    here = part["torso"] | part["leg"] | part["foot"]
    return soft(np.where(here, distance, -1.0))


def _feet(surface: Surface, cut: dict[str, float]) -> Array:
    """Shoes and socks: from the toes to ``top`` (of the leg: 2 ankle), or open at the instep."""
    part = surface.part
    z = surface.position[:, 2]
    distance = (surface.leg - cut["top"]) * _LEG_LENGTH
    here = part["foot"] | (part["leg"] & (surface.leg > 1.2))
    low = cut.get("low", 0.0)
    if low:  # a low shoe leaves the instep free
        ankle = surface.joints["foot.L"]
        distance = np.minimum(
            distance, ankle[2] - low - z + 0.35 * np.abs(surface.position[:, 1] - ankle[1])
        )
    return soft(np.where(here, distance, -1.0))


def _hairline(surface: Surface, cut: dict[str, float]) -> Array:
    """Angle above the hairline, which runs from the front over the sides to the nape."""
    turn = np.abs(surface.azimuth)
    knots = [0.0, 0.75, 1.25, 1.75, 2.3, np.pi]
    front, side, nape = cut["front"], cut["side"], cut["nape"]
    line = np.interp(
        turn, knots, [front, front - 0.08, side + 0.25, side, (side + nape) / 2, nape]
    )
    return surface.elevation - line


def _hair(surface: Surface, cut: dict[str, float]) -> Array:
    """Hair: ``front``, ``side``, ``nape`` angles, and how far it falls down the back, ``fall``."""
    part = surface.part
    scalp = np.where(part["head"] | part["neck"], _hairline(surface, cut) * 0.1, -1.0)
    face = (np.abs(surface.azimuth) < 1.15) & (surface.elevation < cut["front"] - 0.1)
    scalp = np.where(face, -1.0, scalp)
    fall = cut.get("fall", 0.0)
    if fall:
        x, y, z = surface.position.T
        width = 0.10 - 0.3 * np.maximum(0.62 - z, 0) ** 1.2
        hanging = np.minimum(z - (surface.torso_height - fall), width - np.abs(x))
        back = (y > surface.joints["neck01"][1] + 0.005) & (part["torso"] | part["neck"])
        scalp = np.where(back, np.maximum(scalp, hanging), scalp)
        sides = part["neck"] & (np.abs(surface.azimuth) > 1.2)
        scalp = np.where(sides, 0.02, scalp)
    return soft(scalp)


def _beard(surface: Surface, cut: dict[str, float]) -> Array:
    """Beard: below a line from the ears under the nose, leaving the mouth."""
    down = -cut["top"] - surface.elevation
    mouth = np.hypot(surface.azimuth * 1.2, (surface.elevation + 0.62) * 2.4) - 0.22
    distance = np.minimum(np.minimum(down, mouth), 1.5 - np.abs(surface.azimuth)) * 0.1
    distance = np.minimum(distance, (surface.elevation + 1.2) * 0.1)
    return soft(np.where(surface.part["head"], distance, -1.0))


def _cap(surface: Surface, cut: dict[str, float]) -> Array:
    """Caps, hats and beanies: above the angle ``low``; a ``brim`` over the eyes."""
    turn = np.abs(surface.azimuth)
    low = cut["low"] + 0.12 * np.cos(turn) - cut.get("deep", 0.0) * (turn > 1.3)
    return soft(np.where(surface.part["head"], (surface.elevation - low) * 0.1, -1.0))


def _hood(surface: Surface, cut: dict[str, float]) -> Array:
    """A hood or head scarf: head and neck but the face."""
    face = np.hypot(surface.azimuth, (surface.elevation + 0.25) * cut["tall"]) - cut["face"]
    here = surface.part["head"] | surface.part["neck"]
    return soft(np.where(here, face * 0.1, -1.0))


def _scarf(surface: Surface, cut: dict[str, float]) -> Array:
    """A scarf: a ring about the neck's base, one end down the front."""
    rise = surface.position[:, 2] - surface.torso_height
    ring = np.minimum(cut["wide"] - surface.neck, 0.05 - rise)
    x = surface.position[:, 0] - 0.05
    end = np.minimum(0.035 - np.abs(x), cut["end"] - surface.along)
    end = np.where(surface.position[:, 1] < 0, end, -1.0)
    here = surface.part["torso"] | surface.part["neck"]
    return soft(np.where(here, np.maximum(ring, end), -1.0))


def _glasses(surface: Surface, cut: dict[str, float]) -> Array:
    """Glasses: two lenses (or their frames), a bridge and temples."""
    x, z = surface.eye.T
    lens = cut["size"] - np.hypot(x * 0.8, z)
    if cut.get("frame"):
        lens = np.minimum(lens, np.hypot(x * 0.8, z) - cut["size"] + 0.009)
    across = 0.004 - np.abs(z - 0.004)
    front = surface.position[:, 1] < -0.02
    return soft(np.where(surface.part["head"] & front, np.maximum(lens, across), -1.0), 0.004)


def _backpack(surface: Surface, cut: dict[str, float]) -> Array:
    """A backpack on the back, its straps over the shoulders and down the chest."""
    x, y, z = np.abs(surface.position[:, 0]), surface.position[:, 1], surface.position[:, 2]
    torso = surface.part["torso"]
    body = np.minimum(cut["width"] - x, np.minimum(z - cut["bottom"], 0.67 - z))
    strap = np.minimum(0.024 - np.abs(x - 0.10 + 0.05 * (z - 0.6)), z - 0.36)
    shown = (surface.neck > 0.07) & (cut.get("front", 1.0) > 0)
    front = np.where(torso & shown, strap, -1.0)
    return soft(np.where(torso & (y > 0.02), np.maximum(body, strap), front))


def _strap(surface: Surface, cut: dict[str, float]) -> Array:
    """A shoulder bag: a strap from one shoulder to the other hip, and the bag at that hip."""
    x, y, z = surface.position.T
    x = x * cut["side"]
    slope = (z - 0.22) * 0.5 - 0.145
    torso = surface.part["torso"] & (surface.neck > 0.075)
    strap = np.minimum(0.02 - np.abs(x - slope) * 0.85, z - 0.2)
    bag = np.minimum(0.11 - np.abs(z - 0.17), 0.10 - np.abs(y - cut.get("back", 0.0)))
    bag = np.where(x < -0.08, bag, -1.0)
    return soft(np.where(torso | (surface.part["leg"] & (x < 0)), np.maximum(strap, bag), -1.0))


def _gloves(surface: Surface, cut: dict[str, float]) -> Array:
    return np.where(surface.part["hand"], 1.0, soft((surface.arm - cut["cuff"]) * 0.27)).astype(
        np.float32
    ) * (surface.part["hand"] | surface.part["arm"])


def _watch(surface: Surface, cut: dict[str, float]) -> Array:
    ring = 0.012 - np.abs(surface.arm - 1.88) * _ARM_LENGTH
    return soft(np.where(surface.part["arm"] & (surface.side == cut["side"]), ring, -1.0))


Region = Callable[[Surface, dict[str, float]], Array]
GARMENTS: dict[str, Region] = {
    "T-shirt": _upper, "long-sleeved shirt": _upper, "polo shirt": _upper, "tank top": _upper,
    "button shirt": _upper, "sweater": _upper, "hooded sweater": _upper, "jacket": _upper,
    "open jacket": _upper, "suit jacket": _upper, "down jacket": _upper, "coat": _upper,
    "vest": _upper, "dress": _upper,
    "trousers": _lower, "jeans": _lower, "leggings": _lower, "shorts": _lower, "skirt": _lower,
    "socks": _feet, "shoes": _feet, "trainers": _feet, "boots": _feet,
    "hair": _hair, "beard": _beard, "cap": _cap, "hat": _cap, "beanie": _cap,
    "hood": _hood, "head scarf": _hood, "scarf": _scarf, "glasses": _glasses,
    "backpack": _backpack, "shoulder bag": _strap, "gloves": _gloves, "watch": _watch,
}  # fmt: skip
"""The region of each kind of garment."""


def _front_line(width: float) -> Region:
    def region(surface: Surface, _cut: dict[str, float]) -> Array:
        x, y, _ = surface.position.T
        return soft(np.where((y < 0) & surface.part["torso"], width - np.abs(x), -1.0))

    return region


def _buttons(surface: Surface, _cut: dict[str, float]) -> Array:
    x, y, z = surface.position.T
    spot = 0.009 - np.hypot(x, (z + 0.04) % 0.08 - 0.04)
    return soft(np.where((y < 0) & surface.part["torso"], spot, -1.0))


def _collar(surface: Surface, cut: dict[str, float]) -> Array:
    return soft(0.028 - _neckline(surface, cut))


def _cuffs(surface: Surface, cut: dict[str, float]) -> Array:
    near = 0.035 - (cut["sleeve"] - surface.arm) * _ARM_LENGTH
    return soft(np.where(surface.part["arm"], near, -1.0))


def _hem(surface: Surface, cut: dict[str, float]) -> Array:
    return soft(np.where(surface.part["arm"], -1.0, 0.045 - (surface.position[:, 2] - cut["hem"])))


def _lapels(surface: Surface, cut: dict[str, float]) -> Array:
    x, y, z = np.abs(surface.position[:, 0]), surface.position[:, 1], surface.position[:, 2]
    edge = (z - (surface.torso_height - cut.get("vee", 0.3))) * 0.42
    return soft(np.where((y < 0) & surface.part["torso"], 0.045 - np.abs(x - edge - 0.035), -1.0))


def _belt(surface: Surface, cut: dict[str, float]) -> Array:
    return soft(0.018 - np.abs(surface.position[:, 2] - cut.get("waist", 0.27) + 0.02))


def _side_stripe(surface: Surface, _cut: dict[str, float]) -> Array:
    side = np.where(surface.part["leg"], np.abs(np.abs(surface.around) - np.pi / 2), 9.0)
    outside = surface.position[:, 0] * surface.side > 0.12
    arm = np.where(surface.part["arm"], np.abs(np.abs(surface.around) - np.pi / 2), 9.0)
    return soft(0.016 - np.where(outside, np.minimum(side, arm), 9.0) * 0.06)


def _pockets(surface: Surface, _cut: dict[str, float]) -> Array:
    x, y, z = np.abs(surface.position[:, 0]), surface.position[:, 1], surface.position[:, 2]
    line = 0.006 - np.abs((z - 0.28) + (x - 0.1) * 1.2)
    return soft(np.where((y < 0) & (x > 0.07) & (x < 0.17), line, -1.0))


def _sole(surface: Surface, _cut: dict[str, float]) -> Array:
    return soft(np.where(surface.part["foot"], -0.795 - surface.position[:, 2], -1.0))


def _quilt(surface: Surface, _cut: dict[str, float]) -> Array:
    off = np.abs((surface.along / 0.085) % 1 - 0.5) * 0.085
    return soft(0.006 - off)


def _pouch(surface: Surface, _cut: dict[str, float]) -> Array:
    x, y, z = np.abs(surface.position[:, 0]), surface.position[:, 1], surface.position[:, 2]
    box = np.maximum(np.abs(z - 0.33) - 0.08, x - 0.12)
    return soft(np.where(y < 0, 0.005 - np.abs(box), -1.0))


_TRIMS: dict[str, Region] = {
    "zip": _front_line(0.006), "placket": _front_line(0.018), "buttons": _buttons,
    "collar": _collar, "cuffs": _cuffs, "hem": _hem, "lapels": _lapels, "belt": _belt,
    "side stripe": _side_stripe, "pockets": _pockets, "sole": _sole, "quilt": _quilt,
    "pouch": _pouch,
}  # fmt: skip
