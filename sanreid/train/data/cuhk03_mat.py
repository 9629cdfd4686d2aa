"""Extracting the crops of CUHK03 from ``cuhk-03.mat``, once.

The file is HDF5 (MATLAB's -v7.3), read by h5py, of the extra ``train``. MATLAB keeps arrays
by columns, so every one is transposed here. Its contents::

    labeled, detected   5 cells, one for each pair of cameras
        (people, 10)    cells of crops, the first five of one view, the others of the other
            (H, W, 3)   uint8, or empty
    testsets            20 cells of (100, 2): pair and person, from 1
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.errors import DatasetError
from sanreid.utils.extras import require_extra
from sanreid.utils.files import atomic_write_text

__all__ = ["extract_cuhk03"]

logger = logging.getLogger(__name__)

_BOXES = ("labeled", "detected")
_AT_ONCE = 256  # crops in memory


def extract_cuhk03(mat: str | Path, folder: str | Path, *, workers: int | None = None) -> None:
    """Write the crops as PNG files and the classic test sets as JSON.

    What is whole in ``folder`` already is left as it is; an interrupted extraction leaves
    nothing that looks whole.

    Args:
        mat: The original ``cuhk-03.mat``.
        folder: Where ``images_labeled``, ``images_detected`` and ``testsets.json`` shall lie.
        workers: Threads that write; the number of CPUs when None.

    Raises:
        DatasetError: The file is missing or is not CUHK03's.
        MissingExtraError: h5py is not installed.
    """
    h5py = require_extra("h5py", purpose="Reading cuhk-03.mat", install="sanreid[train]")
    source, target = Path(mat), Path(folder)
    if not source.is_file():
        raise DatasetError(f"There is no file {source}; the original cuhk-03.mat was wanted.")
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise DatasetError(f"{source} is no HDF5 file, so it is not CUHK03's: {error}") from error
    with file:
        missing = [name for name in (*_BOXES, "testsets") if name not in file]
        if missing:
            raise DatasetError(
                f"{source} has no {' and no '.join(missing)}, so it is not cuhk-03.mat."
            )
        target.mkdir(parents=True, exist_ok=True)
        for boxes in _BOXES:
            _write_crops(file, boxes, target, workers or os.cpu_count() or 1)
        testsets = [
            _array(file, reference).astype(int).tolist()
            for reference in np.ravel(file["testsets"][:])
        ]
    atomic_write_text(target / "testsets.json", json.dumps(testsets))


def _write_crops(file: Any, boxes: str, target: Path, workers: int) -> None:  # noqa: ANN401 - h5py
    """Write one kind of boxes to a folder that gets its name when it is whole."""
    whole = target / f"images_{boxes}"
    if whole.is_dir():
        logger.info("%s is there already.", whole)
        return
    partial = target / f"images_{boxes}.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()

    def write(crop: tuple[str, NDArray[np.uint8]]) -> None:
        Image.fromarray(crop[1]).save(partial / crop[0], compress_level=1)

    count = 0
    with ThreadPoolExecutor(workers) as pool:
        waiting = _crops(file, boxes)
        while crops := list(islice(waiting, _AT_ONCE)):
            list(pool.map(write, crops))
            count += len(crops)
    partial.rename(whole)
    logger.info("Wrote %d crops to %s.", count, whole)


def _crops(file: Any, boxes: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:  # noqa: ANN401 - h5py
    """Yield each crop with its file name, as the lists of the new protocol name it."""
    for pair, people in enumerate(np.ravel(file[boxes][:]), 1):
        for person, shots in enumerate(_array(file, people), 1):
            for shot, reference in enumerate(shots, 1):
                pixels = _array(file, reference)
                if pixels.ndim < 3 or not pixels.size:  # an empty cell is kept as its two sizes
                    continue
                view = 1 if shot <= 5 else 2
                name = f"{pair}_{person:03}_{view}_{shot:02}.png"
                yield name, np.ascontiguousarray(pixels, dtype=np.uint8)


def _array(file: Any, reference: Any) -> NDArray[Any]:  # noqa: ANN401 - h5py
    array: NDArray[Any] = file[reference][:].T
    return array
