"""A reader of MATLAB's level 5 MAT-files, for the protocol files of CUHK03.

Source: MathWorks, "MAT-File Format", the level 5 part. Read: real numeric arrays, texts and
cells, compressed or not, of either byte order. Anything else in a file is skipped.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sanreid.errors import DatasetError
from sanreid.utils.paths import is_file

__all__ = ["read_mat"]

# Data types of elements, and classes of arrays, by their numbers in the format.
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_TEXTS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR = 1, 4
_NUMERIC = range(6, 16)


class _Element(NamedTuple):
    kind: int
    data: bytes
    end: int  # where the next element begins


def read_mat(path: str | Path) -> dict[str, Any]:
    """Read the variables of a MAT-file.

    Returns:
        Numeric arrays with MATLAB's shape, texts as str, cells as object arrays of those.

    Raises:
        DatasetError: The file is missing or is no level 5 MAT-file.
    """
    file = Path(path)
    if not is_file(file):
        raise DatasetError(f"There is no file {file}; a MATLAB file was wanted.")
    data = file.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or len(data) < 128:
        raise DatasetError(f"{file} is no MAT-file of level 5 (MATLAB's -v6 and -v7).")
    variables: dict[str, Any] = {}
    try:
        offset = 128
        while offset < len(data):
            element = _element(data, offset, order)
            offset = element.end
            if element.kind == _COMPRESSED:
                element = _element(zlib.decompress(element.data), 0, order)
            if element.kind == _MATRIX:
                name, value = _matrix(element.data, order)
                if name and value is not None:
                    variables[name] = value
    except (struct.error, zlib.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} is damaged as a MAT-file: {error}.") from error
    return variables


def _element(data: bytes, offset: int, order: str) -> _Element:
    """Read the element at ``offset``: its tag is 8 bytes, or 4 with the data in the other 4."""
    first, size = struct.unpack_from(f"{order}II", data, offset)
    if first >> 16:
        small = first >> 16
        return _Element(first & 0xFFFF, data[offset + 4 : offset + 4 + small], offset + 8)
    end = offset + 8 + size
    if end > len(data):
        raise ValueError(f"an element of {size} bytes ends behind the file")
    # Only compressed elements are not padded to eight bytes.
    return _Element(
        first, data[offset + 8 : end], end if first == _COMPRESSED else -(-end // 8) * 8
    )


def _matrix(data: bytes, order: str) -> tuple[str, Any]:
    """Read an array: its name and its value, None where its class is not read here."""
    if not data:
        return "", np.zeros((0, 0))
    flags = _element(data, 0, order)
    sizes = _element(data, flags.end, order)
    title = _element(data, sizes.end, order)
    kind = int(_numbers(flags, order)[0]) & 0xFF
    shape = tuple(int(size) for size in _numbers(sizes, order))
    name = title.data.decode()
    if kind == _CELL:
        cells = np.empty(int(np.prod(shape)), dtype=object)
        offset = title.end
        for index in range(len(cells)):
            cell = _element(data, offset, order)
            cells[index] = _matrix(cell.data, order)[1]
            offset = cell.end
        return name, cells.reshape(shape, order="F")
    if kind not in _NUMERIC and kind != _CHAR:
        return name, None
    real = _element(data, title.end, order)
    if kind != _CHAR:
        return name, _numbers(real, order).reshape(shape, order="F")
    if real.kind in _TEXTS:
        suffix = "" if real.kind == 16 else {"<": "-le", ">": "-be"}[order]
        return name, real.data.decode(_TEXTS[real.kind] + suffix)
    return name, "".join(chr(code) for code in _numbers(real, order))


def _numbers(element: _Element, order: str) -> np.ndarray[Any, np.dtype[Any]]:
    if element.kind not in _NUMBERS:
        raise ValueError(f"data of type {element.kind} where numbers were expected")
    return np.frombuffer(element.data, dtype=np.dtype(order + _NUMBERS[element.kind]))
