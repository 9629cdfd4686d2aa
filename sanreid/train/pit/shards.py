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

import io
import json
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.utils.files import atomic_write, atomic_write_text

if TYPE_CHECKING:
    from sanreid.train.pit.generate.dataset import Pair
    from sanreid.train.pit.generate.render import Dressed

__all__ = ["FORMAT", "IDENTITIES_PER_SHARD", "read_seen", "read_uv", "write_shard"]

FORMAT = 1
IDENTITIES_PER_SHARD = 8


def write_shard(path: Path, people: Iterable[tuple[int, Dressed, list[Pair]]]) -> None:
    """Write a shard and its list of rows; the shard's appearance says that both are whole.

    Args:
        path: ``.../00000.tar``; the list goes beside it as ``.json``.
        people: Identity number, the identity, its images.

    Raises:
        OSError: The system does not allow it, or the disk is full; no shard is there then.
    """
    rows: list[dict[str, Any]] = []
    with (
        atomic_write(path) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):

        def add(name: str, data: bytes) -> list[int]:
            info = tarfile.TarInfo(name)  # no time, no owner: the same bytes each time
            info.size = len(data)
            start = tar.offset + tarfile.BLOCKSIZE
            tar.addfile(info, io.BytesIO(data))
            return [start, len(data)]

        for identity, dressed, pairs in people:
            texture = (dressed.texture * 255 + 0.5).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(texture).save(buffer, "PNG", compress_level=4)
            texture_at = add(f"{identity:06d}.texture.png", buffer.getvalue())
            person = dressed.person.describe()
            for number, pair in enumerate(pairs):
                stem = f"{identity:06d}_{number:03d}"
                facts = {**pair.facts, "person": person}
                bits = zlib.compress(np.packbits(pair.seen).tobytes(), 6)
                rows.append({
                    "identity": identity,
                    "image": number,
                    "shard": path.name,
                    "texture": texture_at,
                    "crop": add(f"{stem}.jpg", pair.jpeg),
                    "uv": add(f"{stem}.uv", _pack_uv(pair.uv)),
                    "seen": add(f"{stem}.seen", bits),
                    "facts": add(f"{stem}.json", json.dumps(facts).encode()),
                    "patterned": dressed.person.is_patterned,
                })  # fmt: skip
        atomic_write_text(path.with_suffix(".json"), json.dumps(rows))


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


def _pack_uv(uv: NDArray[np.float32]) -> bytes:
    levels = np.where(uv >= 0, np.rint(uv * 65534) + 1, 0).astype(np.uint16).transpose(2, 0, 1)
    steps = np.diff(levels, axis=2, prepend=np.uint16(0))  # wraps round, as reading does
    return zlib.compress(np.ascontiguousarray(steps).tobytes(), 1)
