"""The file of a texture store: its header and its records, as bytes.

A store is a file of compressed pictures, each under the key of its crop
(:attr:`sanreid.datasets.CropSet.keys`), followed by a confidence map if the generator makes one.
24,059 textures of 256 x 256 are about 200 MB. Its layout, little-endian::

    8 bytes   b"SANRTEX1"
    4 + 4     length and CRC-32 of the header
    n bytes   header: JSON with size, codec, quality, confidence_size, about
    then, for each texture:
    4 bytes   b"TEXR"
    4 bytes   CRC-32 of everything that follows in this record
    2 + 4 + 4 lengths of key, texture and confidence map (0: none)
    ...       key in UTF-8, texture, confidence map

Records are only appended. A record that a crash truncated is at the end; a reader skips it, and
the next writer removes it and continues. Every read checks the checksum.

This is not the shard format of PIT, whose index is written once all pairs are rendered: a store
must accept more textures at any time, survive an interrupt after each batch, and be found by key.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.errors import InputError

__all__ = [
    "CHECKED_FROM",
    "MAGIC",
    "PREFIX",
    "RECORD",
    "RECORD_MAGIC",
    "TextureHeader",
    "compressed",
    "packed_header",
]

Codec = Literal["jpeg", "webp", "png"]

MAGIC = b"SANRTEX1"
RECORD_MAGIC = b"TEXR"
PREFIX = struct.Struct("<8sII")
RECORD = struct.Struct("<4sIHII")
CHECKED_FROM = 8  # the CRC of a record covers it from here


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureHeader:
    """The properties that all textures of a store share.

    Args:
        size: (height, width) in texels.
        codec: ``"jpeg"``, ``"webp"`` or ``"png"``; only the last is lossless.
        quality: Quality of the lossy codecs, 1 to 100; they store color at half the resolution.
        confidence_size: (height, width) of the confidence maps; None if there are none.
        about: Where the textures come from, JSON-able: ``generator``, its name, and ``digest``,
            that of its weights.

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

    @property
    def kind(self) -> TextureHeader:
        """The properties that textures added later must have too.

        A generator with a digest may have been loaded from anywhere: its name is left out.
        """
        known = self.about.keys() - ({"generator"} if "digest" in self.about else set())
        return replace(self, about={name: self.about[name] for name in sorted(known)})


def packed_header(header: TextureHeader) -> bytes:
    """Return the bytes at the beginning of a store."""
    text = json.dumps(asdict(header), sort_keys=True).encode()
    return PREFIX.pack(MAGIC, len(text), zlib.crc32(text)) + text


def compressed(pixels: NDArray[np.uint8], header: TextureHeader) -> bytes:
    """Encode (H, W, 3) or (H, W) pixels as the bytes of a picture file."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if header.codec == "jpeg":
        image.save(buffer, "JPEG", quality=header.quality, optimize=True)
    elif header.codec == "webp":
        image.save(buffer, "WEBP", quality=header.quality)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()
