"""An approximate index kept beside the entries it was made from.

The cache is derived from the entries, bound to them by a checksum, and never trusted: a damaged,
foreign or outdated one is passed over and the index is built again. The file is what FAISS
writes, then what it covers as JSON, and the checksum of both.
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

from sanreid.gallery.approximate import ApproximateIndex, load_faiss
from sanreid.gallery.directory import Directory

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
            "width": index.width,
            "overfetch": index.overfetch,
            "rows_sum": directory.rows_sum(index.covered),
        }
        text = json.dumps(facts).encode()
        total = zlib.crc32(text, _sum(fresh, fresh.stat().st_size))
        with fresh.open("ab") as file:
            file.write(text + _END.pack(len(text), total, _MAGIC))
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
        facts = _checked_facts(path)
        covered = facts["covered"]
        if (
            facts["uuid"] != directory.description.uuid
            or facts["kind"] != kind
            or covered > num_rows
            or facts["rows_sum"] != directory.rows_sum(covered)
        ):
            raise ValueError("it belongs to other entries")  # noqa: TRY301 - caught just below
        index = load_faiss().read_index(str(path))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, struct.error) as error:
        logger.warning("The index %s is not used and is built again: %s", path, error)
        return None
    return ApproximateIndex(kind, index, covered, facts["width"], facts["overfetch"])


def _checked_facts(path: Path) -> dict[str, Any]:
    """Read what a cache says of itself, once all its bytes agree with their checksum."""
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
    return facts


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
        _checked_facts(path)
    except (OSError, ValueError, struct.error) as error:
        return f"{path} is damaged: {error}. It is rebuilt when it is next needed."
    return None
