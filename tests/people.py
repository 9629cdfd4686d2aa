"""Drawn people for tests, examples and the demo: no photograph of anyone.

A person is what a camera sees of one: colours and patterns of clothes, hair, skin, a bag, build.
A camera is a place: background, colour of the light, brightness, sharpness, how tightly it crops.
A shot is a moment: which way the person faces, the step, the place in the box. All three are drawn
from their numbers by local generators, so that a picture is the same on every machine up to the
rounding of the resampling.

``python -m tests.people OUT`` draws the sample crops that travel in the package
(``sanreid/demo``).
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from tests.drawing.figure import Figure
from tests.drawing.places import background
from tests.drawing.traits import Camera, Colour, Person

Naming = Literal["market1501", "folders"]

SKIN: tuple[Colour, ...] = (
    (244, 208, 182),
    (226, 178, 144),
    (198, 142, 104),
    (150, 100, 68),
    (104, 68, 46),
)
HAIR: tuple[Colour, ...] = (
    (28, 22, 20),
    (70, 44, 28),
    (128, 82, 44),
    (206, 166, 96),
    (150, 60, 34),
    (172, 172, 176),
)
CLOTHES: tuple[Colour, ...] = (
    (196, 34, 40),
    (28, 62, 150),
    (240, 238, 230),
    (24, 24, 28),
    (236, 178, 36),
    (38, 124, 66),
    (120, 62, 148),
    (236, 126, 150),
    (92, 186, 214),
    (136, 140, 146),
    (222, 100, 32),
    (120, 26, 52),
    (66, 88, 52),
    (196, 170, 126),
)
TROUSERS: tuple[Colour, ...] = (
    (34, 46, 88),
    (26, 26, 30),
    (176, 156, 118),
    (112, 114, 120),
    (96, 132, 178),
    (88, 60, 40),
    (232, 228, 218),
    (120, 34, 40),
)
PATTERNS = ("plain", "plain", "stripes", "pinstripes", "checks", "yoke", "print", "open")
HAIRCUTS = ("short", "long", "bun", "cap", "bald")
LOWER = ("trousers", "trousers", "jeans", "shorts", "skirt")
BAGS = ("none", "backpack", "shoulder", "none")

# Six fixed people who differ in every trait: the ones the demo shows.
CAST: tuple[dict[str, object], ...] = (
    {"top": 0, "accent": 2, "pattern": "stripes", "lower": "jeans", "legs": 0, "hair": 3,
     "cut": "long", "skin": 0, "bag": "none", "sleeves": "long"},
    {"top": 4, "accent": 3, "pattern": "plain", "lower": "trousers", "legs": 1, "hair": 0,
     "cut": "short", "skin": 3, "bag": "backpack", "bag_colour": 5, "sleeves": "long"},
    {"top": 2, "accent": 1, "pattern": "yoke", "lower": "shorts", "legs": 2, "hair": 1,
     "cut": "cap", "cap": 1, "skin": 1, "bag": "none", "sleeves": "short"},
    {"top": 6, "accent": 7, "pattern": "print", "lower": "skirt", "legs": 1, "hair": 4,
     "cut": "bun", "skin": 0, "bag": "shoulder", "bag_colour": 13, "sleeves": "short"},
    {"top": 5, "accent": 2, "pattern": "checks", "lower": "trousers", "legs": 3, "hair": 5,
     "cut": "bald", "skin": 2, "bag": "none", "sleeves": "long"},
    {"top": 3, "accent": 8, "pattern": "open", "lower": "jeans", "legs": 4, "hair": 0,
     "cut": "long", "skin": 4, "bag": "backpack", "bag_colour": 10, "sleeves": "long"},
)  # fmt: skip


def person(identity: int, *, seed: int = 0) -> Person:
    """Give the person of a number; 1 to 6 are the cast of the demo when ``seed`` is 0."""
    dice = random.Random(f"person {seed} {identity}")
    drawn: dict[str, object] = {
        "top": dice.randrange(len(CLOTHES)),
        "accent": dice.randrange(len(CLOTHES)),
        "pattern": dice.choice(PATTERNS),
        "sleeves": dice.choice(("long", "long", "short")),
        "lower": dice.choice(LOWER),
        "legs": dice.randrange(len(TROUSERS)),
        "hair": dice.randrange(len(HAIR)),
        "cut": dice.choice(HAIRCUTS),
        "cap": dice.randrange(len(CLOTHES)),
        "skin": dice.randrange(len(SKIN)),
        "bag": dice.choice(BAGS),
        "bag_colour": dice.randrange(len(CLOTHES)),
    }
    shoes = dice.choice(((30, 28, 28), (238, 238, 238), (92, 58, 36), (170, 40, 40)))
    height, build = dice.uniform(0.93, 1.0), dice.uniform(0.9, 1.14)
    if seed == 0 and 1 <= identity <= len(CAST):
        drawn |= CAST[identity - 1]
    if drawn["accent"] == drawn["top"]:
        drawn["accent"] = (int(str(drawn["top"])) + 2) % len(CLOTHES)

    def colour(palette: tuple[Colour, ...], key: str) -> Colour:
        return palette[int(str(drawn[key]))]

    return Person(
        top=colour(CLOTHES, "top"),
        accent=colour(CLOTHES, "accent"),
        pattern=str(drawn["pattern"]),
        sleeves=str(drawn["sleeves"]),
        lower=str(drawn["lower"]),
        legs=colour(TROUSERS, "legs"),
        shoes=shoes,
        hair=colour(HAIR, "hair"),
        cut=str(drawn["cut"]),
        cap=colour(CLOTHES, "cap"),
        skin=colour(SKIN, "skin"),
        bag=str(drawn["bag"]),
        bag_colour=colour(CLOTHES, "bag_colour"),
        height=height,
        build=build,
        seed=dice.randrange(2**31),
    )


CAMERAS = (
    Camera("pavement", (1.04, 1.0, 0.94), 1.04, 1.05, 0.3, 2.0, 1.00, 11),
    Camera("park", (0.97, 1.03, 0.95), 1.0, 1.0, 0.5, 3.0, 0.93, 12),
    Camera("hall", (0.94, 1.0, 1.08), 0.92, 0.9, 0.4, 4.0, 1.05, 13),
    Camera("glass", (1.0, 1.0, 1.03), 1.12, 0.88, 0.8, 3.0, 0.97, 14),
    Camera("dusk", (1.1, 0.96, 0.82), 0.74, 1.0, 0.7, 6.0, 1.02, 15),
    Camera("shop", (1.03, 0.98, 1.0), 1.06, 1.1, 0.2, 2.0, 0.90, 16),
)


def draw_person(
    identity: int,
    camera: int = 1,
    shot: int = 0,
    *,
    size: tuple[int, int] = (256, 128),
    seed: int = 0,
) -> Image.Image:
    """Draw one crop of a person under a camera.

    Args:
        identity: Number of the person, any int.
        camera: Number of the camera, from 1; above 6 the places return with another light.
        shot: Number of the moment.
        size: (height, width) in pixels.
        seed: Another seed is another world of people.
    """
    who, where = person(identity, seed=seed), CAMERAS[(camera - 1) % len(CAMERAS)]
    dice = random.Random(f"shot {seed} {identity} {camera} {shot}")
    facing = ("front", "left", "back", "right")[(identity + camera + shot) % 4]
    height, width = size
    scale = max(2, -(-384 // height))  # drawn larger, then averaged down
    canvas = background(where, width * scale, height * scale, dice)
    canvas = Figure(canvas, who, where, facing, dice).draw()
    canvas = canvas.filter(ImageFilter.GaussianBlur(where.blur * width / 128 * scale))
    small = np.asarray(canvas.resize((width, height), Image.Resampling.BOX), dtype=np.float32)
    step = (camera - 1) // len(CAMERAS)
    light = where.brightness * dice.uniform(0.95, 1.05) * (1 - 0.08 * step)
    small = (small - 118) * where.contrast + 118
    small = small * np.array(where.tint, np.float32) * light
    noise = np.random.default_rng(dice.randrange(2**31))
    small = small + noise.normal(0, where.noise, (height, width, 1))
    return Image.fromarray(np.clip(np.rint(small), 0, 255).astype(np.uint8))


def write_people(
    folder: Path,
    *,
    identities: int = 4,
    cameras: int = 3,
    shots: int = 1,
    size: tuple[int, int] = (128, 64),
    seed: int = 0,
    names: Naming = "market1501",
    suffix: str = ".jpg",
) -> list[Path]:
    """Draw people into a folder, named as in Market-1501 or as ``PID/CC_V``; give the paths."""
    paths = []
    for identity in range(1, identities + 1):
        for camera in range(1, cameras + 1):
            for shot in range(shots):
                name = f"{identity:04d}_c{camera}_drawn_{shot}{suffix}"
                if names == "folders":
                    name = f"{identity:03d}/{camera:02d}_{shot}{suffix}"
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                crop = draw_person(identity, camera, shot, size=size, seed=seed)
                if suffix == ".jpg":
                    crop.save(path, quality=92, subsampling=0)
                else:
                    crop.save(path)
                paths.append(path)
    return sorted(paths)


def main() -> None:
    """Draw the demo's sample crops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    paths = write_samples(args.folder)
    total = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} crops, {total / 1024:.0f} KiB, in {args.folder}")  # noqa: T201


def write_samples(folder: Path) -> list[Path]:
    """Draw the packaged sample crops: six people under four cameras, one crop each."""
    return write_people(folder, identities=6, cameras=4, size=(256, 128))


if __name__ == "__main__":
    main()
