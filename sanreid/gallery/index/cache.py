"""An approximate index as one file, kept beside the entries it was made from.

The file is what FAISS writes, then the axes as float32, then its facts as JSON, and a checksum of
all three. It is derived from the entries and never trusted: a damaged, foreign or outdated one is
refused, and so is one whose contents, whatever its checksum, do not find rows that it should.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sanreid.gallery.index.faiss_index import FaissIndex
from sanreid.gallery.index.faiss_module import load_faiss
from sanreid.gallery.index.rows import Rows

__all__ = ["UNREADABLE", "check_bytes", "read_index", "write_index"]

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, struct.error)

_END = struct.Struct("<QI8s")  # length of the facts, checksum of all before this, magic
_MAGIC = b"SANREIDX"
_DIGEST_ROWS = 64
_PROBE_ROWS, _PROBE_RECALL = 64, 0.9


def write_index(index: FaissIndex, rows: Rows, uuid: str, file: IO[bytes]) -> None:
    """Write an index to an empty file, bound to a gallery by its uuid and rows."""
    summed = _Summed(file)
    load_faiss().write_index(index.index, load_faiss().PyCallbackIOWriter(summed.write))
    facts = {
        "uuid": uuid,
        "kind": index.kind,
        "covered": index.covered,
        "axes": None if index.axes is None else list(index.axes.shape),
        "width": index.width,
        "overfetch": index.overfetch,
        "digest": _digest(rows, index.covered),
    }
    text = json.dumps(facts).encode()
    summed.write(b"" if index.axes is None else index.axes.astype("<f4").tobytes())
    summed.write(text)
    file.write(_END.pack(len(text), summed.total, _MAGIC))


def read_index(kind: str, rows: Rows, uuid: str, file: IO[bytes]) -> FaissIndex:
    """Read an index for these rows.

    Raises:
        ValueError: Damaged, of other entries, or it does not find what it should. All of
            :data:`UNREADABLE` mean that it cannot be used.
    """
    facts, axes = _read_facts(file)
    covered, width, overfetch = facts["covered"], facts["width"], facts["overfetch"]
    if facts["uuid"] != uuid or facts["kind"] != kind or not 0 < covered <= len(rows):
        raise ValueError("it belongs to other entries")
    if facts["digest"] != _digest(rows, covered):
        raise ValueError("it was made from other entries")
    file.seek(0)
    faiss = load_faiss()
    index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
    dim = rows.vectors.dim if axes is None else axes.shape[1]
    if index.ntotal != covered or index.d != dim or width < 1 or overfetch < 1:
        raise ValueError("its parts do not fit each other")
    found = FaissIndex(kind, index, axes, covered=covered, width=width, overfetch=overfetch)
    if _own_recall(found, rows) < _PROBE_RECALL:
        raise ValueError("it does not find the entries it holds")
    return found


def check_bytes(file: IO[bytes]) -> None:
    """Raise one of :data:`UNREADABLE` if the bytes are not what was written."""
    _read_facts(file)


def _digest(rows: Rows, covered: int) -> int:
    """Return a checksum of the ids of the covered rows and of some of their embeddings."""
    total = zlib.crc32(rows.ids[:covered].astype("<i8").tobytes())
    some = np.unique(np.linspace(0, covered - 1, min(_DIGEST_ROWS, covered)).astype(np.int64))
    return zlib.crc32(rows.take(some).astype("<f4").tobytes(), total)


def _own_recall(index: FaissIndex, rows: Rows) -> float:
    """Return the share of random covered rows that are found, or equalled, when searched for."""
    rng = np.random.default_rng()
    chosen = rng.choice(index.covered, min(_PROBE_ROWS, index.covered), replace=False)
    queries = rows.take(chosen)
    numbers, found, _ = index.propose(queries, index.overfetch + 8, None)
    similarities = np.einsum("ij,ij->i", queries[numbers], rows.take(found))
    best = np.full(len(chosen), -np.inf, dtype=np.float32)
    np.maximum.at(best, numbers, similarities)
    return float((best > 1 - 1e-4).mean())


def _read_facts(file: IO[bytes]) -> tuple[dict[str, Any], NDArray[np.float32] | None]:
    """Read the facts and the axes, once all bytes agree with their checksum."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size))
    length, total, magic = _END.unpack(file.read())
    if magic != _MAGIC or length > size - _END.size:
        raise ValueError("its last bytes are foreign")
    if _sum(file, size - _END.size) != total:
        raise ValueError("its checksum does not agree")
    file.seek(size - _END.size - length)
    facts: dict[str, Any] = json.loads(file.read(length))
    if facts["axes"] is None:
        return facts, None
    dim, count = facts["axes"]
    file.seek(size - _END.size - length - 4 * dim * count)
    axes = np.frombuffer(file.read(4 * dim * count), "<f4")
    return facts, axes.reshape(dim, count).astype(np.float32)


def _sum(file: IO[bytes], size: int) -> int:
    file.seek(0)
    total = 0
    while size > 0:
        chunk = file.read(min(size, 1 << 22))
        if not chunk:
            raise ValueError("it is cut short")
        total, size = zlib.crc32(chunk, total), size - len(chunk)
    return total


class _Summed:
    """A file together with the checksum of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.total = 0

    def write(self, data: bytes) -> int:
        self.total = zlib.crc32(data, self.total)
        return self._file.write(data)
