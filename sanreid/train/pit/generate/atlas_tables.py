"""The packaged tables of the atlas, computed from the body model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.studio import Studio
from sanreid.utils.files import atomic_write

__all__ = ["compute_tables", "write_tables"]

_WAIST = 0.22  # metres above the neutral body's origin


def compute_tables(studio: Studio) -> dict[str, NDArray[np.generic]]:
    """Compute the tables from the body model."""
    part, valid = studio.texels.part, studio.atlas.valid
    high = studio.texels.position[:, 2] > _WAIST
    masks = (
        part["torso"] & high, part["torso"] & ~high, part["arm"], part["hand"],
        part["leg"], part["foot"], part["neck"], part["head"],
    )  # fmt: skip
    regions = np.zeros(valid.size, np.uint8)
    for number, mask in enumerate(masks, 1):
        regions[mask] = number
    regions = np.where(valid, regions.reshape(valid.shape), 0).astype(np.uint8)
    return {"mirror": studio.atlas.mirror.astype(np.uint16), "valid": valid, "regions": regions}


def write_tables(studio: Studio, path: Path) -> None:
    """Compute the tables and write them to a file."""
    tables = compute_tables(studio)
    with atomic_write(path) as file:
        np.savez_compressed(
            file, mirror=tables["mirror"], valid=tables["valid"], regions=tables["regions"]
        )
