"""An approximate index kept beside the entries it was made from.

The cache is derived from the entries, bound to them by a checksum, and never trusted: a damaged,
foreign or outdated one is passed over and the index is built again. The file is what FAISS
writes, then the axes as float32, then what it covers as JSON, and the checksum of all three.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.approximate import ApproximateIndex, load_faiss
from sanreid.gallery.storage.commit_log import Directory

__all__ = ["cache_path", "cache_problem", "read_index", "write_index"]

logger = logging.getLogger(__name__)

_END = struct.Struct("<QI8s")  # length of the facts, checksum of all before this, magic
_MAGIC = b"SANREIDX"


def cache_path(directory: Directory, kind: str) -> Path:
    """Give the place of an index's cache."""
    return directory.folder / f"index-{directory.description.generation:06d}-{kind}.faiss"


def write_index(index: ApproximateIndex, directory: Directory) -> None:
    """Keep an index beside the entries; without room for it, go on without."""
    path = cache_path(directory, index.kind)
    fresh = path.with_name(path.name + ".new")
    try:
        load_faiss().write_index(index.index, str(fresh))
        facts = {
            "uuid": directory.description.uuid,
            "kind": index.kind,
            "covered": index.covered,
            "axes": None if index.axes is None else list(index.axes.shape),
            "width": index.width,
            "overfetch": index.overfetch,
            "rows_sum": directory.rows_sum(index.covered),
        }
        text = json.dumps(facts).encode()
        axes = b"" if index.axes is None else index.axes.astype("<f4").tobytes()
        total = zlib.crc32(axes + text, _sum(fresh, fresh.stat().st_size))
        with fresh.open("ab") as file:
            file.write(axes + text + _END.pack(len(text), total, _MAGIC))
            file.flush()
            os.fsync(file.fileno())
        directory.disk.replace(fresh, path)
    except (OSError, RuntimeError) as error:
        logger.warning("The index cannot be kept at %s: %s", path, error)
        with contextlib.suppress(OSError):
            directory.disk.remove(fresh)


def read_index(kind: str, num_rows: int, directory: Directory) -> ApproximateIndex | None:
    """Read a kept index; None if there is none that fits."""
    if not cache_path(directory, kind).is_file():
        return None
    path = cache_path(directory, kind)
    try:
        before = path.stat()
        facts, axes = _checked(path)
        covered = facts["covered"]
        if (
            facts["uuid"] != directory.description.uuid
            or facts["kind"] != kind
            or covered > num_rows
            or facts["rows_sum"] != directory.rows_sum(covered)
        ):
            raise ValueError("it belongs to other entries")  # noqa: TRY301 - caught just below
        index = load_faiss().read_index(str(path))
        after = path.stat()
        if (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
            raise ValueError("the writer replaced it meanwhile")  # noqa: TRY301 - as above
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, struct.error) as error:
        logger.warning("The index %s is not used and is built again: %s", path, error)
        return None
    return ApproximateIndex(
        kind, index, axes, covered=covered, width=facts["width"], overfetch=facts["overfetch"]
    )


def _checked(path: Path) -> tuple[dict[str, Any], NDArray[np.float32] | None]:
    """Read what a cache says of itself, and its axes, once all bytes agree with their checksum."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _END.size))
        length, total, magic = _END.unpack(file.read())
        if magic != _MAGIC or length > size - _END.size:
            raise ValueError("its last bytes are foreign")
        file.seek(size - _END.size - length)
        text = file.read(length)
    if _sum(path, size - _END.size) != total:
        raise ValueError("its checksum does not agree")
    facts: dict[str, Any] = json.loads(text)
    if facts["axes"] is None:
        return facts, None
    dim, count = facts["axes"]
    axes = np.fromfile(
        path, "<f4", dim * count, offset=size - _END.size - length - 4 * dim * count
    )
    return facts, axes.reshape(dim, count).astype(np.float32)


def _sum(path: Path, size: int) -> int:
    total = 0
    with path.open("rb") as file:
        while size > 0:
            chunk = file.read(min(size, 1 << 22))
            if not chunk:
                break
            total, size = zlib.crc32(chunk, total), size - len(chunk)
    return total


def cache_problem(path: Path) -> str | None:
    """Say what is wrong with a cache's bytes; None if nothing is."""
    try:
        _checked(path)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        return f"{path} is damaged: {error}. It is rebuilt when it is next needed."
    return None
