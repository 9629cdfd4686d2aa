"""The places the cameras look at; see ``tests.people``."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw, ImageFilter

from tests.drawing.traits import Camera, Colour, mix


def background(where: Camera, width: int, height: int, dice: random.Random) -> Image.Image:
    """The place of a camera, shifted a little from shot to shot, out of focus."""
    fixed = random.Random(where.seed)
    wide = int(width * 1.6)
    picture = Image.new("RGB", (wide, height))
    pen = ImageDraw.Draw(picture)
    horizon = int(height * (0.52 + 0.1 * fixed.random()))
    walls: dict[str, tuple[Colour, Colour, Colour, Colour]] = {
        "pavement": ((158, 122, 104), (134, 98, 84), (150, 148, 144), (126, 124, 122)),
        "park": ((116, 146, 98), (74, 108, 62), (128, 156, 92), (98, 128, 70)),
        "hall": ((190, 196, 202), (160, 168, 178), (140, 146, 154), (104, 112, 122)),
        "glass": ((190, 206, 218), (128, 152, 170), (186, 186, 184), (156, 156, 156)),
        "dusk": ((104, 100, 116), (72, 70, 88), (98, 92, 92), (70, 66, 70)),
        "shop": ((206, 188, 168), (222, 210, 196), (176, 150, 122), (140, 116, 92)),
    }
    far_top, far_low, near_far, near_low = walls[where.scene]
    for y in range(height):
        if y < horizon:
            ends, t = (far_top, far_low), y / horizon
        else:
            ends, t = (near_far, near_low), (y - horizon) / (height - horizon)
        pen.line([(0, y), (wide, y)], fill=mix(*ends, t))
    FURNISH[where.scene](pen, wide, height, horizon, fixed)
    left = int((wide - width) * dice.random())
    picture = picture.crop((left, 0, left + width, height))
    return picture.filter(ImageFilter.GaussianBlur(width / 70))


def _pavement(pen: ImageDraw.ImageDraw, w: int, h: int, horizon: int, dice: random.Random) -> None:
    row = h // 34
    for i, y in enumerate(range(0, horizon, row)):
        for x in range(-row * (i % 2), w, row * 2):
            shade = dice.randint(-14, 14)
            pen.rectangle(
                (x + 1, y + 1, x + row * 2 - 2, y + row - 2),
                fill=(156 + shade, 112 + shade, 94 + shade),
            )


def _park(pen: ImageDraw.ImageDraw, w: int, h: int, horizon: int, dice: random.Random) -> None:
    for _ in range(60):
        x, y, r = dice.random() * w, dice.random() * horizon, dice.uniform(0.03, 0.09) * h
        green = dice.randint(70, 150)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(green - 34, green, green - 52))
    for _ in range(3):
        x = dice.random() * w
        pen.rectangle((x, 0, x + w * 0.035, horizon), fill=(86, 68, 54))


def _hall(pen: ImageDraw.ImageDraw, w: int, h: int, horizon: int, dice: random.Random) -> None:
    for i in range(4):
        x = w * (i + 0.3) / 4
        pen.rectangle((x, h * 0.1, x + w * 0.13, horizon), fill=(120, 132, 146))
        pen.rectangle((x + w * 0.015, h * 0.12, x + w * 0.115, horizon), fill=(150, 162, 174))
    for i in range(9):
        pen.line([(w * i / 8, horizon), (w * (i * 2 - 4) / 8, h)], fill=(112, 118, 128), width=3)


def _glass(pen: ImageDraw.ImageDraw, w: int, h: int, horizon: int, dice: random.Random) -> None:
    for i in range(7):
        x = w * i / 6
        pen.rectangle((x, 0, x + w * 0.02, horizon), fill=(92, 104, 114))
        tone = dice.randint(-16, 16)
        pen.rectangle(
            (x + w * 0.03, h * 0.03, x + w * 0.14, horizon * 0.46),
            fill=(150 + tone, 180 + tone, 200 + tone),
        )
    for i in range(5):
        pen.rectangle((w * i / 5, h * 0.86, w * (i + 0.55) / 5, h * 0.93), fill=(226, 226, 222))


def _dusk(pen: ImageDraw.ImageDraw, w: int, h: int, horizon: int, dice: random.Random) -> None:
    for _ in range(14):
        x, y, r = dice.random() * w, dice.random() * horizon, dice.uniform(0.008, 0.025) * h
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(250, 208, 136))
    pen.rectangle((0, horizon - h * 0.05, w, horizon), fill=(58, 56, 66))


def _shop(pen: ImageDraw.ImageDraw, w: int, h: int, horizon: int, dice: random.Random) -> None:
    for level in range(4):
        y = horizon * (level + 1) / 4
        x = 0.0
        while x < w:
            step = dice.uniform(0.03, 0.08) * w
            top = y - dice.uniform(0.05, 0.1) * h
            tones = [dice.randint(70, 230) for _ in range(3)]
            pen.rectangle((x, top, x + step * 0.8, y), fill=(tones[0], tones[1], tones[2]))
            x += step
        pen.rectangle((0, y, w, y + h * 0.012), fill=(120, 96, 74))


FURNISH = {
    "pavement": _pavement,
    "park": _park,
    "hall": _hall,
    "glass": _glass,
    "dusk": _dusk,
    "shop": _shop,
}
