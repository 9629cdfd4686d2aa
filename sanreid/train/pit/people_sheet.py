"""A sheet of people under cameras, to judge by eye: rows are identities, columns cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.datasets import read_crops
from sanreid.errors import InputError

__all__ = ["people_sheet"]


def people_sheet(
    folder: str | Path,
    *,
    identities: int = 12,
    cameras: int = 12,
    cell: tuple[int, int] = (128, 64),
) -> NDArray[np.uint8]:
    """Return a sheet of the people whom the most of the first cameras saw.

    Args:
        folder: Crops with reID names, as ``python -m sanreid.train pit people`` writes them.
        identities: Rows, at most.
        cameras: Columns, at most: the cameras of the lowest numbers.
        cell: (height, width) of one crop, pixels.

    Returns:
        (H, W, 3) RGB; black where a camera did not see somebody.

    Raises:
        DatasetError: The folder is missing or has no such crops.
        InputError: A number is below 1.
    """
    if identities < 1 or cameras < 1:
        raise InputError(f"A sheet needs 1 row and 1 column; got {identities} and {cameras}.")
    crops = read_crops(folder, names="market1501")
    columns = np.unique(crops.camids)[:cameras].tolist()
    shown: dict[int, dict[int, Path]] = {}
    for path, pid, camid in zip(crops.paths, crops.pids, crops.camids, strict=True):
        if camid in columns:
            shown.setdefault(int(pid), {}).setdefault(int(camid), path)
    rows = sorted(shown, key=lambda pid: (-len(shown[pid]), pid))[:identities]
    height, width = cell
    sheet = np.zeros((len(rows) * height, len(columns) * width, 3), np.uint8)
    for row, pid in enumerate(rows):
        for column, camid in enumerate(columns):
            seen = shown[pid].get(camid)
            if seen is not None:
                with Image.open(seen) as opened:
                    crop = opened.convert("RGB").resize((width, height), Image.Resampling.BOX)
                top, left = row * height, column * width
                sheet[top : top + height, left : left + width] = np.asarray(crop)
    return sheet
