"""Fabrics, painted on the surface of the body: plain, striped, checked, dotted, printed, denim.

A fabric gives one color per point from two coordinates on the cloth (metres across and along)
and, for folds and clouds, the position in space, so that nothing tears at the seams of the atlas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.surface import Surface

__all__ = ["FABRICS", "PATTERNED", "Fabric", "draw_fabric", "noise", "soft"]

FABRICS = (
    "plain", "heather", "denim", "stripes", "pinstripes", "bands", "checks", "gingham", "dots",
    "camouflage", "floral", "panel", "gradient", "print", "logo", "lettering",
)  # fmt: skip
PATTERNED = frozenset(FABRICS) - {"plain", "heather", "denim"}
_WORDS = ("RUN", "CITY", "NORTH", "88", "23", "TEAM", "OCEAN", "7", "LUCKY", "ATLAS", "10", "WILD")


@dataclass(frozen=True, slots=True)
class Fabric:
    """One cloth: a kind of :data:`FABRICS`, up to three colors, a scale and its own seed."""

    kind: str
    colors: Array  # (3, 3) in [0, 1]: ground, figure, accent
    scale: float  # metres of one repeat
    seed: int
    folds: float  # strength of the folds painted into it

    def paint(self, surface: Surface) -> Array:
        """Return the cloth's color at each point, (N, 3)."""
        rng = np.random.default_rng(self.seed)
        amount = _PATTERNS[self.kind](self, surface, rng)  # (N,) 0 ground, 1 figure, 2 accent
        ground, figure, accent = self.colors
        first = np.clip(amount, 0, 1)[:, None]
        second = np.clip(amount - 1, 0, 1)[:, None]
        color = ground * (1 - first) + figure * first
        color = color * (1 - second) + accent * second
        light = 1 + self.folds * (noise(surface.position, 0.09, rng, stretch=1.8) - 0.5)
        light += 0.5 * self.folds * (noise(surface.position, 0.035, rng) - 0.5)
        painted: Array = np.clip(color * light[:, None], 0, 1).astype(np.float32)
        return painted


def draw_fabric(
    rng: np.random.Generator, kind: str, ground: Array, figure: Array, accent: Array
) -> Fabric:
    """Draw a cloth of a kind; the figure is moved away from the ground where both are alike."""
    if np.abs(figure - ground).max() < 0.22:
        figure = np.clip(np.where(ground.mean() < 0.45, ground + 0.4, ground - 0.35), 0, 1)
    return Fabric(
        kind=kind,
        colors=np.stack([ground, figure, accent]).astype(np.float32),
        scale=float(rng.uniform(0.7, 1.5)),
        seed=int(rng.integers(2**31)),
        folds=float(rng.uniform(0.06, 0.28)),
    )


def soft(distance: Array, width: float = 0.007) -> Array:
    """Turn a signed distance in metres into coverage: 0 outside, 1 inside, a ramp at the edge."""
    cover: Array = np.clip(distance / width + 0.5, 0, 1).astype(np.float32)
    return cover


def noise(
    position: Array, size: float, rng: np.random.Generator, *, stretch: float = 1.0
) -> Array:
    """Smooth noise in [0, 1] at (N, 3) points: random values on a lattice of ``size`` metres."""
    lattice = rng.random((16, 16, 16), dtype=np.float32).reshape(-1)
    cell = position / (size * np.array([1, 1, stretch], np.float32)) + 40.0
    low = np.floor(cell)
    part = (cell - low).astype(np.float32)
    part = part * part * (3 - 2 * part)
    first = low.astype(np.int32) % 16
    steps = np.array([256, 16, 1], np.int32)  # of the lattice along each axis
    ends = ((first + 1) % 16 * steps).T, (first * steps).T
    shares = part.T, (1 - part).T
    total = np.zeros(len(position), np.float32)
    for z in (1, 0):
        for y in (1, 0):
            for x in (1, 0):
                weight = shares[x][0] * shares[y][1] * shares[z][2]
                total += weight * lattice[ends[x][0] + ends[y][1] + ends[z][2]]
    return total


def _wave(x: Array, period: float, fill: float) -> Array:
    """1 in a part ``fill`` of each period, with edges of a texel's width."""
    off = np.abs((x / period) % 1 - 0.5)
    return soft((fill / 2 - off) * period)


def _plain(_fabric: Fabric, surface: Surface, _rng: np.random.Generator) -> Array:
    return np.zeros(len(surface.along), np.float32)


def _heather(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    fine = noise(surface.position, 0.012 * fabric.scale, rng)
    return (0.25 * fine).astype(np.float32)


def _denim(_fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    worn = np.exp(-((surface.leg - 0.45) ** 2) / 0.08) + np.exp(-((surface.leg - 1.0) ** 2) / 0.02)
    worn = worn * (np.cos(surface.around) > 0.3) * 0.25
    return np.asarray(worn + 0.15 * noise(surface.position, 0.014, rng), np.float32)


def _stripes(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    period = 0.055 * fabric.scale * rng.choice([0.8, 1.0, 1.8])
    return _wave(surface.along, period, rng.uniform(0.3, 0.6))


def _pinstripes(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    return _wave(surface.across, 0.05 * fabric.scale, rng.uniform(0.2, 0.5))


def _bands(_fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    top, depth = rng.uniform(0.1, 0.3), rng.uniform(0.06, 0.2)
    return soft(depth / 2 - np.abs(surface.along - top)) * rng.integers(1, 3)


def _checks(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    period, fill = 0.10 * fabric.scale, rng.uniform(0.2, 0.45)
    wide = _wave(surface.across, period, fill) + _wave(surface.along, period, fill)
    thin = np.maximum(
        _wave(surface.across + period / 2, period, 0.1),
        _wave(surface.along + period / 2, period, 0.1),
    )
    return np.asarray(np.maximum(wide / 2, 2 * thin * (wide < 0.5)), np.float32)


def _gingham(fabric: Fabric, surface: Surface, _rng: np.random.Generator) -> Array:
    period = 0.05 * fabric.scale
    both = _wave(surface.across, period, 0.5) + _wave(surface.along, period, 0.5)
    return (both / 2).astype(np.float32)


def _dots(fabric: Fabric, surface: Surface, _rng: np.random.Generator) -> Array:
    period = 0.06 * fabric.scale
    row = np.floor(surface.along / period)
    x = ((surface.across / period + 0.5 * (row % 2)) % 1 - 0.5) * period
    y = ((surface.along / period) % 1 - 0.5) * period
    return soft(0.27 * period - np.hypot(x, y))


def _camouflage(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    first = noise(surface.position, 0.07 * fabric.scale, rng)
    second = noise(surface.position, 0.05 * fabric.scale, rng)
    return np.maximum(soft((first - 0.55) * 0.2), 2 * soft((second - 0.62) * 0.2))


def _floral(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    spots = noise(surface.position, 0.03 * fabric.scale, rng)
    hearts = noise(surface.position, 0.022 * fabric.scale, rng)
    return np.maximum(soft((spots - 0.58) * 0.1), 2 * soft((hearts - 0.72) * 0.1))


def _panel(_fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    """Sleeves and sides, a yoke, or one half, in the second color."""
    choice = rng.integers(4)
    x = surface.position[:, 0]
    if choice == 0:
        return (surface.part["arm"] | surface.part["hand"]).astype(np.float32)
    if choice == 1:
        return soft(rng.uniform(0.16, 0.3) - surface.along)
    if choice == 2:
        return soft(np.abs(np.sin(surface.around)) * 0.2 - 0.19)
    return soft(x * rng.choice([-1, 1]))


def _gradient(_fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    return np.asarray(np.clip((surface.along - rng.uniform(0, 0.2)) / 0.5, 0, 1), np.float32)


def _print(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    """A picture on the front (or the back): a few shapes."""
    canvas = Image.new("L", (64, 64))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(2, 6))):
        x, y, r = rng.uniform(8, 56), rng.uniform(8, 56), rng.uniform(6, 20)
        shade = int(rng.choice([127, 255]))
        kind = rng.integers(3)
        if kind == 0:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=shade)
        elif kind == 1:
            draw.rectangle((x - r, y - r / 2, x + r, y + r / 2), fill=shade)
        else:
            draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=shade)
    return _stamp(canvas, surface, rng, width=0.24 * min(fabric.scale, 1.15))


def _logo(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    """A small mark on one side of the chest."""
    canvas = Image.new("L", (64, 64))
    draw = ImageDraw.Draw(canvas)
    if rng.random() < 0.5:
        draw.ellipse((4, 4, 60, 60), fill=255)
        draw.rectangle((24, 0, 40, 64), fill=127)
    else:
        draw.polygon([(32, 2), (62, 60), (2, 60)], fill=255)
    return _stamp(canvas, surface, rng, width=0.07 * fabric.scale, x=0.075 * rng.choice([-1, 1]))


def _lettering(fabric: Fabric, surface: Surface, rng: np.random.Generator) -> Array:
    """A word or a number across the chest."""
    word = str(rng.choice(_WORDS))
    font = ImageFont.load_default(48)
    box = font.getbbox(word)
    canvas = Image.new("L", (int(box[2] - box[0]) + 4, int(box[3] - box[1]) + 4))
    ImageDraw.Draw(canvas).text(
        (2 - box[0], 2 - box[1]), word, fill=255, font=font, stroke_width=1
    )
    width = (0.14 if len(word) < 3 else 0.26) * min(fabric.scale, 1.1)
    return _stamp(canvas, surface, rng, width=width)


def _stamp(
    canvas: Image.Image,
    surface: Surface,
    rng: np.random.Generator,
    *,
    width: float,
    x: float = 0.0,
) -> Array:
    """Lay a picture on the chest (or, one time in four, on the back), ``width`` metres wide."""
    back = rng.random() < 0.25 and x == 0
    picture = np.asarray(canvas)
    height = width * canvas.height / canvas.width
    sign = -1 if back else 1
    right = surface.position[:, 0] * sign - x  # the wearer's left is the viewer's right
    down = surface.along - rng.uniform(0.17, 0.22)
    column = (right / width + 0.5) * canvas.width
    row = (down / height + 0.3) * canvas.height
    inside = (column >= 0) & (column < canvas.width) & (row >= 0) & (row < canvas.height)
    facing = surface.position[:, 1] > 0 if back else surface.position[:, 1] < 0
    inside &= facing & surface.part["torso"]
    value = np.zeros(len(right), np.float32)
    at: NDArray[np.int64] = np.clip(row[inside].astype(np.int64), 0, canvas.height - 1)
    value[inside] = picture[at, column[inside].astype(np.int64)] / 127.5
    return np.minimum(value, 2)


_PATTERNS = {
    "plain": _plain,
    "heather": _heather,
    "denim": _denim,
    "stripes": _stripes,
    "pinstripes": _pinstripes,
    "bands": _bands,
    "checks": _checks,
    "gingham": _gingham,
    "dots": _dots,
    "camouflage": _camouflage,
    "floral": _floral,
    "panel": _panel,
    "gradient": _gradient,
    "print": _print,
    "logo": _logo,
    "lettering": _lettering,
}
