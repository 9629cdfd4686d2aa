"""Sample crops with reID file names, for demonstrations: adults before procedural backgrounds."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from sanreid.train.pit.making import MakingSettings, make_identity, make_pair
from sanreid.train.pit.render import Studio

__all__ = ["write_crops"]


def write_crops(
    studio: Studio, settings: MakingSettings, out: str | Path, *, height: int = 256
) -> list[Path]:
    """Write every image as a crop, ``PPPP_cCs1_FFFFFF_00.jpg``: image number C is camera C.

    Args:
        studio: The body and its tables.
        settings: Which people and how many images (cameras) of each.
        out: The folder; made where it is not there.
        height: Of the crops, pixels; they are half as wide.

    Returns:
        The paths, by identity and camera.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for identity in range(settings.identities):
        dressed = make_identity(studio, settings, identity)
        for image in range(settings.images_per_identity):
            pair = make_pair(studio, settings, dressed, identity, image)
            with Image.open(io.BytesIO(pair.jpeg)) as opened:
                crop = opened.convert("RGB").resize(
                    (height // 2, height), Image.Resampling.LANCZOS
                )
            frame = 1000 * (image + 1) + 25 * identity
            path = out / f"{identity + 1:04d}_c{image + 1}s1_{frame:06d}_00.jpg"
            crop.save(path, "JPEG", quality=90)
            paths.append(path)
    return paths
