"""Rendered people for tests, examples and benchmarks; no photographs.

They are the package's sample crops (``sanreid/demo``), rendered by ``python -m sanreid.train pit
crops``: eight people under four cameras. Further people are the same crops under the next camera;
odd shots are mirrored.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

Naming = Literal["market1501", "folders"]

PEOPLE, CAMERAS = 8, 4
SAMPLES = Path(str(resources.files("sanreid"))) / "demo"


def rendered_person(
    identity: int, camera: int = 1, shot: int = 0, *, size: tuple[int, int] = (256, 128)
) -> Image.Image:
    """Return one crop of a person under a camera.

    Args:
        identity: Number of the person, from 1; number 9 is person 1 under the next camera.
        camera: Number of the camera, from 1; number 5 is camera 1 again.
        shot: Number of the shot; odd ones are mirrored.
        size: (height, width) in pixels.
    """
    round_, person = divmod(identity - 1, PEOPLE)
    camera = (camera - 1 + round_) % CAMERAS
    with Image.open(SAMPLES / f"{person + 1:04d}_c{camera + 1}_rendered_0.jpg") as opened:
        crop = opened.convert("RGB")
    if shot % 2:
        crop = ImageOps.mirror(crop)
    return crop.resize(size[::-1], Image.Resampling.BOX)


def write_people(
    folder: Path,
    *,
    identities: int = 4,
    cameras: int = 3,
    shots: int = 1,
    first: int = 1,
    size: tuple[int, int] = (128, 64),
    names: Naming = "market1501",
    suffix: str = ".jpg",
) -> list[Path]:
    """Write crops into a folder, named as in Market-1501 or as ``PID/CC_V``; return the paths.

    Person 1 in the folder is rendered person ``first``.
    """
    paths = []
    for identity in range(1, identities + 1):
        for camera in range(1, cameras + 1):
            for shot in range(shots):
                name = f"{identity:04d}_c{camera}_rendered_{shot}{suffix}"
                if names == "folders":
                    name = f"{identity:03d}/{camera:02d}_{shot}{suffix}"
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                crop = rendered_person(identity + first - 1, camera, shot, size=size)
                if suffix == ".jpg":
                    crop.save(path, quality=92, subsampling=0)
                else:
                    crop.save(path)
                paths.append(path)
    return sorted(paths)
