"""The files of a PIT data set: tar shards and an index.

``index.json`` has a row per image with the byte ranges of its members in its shard, a plain tar
file (``shards/00000.tar``) that any tool opens. Of identity 12 and its image 3 there are

- ``000012.texture.png``: the whole texture, 256 x 256 RGB, seen and unseen;
- ``000012_003.jpg``: the crop, 256 x 128;
- ``000012_003.uv``: zlib of two uint16 planes (u, v) of 256 x 128, row differences; 0 off the
  body, else 1 + round(65534 * coordinate), v pointing down;
- ``000012_003.seen``: zlib of the 256 x 256 bits of the texels seen;
- ``000012_003.json``: pose, camera, background, quality; the identity's shape and garments.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.train.renamed import look_up

__all__ = ["FORMAT", "IDENTITIES_PER_SHARD", "read_seen", "read_uv"]

FORMAT = 1
IDENTITIES_PER_SHARD = 8


def read_uv(data: bytes) -> NDArray[np.float32]:
    """Unpack a UV map: (256, 128, 2) float32 in [0, 1], -1 off the body."""
    steps = np.frombuffer(zlib.decompress(data), np.uint16).reshape(2, 256, 128)
    levels = np.cumsum(steps, axis=2, dtype=np.uint16).astype(np.float32)
    planes = np.where(levels > 0, (levels - 1) / np.float32(65534), np.float32(-1))
    unpacked: NDArray[np.float32] = planes.transpose(1, 2, 0).astype(np.float32)
    return unpacked


def read_seen(data: bytes) -> NDArray[np.bool_]:
    """Unpack the texels seen: (256, 256) bool."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(data), np.uint8))
    seen: NDArray[np.bool_] = bits.reshape(256, 256).astype(bool)
    return seen


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    return look_up(__name__, name, "pit.generate.shard_writer")
