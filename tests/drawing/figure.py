"""One figure, painted limb by limb; see ``tests.people``."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tests.drawing.traits import Camera, Colour, Person, mix

Point = tuple[float, float]


class Figure:
    """One figure on a canvas; lengths are parts of the figure's height, feet at 0, crown at 1."""

    def __init__(
        self, canvas: Image.Image, who: Person, where: Camera, facing: str, dice: random.Random
    ) -> None:
        self.canvas, self.who, self.facing = canvas, who, facing
        width, height = canvas.size
        self.side = facing in ("left", "right")
        self.sign = -1.0 if facing == "left" else 1.0
        self.unit = height * 0.9 * who.height * where.zoom * dice.uniform(0.97, 1.02)
        self.centre = width * (0.5 + dice.uniform(-0.06, 0.06))
        self.foot = height * 0.965 + (self.unit - height * 0.9) * 0.45
        self.gait = dice.uniform(0.35, 1.0) * dice.choice((-1, 1))
        self.light = dice.uniform(0.38, 0.62)
        self.cloth = np.random.default_rng(who.seed)
        self.build = who.build * (0.72 if self.side else 1.0)

    def draw(self) -> Image.Image:
        self._shadow()
        order = [1, 0] if self.gait > 0 else [0, 1]
        if self.who.cut == "long" and self.facing == "front":
            self._hair_behind()
        if self.who.bag == "backpack" and self.facing == "front":
            self._straps_behind()
        self._arm(order[0])
        self._leg(order[0])
        self._leg(order[1])
        self._hips()
        self._neck()
        self._torso()
        if self.who.bag == "backpack":
            self._backpack()
        self._head()
        self._arm(order[1])
        if self.who.bag == "shoulder":
            self._shoulder_bag()
        return self.canvas

    # places

    def at(self, x: float, y: float) -> Point:
        return self.centre + x * self.unit, self.foot - y * self.unit

    def _mask(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        mask = Image.new("L", self.canvas.size)
        return mask, ImageDraw.Draw(mask)

    def _limb(self, joints: list[Point], widths: list[float]) -> Image.Image:
        """A mask of rounded, tapering pieces through the joints; widths are half-widths."""
        mask, pen = self._mask()
        places = [self.at(*joint) for joint in joints]
        radii = [width * self.unit for width in widths]
        for (x, y), r in zip(places, radii, strict=True):
            pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
        for (a, ra), (b, rb) in zip(
            zip(places, radii, strict=True),
            list(zip(places, radii, strict=True))[1:],
            strict=False,
        ):
            angle = math.atan2(b[1] - a[1], b[0] - a[0]) + math.pi / 2
            dx, dy = math.cos(angle), math.sin(angle)
            pen.polygon(
                [
                    (a[0] + dx * ra, a[1] + dy * ra),
                    (b[0] + dx * rb, b[1] + dy * rb),
                    (b[0] - dx * rb, b[1] - dy * rb),
                    (a[0] - dx * ra, a[1] - dy * ra),
                ],
                fill=255,
            )
        return mask

    def _shape(self, points: list[Point]) -> Image.Image:
        mask, pen = self._mask()
        pen.polygon([self.at(*point) for point in points], fill=255)
        radius = self.unit * 0.012
        return mask.filter(ImageFilter.GaussianBlur(radius)).point(lambda v: 255 * (v > 127))

    def _ellipse(self, x: float, y: float, rx: float, ry: float) -> Image.Image:
        mask, pen = self._mask()
        cx, cy = self.at(x, y)
        pen.ellipse(
            (cx - rx * self.unit, cy - ry * self.unit, cx + rx * self.unit, cy + ry * self.unit),
            fill=255,
        )
        return mask

    # paint

    def _paint(
        self,
        mask: Image.Image,
        colour: Colour | Callable[[np.ndarray, np.ndarray], np.ndarray],
        *,
        depth: float = 0.34,
        folds: float = 0.0,
        dim: float = 1.0,
    ) -> None:
        """Lay paint through a mask, rounded by light from one side, with folds of cloth."""
        box = mask.getbbox()
        if box is None:
            return
        part = np.asarray(mask.crop(box), dtype=np.float32) / 255
        h, w = part.shape
        inside = part > 0.5
        left = np.argmax(inside, axis=1)
        right = w - np.argmax(inside[:, ::-1], axis=1)
        across = (np.arange(w)[None, :] + 0.5 - left[:, None]) / np.maximum(right - left, 1)[
            :, None
        ]
        shade = 1 - depth * 1.9 * (np.clip(across, 0, 1) - self.light) ** 2 / 0.35
        if folds:
            rough = self.cloth.normal(0, 1, (max(h // int(self.unit * 0.035 + 1), 2), 4))
            waves = Image.fromarray(rough.astype(np.float32)).resize(
                (w, h), Image.Resampling.BICUBIC
            )
            shade = shade * (1 + folds * np.asarray(waves))
        if callable(colour):
            ys = (self.foot - (np.arange(h) + box[1])[:, None]) / self.unit + np.zeros((1, w))
            xs = ((np.arange(w) + box[0])[None, :] - self.centre) / self.unit + np.zeros((h, 1))
            base = colour(xs, ys)
        else:
            base = np.broadcast_to(np.array(colour, np.float32), (h, w, 3))
        lit = np.clip(base * (shade * dim)[..., None], 0, 255).astype(np.uint8)
        self.canvas.paste(Image.fromarray(lit), box[:2], mask.crop(box))

    def _shadow(self) -> None:
        x, y = self.at(0.02, 0.0)
        shadow = Image.new("L", self.canvas.size)
        rx, ry = self.unit * 0.17, self.unit * 0.028
        ImageDraw.Draw(shadow).ellipse((x - rx, y - ry, x + rx, y + ry), fill=130)
        shadow = shadow.filter(ImageFilter.GaussianBlur(self.unit * 0.016))
        self.canvas.paste((34, 32, 34), (0, 0), shadow)

    # parts

    def _leg(self, which: int) -> None:
        way = 1 if which else -1
        if self.side:
            swing = way * self.gait * 0.11
            hip = (0.012 * way, 0.5)
            knee = (swing * 0.5 + 0.03 * self.sign, 0.275)
            ankle = (swing * 1.25 - 0.02 * self.sign * (way * self.gait < 0), 0.05)
            toe = (ankle[0] + 0.06 * self.sign, 0.018)
        else:
            lift = 0.02 * max(0.0, way * self.gait)
            hip = (0.048 * way * self.who.build, 0.5)
            knee = (0.052 * way * self.who.build, 0.275 + lift)
            ankle = (0.05 * way, 0.05 + lift)
            toe = (0.062 * way, 0.022 + lift)
        dim = 0.82 if way * self.gait < 0 else 1.0
        thick = self.who.build
        skin_widths = [0.05 * thick, 0.034 * thick, 0.021]
        bare = self._limb([hip, knee, ankle], skin_widths)
        if self.who.lower in ("shorts", "skirt"):
            self._paint(bare, self.who.skin, dim=dim)
        else:
            loose = 1.14 if self.who.lower == "trousers" else 1.0
            trousers = self._limb(
                [hip, knee, ankle], [0.054 * thick, 0.042 * thick * loose, 0.032 * loose]
            )
            self._paint(trousers, self.who.legs, folds=0.05, dim=dim)
        if self.who.lower == "shorts":
            middle = (hip[0] + (knee[0] - hip[0]) * 0.86, hip[1] + (knee[1] - hip[1]) * 0.86)
            shorts = self._limb([hip, middle], [0.056 * thick, 0.05 * thick])
            self._paint(shorts, self.who.legs, folds=0.05, dim=dim)
        shoe = self._limb([(ankle[0], 0.026 + (ankle[1] - 0.05)), toe], [0.027, 0.02])
        self._paint(shoe, self.who.shoes, depth=0.2, dim=dim)

    def _hips(self) -> None:
        b = self.build
        if self.who.lower == "skirt":
            points = [(-0.085 * b, 0.56), (0.085 * b, 0.56), (0.135 * b, 0.3), (-0.135 * b, 0.3)]
            self._paint(self._shape(points), self.who.legs, folds=0.08)
            return
        points = [(-0.088 * b, 0.56), (0.088 * b, 0.56), (0.1 * b, 0.47), (-0.1 * b, 0.47)]
        self._paint(self._shape(points), self.who.legs, folds=0.03)

    def _neck(self) -> None:
        self._paint(self._limb([(0, 0.84), (0, 0.88)], [0.032, 0.03]), self.who.skin, dim=0.86)

    def _torso(self) -> None:
        b = self.build
        points = [
            (-0.035, 0.852), (0.035, 0.852), (0.085 * b, 0.832), (0.118 * b, 0.795),
            (0.106 * b, 0.7), (0.096 * b, 0.6), (0.104 * b, 0.5), (-0.104 * b, 0.5),
            (-0.096 * b, 0.6), (-0.106 * b, 0.7), (-0.118 * b, 0.795), (-0.085 * b, 0.832),
        ]  # fmt: skip
        self._paint(self._shape(points), self._pattern, folds=0.045)

    def _pattern(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        top, accent = np.array(self.who.top, np.float32), np.array(self.who.accent, np.float32)
        kind = self.who.pattern
        where = np.zeros(xs.shape)
        if kind == "stripes":
            where = (np.floor(ys / 0.032) % 2).astype(float)
        elif kind == "pinstripes":
            where = (np.mod(xs, 0.03) < 0.009).astype(float)
        elif kind == "checks":
            where = 0.5 * (np.floor(ys / 0.028) % 2) + 0.5 * (np.floor(xs / 0.028) % 2)
        elif kind == "yoke":
            where = (ys > 0.735).astype(float)
        elif kind == "print" and self.facing != "back":
            shift = self.sign * 0.05 if self.side else 0.0
            where = (((xs - shift) / 0.05) ** 2 + ((ys - 0.715) / 0.045) ** 2 < 1).astype(float)
        elif kind == "open" and self.facing != "back":
            shift = self.sign * 0.085 if self.side else 0.0
            where = (np.abs(xs - shift) < 0.03).astype(float)
        return top + (accent - top) * where[..., None]

    def _arm(self, which: int) -> None:
        way = 1 if which else -1
        swing = -way * self.gait
        b = self.build
        if self.side:
            shoulder = (0.0, 0.795)
            elbow = (swing * 0.06, 0.645)
            hand = (swing * 0.12 + 0.035 * self.sign, 0.51)
        else:
            shoulder = (0.1 * b * way, 0.787)
            elbow = (0.132 * b * way, 0.65)
            hand = ((0.134 + 0.012 * abs(self.gait)) * b * way, 0.505 + 0.02 * swing)
        dim = 0.8 if way * self.gait < 0 and self.side else 0.93
        self._paint(self._limb([hand], [0.024]), self.who.skin, dim=dim)
        if self.who.sleeves == "short":
            self._paint(self._limb([shoulder, elbow, hand], [0.03, 0.025, 0.018]), self.who.skin,
                        dim=dim)  # fmt: skip
            cuff = (shoulder[0] + (elbow[0] - shoulder[0]) * 0.62, 0.71)
            sleeve = self._limb([shoulder, cuff], [0.04, 0.038])
        else:
            sleeve = self._limb([shoulder, elbow, hand], [0.039, 0.033, 0.026])
            hand_tip = (hand[0] + 0.006 * way, hand[1] - 0.03)
            self._paint(self._limb([hand, hand_tip], [0.02, 0.016]), self.who.skin, dim=dim)
        plain = self.who.pattern in ("yoke", "print", "open")
        paint = self.who.top if plain else self._pattern
        if self.who.pattern == "yoke":
            paint = self.who.accent if self.who.sleeves == "short" else self._pattern
        self._paint(sleeve, paint, folds=0.04, dim=dim)

    def _head(self) -> None:
        who = self.who
        x = 0.014 * self.sign if self.side else 0.0
        rx = 0.056 if self.side else 0.05
        self._paint(self._ellipse(x, 0.928, rx, 0.068), who.skin, depth=0.26)
        if self.facing == "front":
            for way in (-1, 1):
                self._paint(
                    self._ellipse(0.019 * way, 0.935, 0.0065, 0.005), (40, 30, 28), depth=0
                )
            self._paint(self._ellipse(0, 0.893, 0.015, 0.0045), mix(who.skin, (140, 40, 50), 0.5),
                        depth=0)  # fmt: skip
        elif self.side:
            nose = self._ellipse(x + self.sign * rx, 0.92, 0.012, 0.009)
            self._paint(nose, who.skin, depth=0.1)
            self._paint(self._ellipse(x + self.sign * 0.036, 0.937, 0.006, 0.006), (40, 30, 28),
                        depth=0)  # fmt: skip
        if who.cut != "bald":
            self._haircut(x, rx)

    def _haircut(self, x: float, rx: float) -> None:
        who = self.who
        lowest = {"front": 0.957, "back": 0.9}.get(self.facing, 0.93)
        hair = self._ellipse(x - (self.sign * 0.012 if self.side else 0), 0.94, rx + 0.008, 0.066)
        keep, pen = self._mask()
        if self.side:
            mx = x + self.sign * 0.016
            ends = sorted((self.at(-self.sign, 1.1)[0], self.at(mx, 1.1)[0]))
            pen.rectangle((ends[0], self.at(0, 1.1)[1], ends[1], self.at(0, 0.895)[1]), fill=255)
        pen.rectangle((0, 0, self.canvas.width, self.at(0, lowest + 0.018)[1]), fill=255)
        hair = Image.fromarray(np.minimum(np.asarray(hair), np.asarray(keep)))
        self._paint(hair, who.hair, depth=0.3, folds=0.06)
        back = -self.sign * 0.04 if self.side else 0.0
        if who.cut == "long" and self.facing != "front":
            width = 0.034 if self.side else 0.052
            lock = self._limb([(back, 0.93), (back * 1.25, 0.8)], [width, width * 0.9])
            self._paint(lock, who.hair, folds=0.06)
        elif who.cut == "long":
            for way in (-1, 1):
                lock = self._limb([(0.05 * way, 0.945), (0.057 * way, 0.83)], [0.013, 0.016])
                self._paint(lock, who.hair)
        elif who.cut == "bun":
            self._paint(self._ellipse(back * 1.3, 1.0 - 0.03 * self.side, 0.026, 0.024), who.hair)
        elif who.cut == "cap":
            crown, cut = self._ellipse(x, 0.952, rx + 0.009, 0.056), self._mask()
            cut[1].rectangle((0, 0, self.canvas.width, self.at(0, 0.958)[1]), fill=255)
            crown = Image.fromarray(np.minimum(np.asarray(crown), np.asarray(cut[0])))
            self._paint(crown, who.cap, depth=0.25)
            if self.facing != "back":
                peak = (self.sign * 0.075, 0.96) if self.side else (0.0, 0.957)
                wide = (0.034, 0.008) if self.side else (0.048, 0.011)
                self._paint(self._ellipse(*peak, *wide), mix(who.cap, (0, 0, 0), 0.3), depth=0.1)

    def _hair_behind(self) -> None:
        self._paint(self._limb([(0, 0.93), (0, 0.82)], [0.06, 0.06]), self.who.hair, dim=0.8)

    def _straps_behind(self) -> None:
        colour = mix(self.who.bag_colour, (0, 0, 0), 0.15)
        self._paint(self._shape([(-0.12, 0.8), (0.12, 0.8), (0.13, 0.62), (-0.13, 0.62)]), colour)

    def _backpack(self) -> None:
        colour = self.who.bag_colour
        if self.facing == "front":
            for way in (-1, 1):
                strap = self._limb([(0.07 * way, 0.83), (0.085 * way, 0.66)], [0.012, 0.012])
                self._paint(strap, colour, depth=0.1)
            return
        if self.side:
            x = -self.sign * 0.125
            pack = self._limb([(x, 0.775), (x * 1.06, 0.63)], [0.05, 0.056])
            strap = self._limb(
                [(0.02 * self.sign, 0.825), (0.045 * self.sign, 0.7)], [0.013, 0.012]
            )
            self._paint(strap, colour, depth=0.1)
        else:
            pack = self._shape([(-0.08, 0.825), (0.08, 0.825), (0.09, 0.58), (-0.09, 0.58)])
        self._paint(pack, colour, folds=0.02)
        if not self.side:
            pocket = self._shape([(-0.058, 0.68), (0.058, 0.68), (0.062, 0.6), (-0.062, 0.6)])
            self._paint(pocket, mix(colour, (0, 0, 0), 0.22))

    def _shoulder_bag(self) -> None:
        colour = self.who.bag_colour
        way = -1.0 if self.facing == "back" else 1.0
        x = -0.02 if self.side else 0.125 * way
        strap = self._limb([(-0.06 * way, 0.835), (x, 0.56)], [0.008, 0.008])
        self._paint(strap, mix(colour, (0, 0, 0), 0.35), depth=0)
        bag = self._shape([(x - 0.058, 0.56), (x + 0.058, 0.56), (x + 0.066, 0.44),
                           (x - 0.066, 0.44)])  # fmt: skip
        self._paint(bag, colour, folds=0.03)
