"""The bytes of a stored gallery: head slots, records and their checksums. No pickle anywhere.

A directory holds::

    gallery.json          format version, uuid, dim and the number of the current generation
    entries-000001.log    the commit log: all columns, and the checksums of the vectors
    vectors-000001.f32    the embeddings, float32 little-endian, nothing else
    lock                  held by the one writer
    index-*.faiss         an approximate index, derived from the rest and rebuilt at need

The log begins with a 4096-byte page: an identity, and two head slots written in turn that say
how long the log is up to the last commit. Records follow, one per commit, each with the CRC-32 of
its payload and of the record before it. A commit is: vectors written and synced, record written
and synced, head slot written and synced. Truncated, swapped or flipped bytes meet a checksum or
a length that does not agree; bytes after the last commit are an interrupted write and are
dropped.

The format stays written by hand: no library offers checksums per block of vectors that are mapped
rather than read.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError

__all__ = [
    "FORMAT_VERSION",
    "PAGE",
    "Description",
    "Head",
    "Record",
    "decode_head",
    "decode_identity",
    "decode_records",
    "encode_first_page",
    "encode_head",
    "encode_record",
    "slot_offset",
]

FORMAT = "sanreid-gallery"
FORMAT_VERSION = 1
PAGE = 4096  # records start here
_SLOTS = (512, 1024)  # a slot lies in one sector, so it is written whole or not
_IDENTITY = struct.Struct("<8sII16sQI")  # magic, version, dim, uuid, generation, crc
_HEAD = struct.Struct("<4sQQQII")  # magic, seq, log length, rows, chain, crc
_RECORD = struct.Struct("<4sIQQQQII")  # magic, crc, seq, payload, first row, rows, sum, chain
_LOG_MAGIC, _HEAD_MAGIC, _RECORD_MAGIC = b"SANREIDL", b"HEAD", b"RECD"
_ALIGN = 8


@dataclass(frozen=True, slots=True)
class Description:
    """``gallery.json``: what directory this is and which generation of files is current."""

    uuid: str  # 32 hex digits
    dim: int
    generation: int

    def to_bytes(self) -> bytes:
        """Return the file's text, with its checksum."""
        fields: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "uuid": self.uuid,
            "dim": self.dim,
            "generation": self.generation,
        }
        fields["checksum"] = _json_sum(fields)
        return (json.dumps(fields, indent=2) + "\n").encode()

    @classmethod
    def from_bytes(cls, raw: bytes, path: object) -> Description:
        """Parse the file's text.

        Raises:
            GalleryError: Foreign, damaged, or of a newer format.
        """
        try:
            fields = json.loads(raw)
            foreign = not isinstance(fields, dict) or fields.get("format") != FORMAT
        except (ValueError, RecursionError):
            foreign, fields = True, {}
        if foreign:
            raise GalleryError(f"{path} is not the description of a sanreid gallery.")
        version = fields.get("format_version")
        checksum = fields.pop("checksum", None)
        if type(version) is int and version > FORMAT_VERSION and checksum == _json_sum(fields):
            raise GalleryError(
                f"{path} is a gallery of format {version}; this sanreid reads formats up to "
                f"{FORMAT_VERSION}. Install a newer sanreid."
            )
        described = cls(fields.get("uuid", ""), fields.get("dim", 0), fields.get("generation", 0))
        if checksum != _json_sum(fields) or described.to_bytes() != raw:
            raise GalleryError(f"{path} is damaged: its checksum does not agree.")
        return described


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log is committed."""

    seq: int
    length: int  # bytes of the log
    num_rows: int
    chain: int  # checksum of the last record's header


@dataclass(frozen=True, slots=True)
class Record:
    """One commit as it is stored in the log."""

    seq: int
    first_row: int
    num_rows: int
    fields: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    end: int  # where the next record starts
    chain: int


def slot_offset(seq: int) -> int:
    """Return the offset of a commit's head slot; the two are used in turn."""
    return _SLOTS[seq % 2]


def encode_first_page(description: Description, heads: tuple[Head, Head]) -> bytes:
    """Return the log's first page."""
    page = bytearray(PAGE)
    identity = _IDENTITY.pack(
        _LOG_MAGIC,
        FORMAT_VERSION,
        description.dim,
        bytes.fromhex(description.uuid),
        description.generation,
        0,
    )[:-4]
    page[: _IDENTITY.size] = identity + struct.pack("<I", zlib.crc32(identity))
    for head in heads:
        offset = slot_offset(head.seq)
        page[offset : offset + _HEAD.size] = encode_head(head)
    return bytes(page)


def decode_identity(page: bytes, description: Description, path: object) -> None:
    """Check that a log belongs to its directory.

    Raises:
        GalleryError: It is another gallery's, another generation's or damaged.
    """
    raw = page[: _IDENTITY.size]
    if len(page) < PAGE:
        raise GalleryError(f"{path} is cut short: {len(page)} bytes, at least {PAGE} wanted.")
    if zlib.crc32(raw[:-4]) != struct.unpack("<I", raw[-4:])[0]:
        raise GalleryError(f"{path} is damaged or foreign: its first bytes do not agree.")
    magic, version, dim, uuid, generation, _ = _IDENTITY.unpack(raw)
    found = (magic, version, dim, uuid.hex(), generation)
    wanted = (
        _LOG_MAGIC,
        FORMAT_VERSION,
        description.dim,
        description.uuid,
        description.generation,
    )
    if found != wanted:
        raise GalleryError(f"{path} belongs to another gallery or generation.")


def encode_head(head: Head) -> bytes:
    """Return the bytes of a head slot."""
    raw = _HEAD.pack(_HEAD_MAGIC, head.seq, head.length, head.num_rows, head.chain, 0)[:-4]
    return raw + struct.pack("<I", zlib.crc32(raw))


def decode_head(page: bytes) -> tuple[Head, bool] | None:
    """Return the newest good head, and whether both slots are good; None if neither is."""
    heads = []
    for slot in range(2):
        raw = page[_SLOTS[slot] : _SLOTS[slot] + _HEAD.size]
        good = len(raw) == _HEAD.size and zlib.crc32(raw[:-4]) == struct.unpack("<I", raw[-4:])[0]
        if good and raw[:4] == _HEAD_MAGIC:
            head = Head(*_HEAD.unpack(raw)[1:-1])
            if head.seq % 2 == slot:
                heads.append(head)
    if not heads:
        return None
    newest = max(heads, key=lambda head: head.seq)
    return newest, len(heads) == 2 and abs(heads[0].seq - heads[1].seq) == 1


def encode_record(
    seq: int,
    first_row: int,
    num_rows: int,
    fields: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    chain: int,
) -> tuple[bytes, int]:
    """Return a record's bytes and its own chain checksum."""
    shapes = [[name, array.dtype.str, len(array)] for name, array in arrays.items()]
    text = json.dumps({**fields, "arrays": shapes}, separators=(",", ":")).encode()
    parts = [struct.pack("<Q", len(text)), _padded(text)]
    parts += [_padded(np.ascontiguousarray(array).tobytes()) for array in arrays.values()]
    payload = b"".join(parts)
    size, total = len(payload), zlib.crc32(payload)
    header = _RECORD.pack(_RECORD_MAGIC, 0, seq, size, first_row, num_rows, total, chain)
    own = zlib.crc32(header)
    return header[:4] + struct.pack("<I", own) + header[8:] + payload, own


def decode_records(log: memoryview, start: int, seq: int, chain: int) -> Iterator[Record]:
    """Yield the good records from ``start`` on, the first numbered ``seq``; stop at a bad one.

    Args:
        log: The log's bytes.
        start: Where the first record is.
        seq: The number it must have.
        chain: The checksum of the record before it.
    """
    while start + _RECORD.size <= len(log):
        header = bytes(log[start : start + _RECORD.size])
        magic, own, number, size, first_row, num_rows, total, before = _RECORD.unpack(header)
        expected = (_RECORD_MAGIC, seq, chain)
        if (magic, number, before) != expected or own != zlib.crc32(
            header[:4] + bytes(4) + header[8:]
        ):
            return
        begin, end = start + _RECORD.size, start + _RECORD.size + size
        if end > len(log) or zlib.crc32(log[begin:end]) != total:
            return
        fields, arrays = _decode_payload(log[begin:end])
        yield Record(number, first_row, num_rows, fields, arrays, end, own)
        start, seq, chain = end, seq + 1, own


def _decode_payload(payload: memoryview) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        (length,) = struct.unpack("<Q", payload[:8])
        fields = json.loads(bytes(payload[8 : 8 + length]))
        arrays, offset = {}, 8 + _rounded(length)
        for name, dtype, count in fields.pop("arrays"):
            kind = np.dtype(dtype)
            if kind.kind not in "iuf":
                raise ValueError(f"an array of {kind}")  # noqa: TRY301 - caught just below
            arrays[name] = np.frombuffer(payload, kind, count, offset)
            offset += _rounded(count * kind.itemsize)
    except (ValueError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise GalleryError(f"A record of the log cannot be read: {error}") from error
    return fields, arrays


def _rounded(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _padded(data: bytes) -> bytes:
    return data + bytes(_rounded(len(data)) - len(data))


def _json_sum(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"
