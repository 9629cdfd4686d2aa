"""Writing target textures to a store, batch by batch; an interrupted store is continued."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sanreid.errors import DatasetError, InputError
from sanreid.train.textures.format import (
    CHECKED_FROM,
    RECORD,
    RECORD_MAGIC,
    TextureHeader,
    compressed,
    packed_header,
)
from sanreid.train.textures.store import TextureStore

__all__ = ["TextureWriter"]


class TextureWriter:
    """Add textures to a store; an existing one is continued.

    Use it as a context manager. One writer at a time; readers may read meanwhile.

    Args:
        path: The file of the store; its folder is created if missing.
        header: What the textures have in common; of the same kind as that of an existing store.

    Raises:
        DatasetError: The file exists and is no texture store, is damaged, or has another header.
    """

    def __init__(self, path: str | Path, header: TextureHeader) -> None:
        self.path = Path(path)
        self.header = header
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists() or not self.path.stat().st_size:
            self._keys: set[str] = set()
            self._file: IO[bytes] = self.path.open("wb")
            self._file.write(packed_header(header))
        else:
            with TextureStore(self.path) as store:
                if store.header.kind != header.kind:
                    raise DatasetError(
                        f"{self.path} holds textures of another kind, so none can be added:\n"
                        f"  there  {store.header}\n  wanted {header}\n"
                        "Write to another file, or delete this one."
                    )
                self._keys, end = set(store.keys), store.num_bytes
            self._file = self.path.open("r+b")
            self._file.truncate(end)  # removes a record that a crash truncated
            self._file.seek(end)
        self._sync()

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def add(
        self,
        keys: Sequence[str],
        textures: Tensor,
        confidences: Tensor | None = None,
        *,
        workers: int | None = None,
    ) -> None:
        """Append a batch; it is on the disk when this returns.

        Args:
            keys: N keys that are not in the store yet.
            textures: (N, 3, H, W) uint8, RGB.
            confidences: (N, 1, h, w) uint8, 255 is certain; given if and only if the header has a
                ``confidence_size``.
            workers: Threads that compress; the number of CPUs if None.

        Raises:
            InputError: A shape is wrong or a key is not new; nothing is written.
        """
        self._check(keys, textures, confidences)
        pixels = textures.detach().cpu().permute(0, 2, 3, 1).contiguous().numpy()
        maps = [None] * len(keys) if confidences is None else list(_on_cpu(confidences[:, 0]))
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            records = list(pool.map(self._record, keys, pixels, maps))
        self._file.write(b"".join(records))
        self._sync()
        self._keys.update(keys)

    def add_shared(self, keys: Sequence[str], texture: Tensor) -> None:
        """Append one texture under several keys, compressed once; it is on the disk then.

        Args:
            keys: The keys, none of which is in the store.
            texture: (3, H, W) uint8, RGB.

        Raises:
            InputError: The shape is wrong, a key is not new or the store keeps confidence maps;
                nothing is written.
        """
        self._check(keys, texture.expand(len(keys), -1, -1, -1), None)
        pixels = texture.detach().cpu().permute(1, 2, 0).contiguous().numpy()
        packed = compressed(pixels, self.header)
        self._file.write(b"".join(_packed_record(key, packed, b"") for key in keys))
        self._sync()
        self._keys.update(keys)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, keys: Sequence[str], textures: Tensor, confidences: Tensor | None) -> None:
        wanted = {"textures": (textures, (len(keys), 3, *self.header.size))}
        if (confidences is None) != (self.header.confidence_size is None):
            raise InputError(
                f"The store's confidence_size is {self.header.confidence_size}; "
                f"got {'no' if confidences is None else 'some'} confidence maps."
            )
        if confidences is not None and self.header.confidence_size is not None:
            wanted["confidences"] = (confidences, (len(keys), 1, *self.header.confidence_size))
        for name, (tensor, shape) in wanted.items():
            if tensor.dtype != torch.uint8 or tensor.shape != shape:
                raise InputError(
                    f"{name} must be uint8 of shape {shape}; "
                    f"got {tensor.dtype} of shape {tuple(tensor.shape)}."
                )
        known = [key for key in keys if key in self._keys]
        if known or len(set(keys)) != len(keys):
            raise InputError(
                f"Each key may be added once; {(known or list(keys))[0]!r} occurs twice."
            )
        long = [key for key in keys if not 0 < len(_name(key)) < 2**16]
        if long:
            raise InputError(f"A key must be 1 to 65,535 bytes of UTF-8; got {long[0][:80]!r}.")

    def _record(
        self, key: str, pixels: NDArray[np.uint8], confidence: NDArray[np.uint8] | None
    ) -> bytes:
        extra = b"" if confidence is None else compressed(confidence, self.header)
        return _packed_record(key, compressed(pixels, self.header), extra)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _packed_record(key: str, texture: bytes, confidence: bytes) -> bytes:
    """Return one record from a compressed texture and a compressed confidence map, or b""."""
    name = _name(key)
    lengths = RECORD.pack(b"", 0, len(name), len(texture), len(confidence))[CHECKED_FROM:]
    checked = b"".join((lengths, name, texture, confidence))
    return RECORD_MAGIC + zlib.crc32(checked).to_bytes(4, "little") + checked


def _name(key: str) -> bytes:
    """Encode a key; the bytes of a file name that are no UTF-8 come back as they were."""
    return key.encode(errors="surrogateescape")


def _on_cpu(tensor: Tensor) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = tensor.detach().cpu().contiguous().numpy()
    return pixels
