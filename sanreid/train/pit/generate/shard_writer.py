"""Writing one shard of pairs; :mod:`sanreid.train.pit.shards` describes the files."""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.train.pit.generate.pairs import Pair
from sanreid.train.pit.generate.studio import Dressed
from sanreid.utils.files import atomic_write, atomic_write_text

__all__ = ["write_shard"]


def write_shard(path: Path, people: Iterable[tuple[int, Dressed, list[Pair]]]) -> None:
    """Write a shard and its list of rows; a shard that exists means that both are complete.

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


def _pack_uv(uv: NDArray[np.float32]) -> bytes:
    levels = np.where(uv >= 0, np.rint(uv * 65534) + 1, 0).astype(np.uint16).transpose(2, 0, 1)
    steps = np.diff(levels, axis=2, prepend=np.uint16(0))  # wraps round, as reading does
    return zlib.compress(np.ascontiguousarray(steps).tobytes(), 1)
