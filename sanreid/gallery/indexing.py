"""The index of a store: which kind, when it is built, and its cache beside the entries.

The cache is derived from the entries, bound to them by a checksum, and never trusted: a damaged,
foreign or outdated one is passed over and the index is built again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
import threading
import weakref
import zlib
from pathlib import Path
from typing import Any

from sanreid.gallery import approximate
from sanreid.gallery.approximate import ApproximateIndex, load_faiss
from sanreid.gallery.directory import Directory
from sanreid.gallery.exact import Candidates
from sanreid.gallery.snapshot import Snapshot
from sanreid.gallery.store import SearchRequest
from sanreid.gallery.table import Table

__all__ = ["INDEX_KINDS", "IndexKeeper"]

logger = logging.getLogger(__name__)

INDEX_KINDS = ("auto", "flat", *approximate.KINDS)
_MANY = 1_000_000
_END = struct.Struct("<QI8s")  # length of the facts, checksum of all before this, magic
_MAGIC = b"SANREIDX"


class IndexKeeper:
    """Builds, extends, keeps and uses the index of one store."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._index: ApproximateIndex | None = None
        self._table: weakref.ref[Table] | None = None
        self._mutex = threading.Lock()
        self._told = False

    @property
    def covered(self) -> int:
        """Rows the index holds."""
        return 0 if self._index is None else self._index.covered

    def facts(self, snapshot: Snapshot) -> dict[str, Any]:
        """Say how a search would be answered now."""
        exact = self.kind in ("auto", "flat") or snapshot.num_entries < approximate.MIN_ROWS
        return {"index": self.kind, "exact": exact, "indexed_rows": self.covered}

    def search(
        self, snapshot: Snapshot, request: SearchRequest, directory: Directory | None
    ) -> Candidates:
        """Answer a search by the index where there is one, else exactly."""
        index = self.ready(snapshot, directory)
        found = None if index is None else approximate.searched(index, snapshot, request)
        return snapshot.search(request) if found is None else found

    def ready(self, snapshot: Snapshot, directory: Directory | None) -> ApproximateIndex | None:
        """Give an index for the snapshot's table, built or read if need be; None for exact."""
        if self.facts(snapshot)["exact"]:
            if self.kind == "auto" and snapshot.num_entries >= _MANY and not self._told:
                self._told = True
                logger.info(
                    'index="auto" searches %d entries exactly; index="ivf" is quicker and '
                    "approximate.", snapshot.num_entries,
                )  # fmt: skip
            return None
        with self._mutex:
            known = None if self._table is None else self._table()
            if self._index is None or known is not snapshot.table:
                self._index = _read(self.kind, snapshot, directory)
                if self._index is None:
                    self._build(snapshot, directory, progress=None)
                self._table = weakref.ref(snapshot.table)
            assert self._index is not None  # noqa: S101 - built just above
            self._index.extend(snapshot)
            return self._index

    def build(
        self, snapshot: Snapshot, directory: Directory | None, *, progress: bool | None
    ) -> None:
        """Train and fill the index now; exact search needs none."""
        if self.facts(snapshot)["exact"]:
            return
        with self._mutex:
            self._build(snapshot, directory, progress=progress)
            self._table = weakref.ref(snapshot.table)

    def _build(
        self, snapshot: Snapshot, directory: Directory | None, *, progress: bool | None
    ) -> None:
        self._index = ApproximateIndex.build(self.kind, snapshot, progress=progress)
        if directory is not None and directory.write:
            _write(self._index, directory)


def cache_path(directory: Directory, kind: str) -> Path:
    """Give the place of an index's cache."""
    return directory.folder / f"index-{directory.description.generation:06d}-{kind}.faiss"


def _write(index: ApproximateIndex, directory: Directory) -> None:
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


def _read(kind: str, snapshot: Snapshot, directory: Directory | None) -> ApproximateIndex | None:
    """Read a kept index; None if there is none that fits."""
    if directory is None or not cache_path(directory, kind).is_file():
        return None
    path = cache_path(directory, kind)
    try:
        facts = _checked_facts(path)
        covered = facts["covered"]
        if (
            facts["uuid"] != directory.description.uuid
            or facts["kind"] != kind
            or covered > snapshot.num_rows
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
