"""Reading target textures by the keys of their crops, from one file."""

from __future__ import annotations

import io
import json
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sanreid.errors import DatasetError, InputError
from sanreid.train.textures.format import (
    CHECKED_FROM,
    MAGIC,
    PREFIX,
    RECORD,
    RECORD_MAGIC,
    TextureHeader,
)

__all__ = ["TextureBatch", "TextureStore"]

logger = logging.getLogger(__name__)


class TextureBatch(NamedTuple):
    """Textures of some crops, with the confidence in each texel if the store has it."""

    textures: Tensor  # (N, 3, H, W) uint8, RGB
    confidences: Tensor | None  # (N, 1, H, W) uint8, 255 is certain


class TextureStore:
    """Read textures by key. Safe to use from several threads.

    Args:
        path: The file of a store, as
            :class:`sanreid.train.textures.writer.TextureWriter` writes it.

    Attributes:
        header: Size, codec, quality and origin of the textures.
        num_bytes: The bytes of the file up to its last complete record.

    Raises:
        DatasetError: The file is missing, is not a texture store or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DatasetError(
                f"There is no texture store {self.path}; make it with "
                "python -m sanreid.train textures."
            )
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        start, self.header = self._read_header()
        self._offsets, self.num_bytes = self._scan(start, size)
        if self.num_bytes < size:
            logger.warning(
                "%s ends in %d bytes of an unfinished texture; they are skipped.",
                self.path,
                size - self.num_bytes,
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, in the order they were added."""
        return tuple(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, key: object) -> bool:
        return key in self._offsets

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return those of ``keys`` that have no texture here."""
        return [key for key in keys if key not in self._offsets]

    def batch(
        self, keys: Sequence[str], *, size: tuple[int, int] | None = None, workers: int = 1
    ) -> TextureBatch:
        """Read the textures of some crops.

        Args:
            keys: N keys; a key may occur several times.
            size: (H, W) to resize to (bilinear, anti-aliased); the store's size if None. The
                confidence maps always have the size of the textures.
            workers: Threads that decode.

        Raises:
            InputError: A key is not in the store.
            DatasetError: A texture is damaged.
        """
        absent = self.missing(keys)
        if absent:
            raise InputError(
                f"{len(absent)} of {len(keys)} crops have no texture in {self.path}, "
                f"for example {absent[0]!r}."
            )
        height, width = size or self.header.size
        textures = torch.empty(len(keys), 3, height, width, dtype=torch.uint8)
        confidences = None
        if self.header.confidence_size is not None:
            confidences = torch.empty(len(keys), 1, height, width, dtype=torch.uint8)

        def read(row: int) -> None:
            texture, confidence = self._checked(keys[row])
            pixels = self._decoded(texture, "RGB", (width, height), keys[row])
            textures[row] = torch.from_numpy(pixels).permute(2, 0, 1)
            if confidences is not None:
                grey = self._decoded(confidence, "L", (width, height), keys[row])
                confidences[row, 0] = torch.from_numpy(grey)

        if workers <= 1:
            for row in range(len(keys)):
                read(row)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read, range(len(keys))))
        return TextureBatch(textures, confidences)

    def checksum(self, key: str) -> int:
        """Return the CRC-32 of a texture, as its record has it; the texture is not read."""
        return self._record(key)[2]

    def verify(self) -> None:
        """Check the checksum of every texture.

        Raises:
            DatasetError: One is wrong.
        """
        for key in self._offsets:
            self._checked(key)

    def close(self) -> None:
        """Close the file; the store cannot be read afterwards."""
        if self._bytes is not None:
            self._bytes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_header(self) -> tuple[int, TextureHeader]:
        data = self._bytes
        if data is None or data[:8] != MAGIC:
            raise DatasetError(
                f"{self.path} is not a texture store: its first bytes are those of another format."
            )
        try:
            _, length, checksum = PREFIX.unpack_from(data)
            text = data[PREFIX.size : PREFIX.size + length]
            if zlib.crc32(text) != checksum:
                raise DatasetError(f"{self.path} is damaged: its header's checksum is wrong.")
            values = json.loads(text)
            for name in ("size", "confidence_size"):
                values[name] = values[name] and tuple(values[name])
            return PREFIX.size + length, TextureHeader(**values)
        except (struct.error, ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"The header of {self.path} cannot be read: {error}") from error

    def _scan(self, start: int, size: int) -> tuple[dict[str, int], int]:
        """Return the offset of each complete record by its key, and the end of the last one."""
        data = self._bytes
        offsets: dict[str, int] = {}
        while data is not None and start + RECORD.size <= size:
            magic, _, *lengths = RECORD.unpack_from(data, start)
            if magic != RECORD_MAGIC:
                raise DatasetError(f"{self.path} is damaged: no texture begins at byte {start}.")
            end = start + RECORD.size + sum(lengths)
            if end > size:
                break
            name = data[start + RECORD.size : start + RECORD.size + lengths[0]]
            offsets[name.decode(errors="surrogateescape")] = start
            start = end
        return offsets, start

    def _record(self, key: str) -> tuple[mmap.mmap, int, int, tuple[int, int, int]]:
        """Return the file, where a record begins in it, its checksum and its parts' lengths."""
        data, start = self._bytes, self._offsets[key]
        if data is None:
            raise AssertionError("a store with textures has bytes")
        _, checksum, *lengths = RECORD.unpack_from(data, start)
        return data, start, checksum, tuple(lengths)

    def _checked(self, key: str) -> tuple[bytes, bytes]:
        """Check a record and return its compressed texture and confidence map."""
        data, start, checksum, (name, texture, confidence) = self._record(key)
        body = start + RECORD.size
        end = body + name + texture + confidence
        if zlib.crc32(data[start + CHECKED_FROM : end]) != checksum:
            raise DatasetError(
                f"The texture of {key!r} in {self.path} is damaged: its checksum is wrong. "
                "Make the store again."
            )
        return data[body + name : end - confidence], data[end - confidence : end]

    def _decoded(
        self, data: bytes, mode: str, size: tuple[int, int], key: str
    ) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(data)) as file:
                image = file.convert(mode)
        except (OSError, SyntaxError, ValueError) as error:
            raise DatasetError(f"The texture of {key!r} in {self.path} is no picture.") from error
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.array(image, dtype=np.uint8)
