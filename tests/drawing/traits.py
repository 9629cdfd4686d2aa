"""What is drawn: a person under every camera, a camera under every person."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Person:
    """What is the same about a person under every camera."""

    top: Colour
    accent: Colour
    pattern: str
    sleeves: str
    lower: str
    legs: Colour
    shoes: Colour
    hair: Colour
    cut: str
    cap: Colour
    skin: Colour
    bag: str
    bag_colour: Colour
    height: float  # of the figure, as a part of 1
    build: float  # widths are multiplied by it
    seed: int


@dataclass(frozen=True)
class Camera:
    """What is the same about every crop of a camera."""

    scene: str
    tint: tuple[float, float, float]
    brightness: float
    contrast: float
    blur: float  # standard deviation in pixels of a 128-pixel wide crop
    noise: float  # standard deviation in grey levels
    zoom: float
    seed: int


def mix(a: Colour, b: Colour, t: float) -> Colour:
    red, green, blue = (round(p + (q - p) * t) for p, q in zip(a, b, strict=True))
    return red, green, blue
