"""One file of target textures: written by the texture generator, read by the training.

A store is a file of compressed pictures, each under the key of its crop
(:attr:`sanreid.datasets.CropSet.keys`), with a confidence map beside it where the generator
gives one. 24,059 textures of 256 x 256 are about 200 MB. Its layout, little-endian::

    8 bytes   b"SANRTEX1"
    4 + 4     length and CRC-32 of the header
    n bytes   header: JSON with size, codec, quality, confidence_size, about
    then, for each texture:
    4 bytes   b"TEXR"
    4 bytes   CRC-32 of everything that follows in this record
    2 + 4 + 4 lengths of key, texture and confidence map (0: none)
    ...       key in UTF-8, texture, confidence map

Records are only ever appended. A record cut short by a crash is at the end; a reader passes
over it and the next writer cuts it off and goes on. Checksums are tested with every read.
"""

from __future__ import annotations

import io
import json
import logging
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, NamedTuple, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sanreid.errors import DatasetError, InputError

__all__ = ["TextureBatch", "TextureHeader", "TextureStore", "TextureWriter"]

logger = logging.getLogger(__name__)

Codec = Literal["jpeg", "webp", "png"]

_MAGIC = b"SANRTEX1"
_PREFIX = struct.Struct("<8sII")
_RECORD = struct.Struct("<4sIHII")
_CHECKED_FROM = 8  # the CRC of a record covers it from here


class TextureBatch(NamedTuple):
    """Textures of some crops, with the confidence in each texel if the store has it."""

    textures: Tensor  # (N, 3, H, W) uint8, RGB
    confidences: Tensor | None  # (N, 1, H, W) uint8, 255 is certain


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureHeader:
    """What all textures of a store have in common.

    Args:
        size: (height, width) in texels.
        codec: ``"jpeg"``, ``"webp"`` or ``"png"``, which alone loses nothing.
        quality: Of the lossy codecs, 1 to 100; they keep colour at half the resolution.
        confidence_size: (height, width) of the confidence maps, None without them.
        about: Where the textures come from, JSON-able: generator, its weights, the commit.

    Raises:
        InputError: A value is out of range.
    """

    size: tuple[int, int] = (256, 256)
    codec: Codec = "jpeg"
    quality: int = 85
    confidence_size: tuple[int, int] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = [self.size] if self.confidence_size is None else [self.size, self.confidence_size]
        for name, size in zip(("size", "confidence_size"), sizes, strict=False):
            if len(size) != 2 or min(size) < 1:
                raise InputError(f"{name} must be (height, width) in texels; got {size!r}.")
            object.__setattr__(self, name, (int(size[0]), int(size[1])))
        if self.codec not in get_args(Codec):
            raise InputError(f"codec must be one of {get_args(Codec)}; got {self.codec!r}.")
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality must be in [1, 100]; got {self.quality!r}.")


class TextureWriter:
    """Add textures to a store; one that exists is gone on with.

    Use it as a context manager. One writer at a time; readers may read meanwhile.

    Args:
        path: The store's file; its folder is made.
        header: What the textures have in common; must equal that of an existing store.

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
            self._file.write(_packed_header(header))
        else:
            with TextureStore(self.path) as store:
                if store.header != header:
                    raise DatasetError(
                        f"{self.path} holds textures of another kind, so no more can be added:\n"
                        f"  there  {store.header}\n  wanted {header}\n"
                        "Write to another file, or delete this one."
                    )
                self._keys, end = set(store.keys), store.num_bytes
            self._file = self.path.open("r+b")
            self._file.truncate(end)  # a record cut short by a crash goes
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
        """Append a batch; when this returns it is on the disk.

        Args:
            keys: N keys, none of which is in the store.
            textures: (N, 3, H, W) uint8, RGB.
            confidences: (N, 1, h, w) uint8, 255 is certain; given exactly when the header has a
                ``confidence_size``.
            workers: Threads that compress; the number of CPUs when None.

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
            raise InputError(f"Each key may be added once; {(known or list(keys))[0]!r} is twice.")
        long = [key for key in keys if not 0 < len(key.encode()) < 2**16]
        if long:
            raise InputError(f"A key must be 1 to 65,535 bytes of UTF-8; got {long[0][:80]!r}.")

    def _record(
        self, key: str, pixels: NDArray[np.uint8], confidence: NDArray[np.uint8] | None
    ) -> bytes:
        name = key.encode()
        texture = _compressed(pixels, self.header)
        extra = b"" if confidence is None else _compressed(confidence, self.header)
        lengths = _RECORD.pack(b"", 0, len(name), len(texture), len(extra))[_CHECKED_FROM:]
        checked = b"".join((lengths, name, texture, extra))
        return b"TEXR" + zlib.crc32(checked).to_bytes(4, "little") + checked

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


class TextureStore:
    """Read textures by key. Safe to use from several threads.

    Args:
        path: A store's file, as :class:`TextureWriter` writes it.

    Attributes:
        header: Size, codec, quality and origin of the textures.
        num_bytes: The bytes of the file up to its last whole record.

    Raises:
        DatasetError: The file is missing, is no texture store or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DatasetError(
                f"There is no texture store {self.path}: a file that the texture generator "
                "writes was looked for."
            )
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        start, self.header = self._read_header()
        self._places, self.num_bytes = self._scan(start, size)
        if self.num_bytes < size:
            logger.warning(
                "%s ends in %d bytes of a texture that was not finished; they are passed over.",
                self.path,
                size - self.num_bytes,
            )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, in the order they were added."""
        return tuple(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Give those of ``keys`` that have no texture here."""
        return [key for key in keys if key not in self._places]

    def batch(
        self, keys: Sequence[str], *, size: tuple[int, int] | None = None, workers: int = 1
    ) -> TextureBatch:
        """Read the textures of some crops.

        Args:
            keys: N keys; one may stand several times.
            size: (H, W) to resize to (bilinear, anti-aliased); the store's size when None. The
                confidence maps always come at the size of the textures.
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

        def read(place: int) -> None:
            texture, confidence = self._checked(keys[place])
            pixels = self._decoded(texture, "RGB", (width, height), keys[place])
            textures[place] = torch.from_numpy(pixels).permute(2, 0, 1)
            if confidences is not None:
                grey = self._decoded(confidence, "L", (width, height), keys[place])
                confidences[place, 0] = torch.from_numpy(grey)

        if workers <= 1:
            for place in range(len(keys)):
                read(place)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read, range(len(keys))))
        return TextureBatch(textures, confidences)

    def verify(self) -> None:
        """Test the checksum of every texture.

        Raises:
            DatasetError: One does not agree.
        """
        for key in self._places:
            self._checked(key)

    def close(self) -> None:
        """Give the file back; the store cannot be read any more."""
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
        if data is None or data[:8] != _MAGIC:
            raise DatasetError(f"{self.path} is not a texture store: it does not begin as one.")
        try:
            _, length, checksum = _PREFIX.unpack_from(data)
            text = data[_PREFIX.size : _PREFIX.size + length]
            if zlib.crc32(text) != checksum:
                raise DatasetError(f"{self.path} is damaged: its header's checksum is wrong.")
            values = json.loads(text)
            for name in ("size", "confidence_size"):
                values[name] = values[name] and tuple(values[name])
            return _PREFIX.size + length, TextureHeader(**values)
        except (struct.error, ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"The header of {self.path} cannot be read: {error}") from error

    def _scan(self, start: int, size: int) -> tuple[dict[str, int], int]:
        """Find the whole records: key to place, and the place behind the last."""
        data = self._bytes
        places: dict[str, int] = {}
        while data is not None and start + _RECORD.size <= size:
            magic, _, *lengths = _RECORD.unpack_from(data, start)
            if magic != b"TEXR":
                raise DatasetError(f"{self.path} is damaged: no texture begins at byte {start}.")
            end = start + _RECORD.size + sum(lengths)
            if end > size:
                break
            name = data[start + _RECORD.size : start + _RECORD.size + lengths[0]]
            places[name.decode(errors="replace")] = start
            start = end
        return places, start

    def _checked(self, key: str) -> tuple[bytes, bytes]:
        """Give the compressed texture and confidence map of a record after its checksum."""
        data, start = self._bytes, self._places[key]
        if data is None:
            raise AssertionError("a store with textures has bytes")
        _, checksum, name, texture, confidence = _RECORD.unpack_from(data, start)
        body = start + _RECORD.size
        end = body + name + texture + confidence
        if zlib.crc32(data[start + _CHECKED_FROM : end]) != checksum:
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


def _packed_header(header: TextureHeader) -> bytes:
    text = json.dumps(asdict(header), sort_keys=True).encode()
    return _PREFIX.pack(_MAGIC, len(text), zlib.crc32(text)) + text


def _compressed(pixels: NDArray[np.uint8], header: TextureHeader) -> bytes:
    """Give (H, W, 3) or (H, W) as the bytes of a picture file."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if header.codec == "jpeg":
        image.save(buffer, "JPEG", quality=header.quality, optimize=True)
    elif header.codec == "webp":
        image.save(buffer, "WEBP", quality=header.quality)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def _on_cpu(tensor: Tensor) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = tensor.detach().cpu().contiguous().numpy()
    return pixels
