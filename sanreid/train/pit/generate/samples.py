"""Sample crops with reID file names, for demonstrations and tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sanreid.errors import InputError
from sanreid.train.pit.generate.pairs import PairSettings, make_identity, make_pair
from sanreid.train.pit.generate.studio import Studio
from sanreid.utils.files import atomic_write

__all__ = ["write_crops"]


def write_crops(
    studio: Studio,
    settings: PairSettings,
    out: str | Path,
    *,
    people: Sequence[int] | None = None,
    height: int = 256,
) -> list[Path]:
    """Write every image as a crop, ``PPPP_cC_rendered_0.jpg``: image number C is camera C.

    Args:
        studio: The body and its tables.
        settings: Which people and how many images (cameras) of each.
        out: The folder; created where it is missing.
        people: Numbers of the identities to write, from 1; they become persons 1, 2, ... in this
            order. All when None.
        height: Of the crops, pixels; they are half as wide.

    Returns:
        The paths, by person and camera.

    Raises:
        InputError: A number of ``people`` is not that of an identity.
    """
    chosen = range(1, settings.identities + 1) if people is None else people
    for number in chosen:
        if not 1 <= number <= settings.identities:
            raise InputError(
                f"People are chosen among the {settings.identities} identities, numbered from 1; "
                f"got {number}."
            )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for person, number in enumerate(chosen, start=1):
        dressed = make_identity(studio, settings, number - 1)
        for image in range(settings.images_per_identity):
            pair = make_pair(studio, settings, dressed, number - 1, image)
            with Image.open(io.BytesIO(pair.jpeg)) as opened:
                crop = opened.convert("RGB").resize(
                    (height // 2, height), Image.Resampling.LANCZOS
                )
            path = out / f"{person:04d}_c{image + 1}_rendered_0.jpg"
            with atomic_write(path) as file:
                crop.save(file, "JPEG", quality=90)
            paths.append(path)
    return paths
