"""Entries as rows of a collection, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.filters import Condition
from sanreid.gallery.milvus.expressions import admits
from sanreid.gallery.milvus.keys import (
    kind_term,
    order_field,
    order_key,
    scalars,
    seconds_from_key,
    seconds_key,
    value_term,
)
from sanreid.gallery.results import Entry
from sanreid.gallery.storage.columns import look_up
from sanreid.gallery.store import EntryBatch
from sanreid.gallery.validation import NO_CAMID, Pid

__all__ = ["LABELS", "MAX_TERMS", "MAX_TEXT", "Row", "as_batch", "as_rows", "in_parts"]

LABELS = ("id", "pid", "camid", "seconds", "metadata")  # a row's columns but its embedding
MAX_TEXT = 65_535  # bytes of a text column
MAX_TERMS = 4096  # values of an array column
_PART_BYTES = 8 << 20  # of one insertion: servers take 64 MiB


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a server returns it; the embedding is None where it was not asked for."""

    id: int
    pid: Pid
    camid: int
    seconds: float
    metadata: bytes
    embedding: NDArray[np.float32] | None

    @classmethod
    def of(cls, fields: Any) -> Row:  # noqa: ANN401 - a mapping of the client
        """Read what the client returns for a row."""
        embedding = fields.get("embedding")
        return cls(
            int(fields["id"]),
            json.loads(fields["pid"]),
            int(fields["camid"]),
            seconds_from_key(int(fields["seconds"])),
            fields["metadata"].encode(),
            None if embedding is None else np.asarray(embedding, dtype=np.float32),
        )

    @staticmethod
    def pid_of(fields: Any) -> Pid:  # noqa: ANN401 - a mapping of the client
        """Read only the person of a row."""
        pid: Pid = json.loads(fields["pid"])
        return pid

    def matches(self, condition: Condition | None) -> bool:
        """Return whether the row matches a condition."""
        return condition is None or admits(condition, self._value)

    def entry(self) -> Entry:
        """Return the row as an entry."""
        assert self.embedding is not None  # noqa: S101 - it was asked for
        return Entry(
            id=self.id,
            embedding=self.embedding.copy(),
            pid=self.pid,
            camid=None if self.camid == NO_CAMID else self.camid,
            timestamp=None if np.isnan(self.seconds) else self.seconds,
            metadata=json.loads(self.metadata) if self.metadata else {},
        )

    def _value(self, field: str) -> object:
        match field:
            case "id":
                return self.id
            case "pid":
                return self.pid
            case "camid":
                return None if self.camid == NO_CAMID else self.camid
            case "timestamp":
                return None if np.isnan(self.seconds) else self.seconds
        fields = json.loads(self.metadata) if self.metadata else {}
        return look_up(fields, field.removeprefix("metadata."))


def as_rows(batch: EntryBatch) -> list[dict[str, Any]]:
    """Return the rows to insert for a batch whose ids are known.

    Raises:
        InputError: A row holds more than a column of Milvus can.
    """
    assert batch.ids is not None  # noqa: S101 - the store has assigned them
    columns = (
        batch.ids.tolist(), batch.embeddings, batch.pids, batch.camids.tolist(),
        batch.timestamps.tolist(), batch.metadata,
    )  # fmt: skip
    return [_as_row(place, *values) for place, values in enumerate(zip(*columns, strict=True))]


def as_batch(rows: Sequence[Row], fingerprint: str | None, dim: int) -> EntryBatch:
    """Return rows as columns."""
    embeddings = np.empty((len(rows), dim), dtype=np.float32)
    for place, row in enumerate(rows):
        embeddings[place] = row.embedding
    return EntryBatch(
        embeddings=embeddings,
        pids=[row.pid for row in rows],
        camids=np.array([row.camid for row in rows], dtype=np.int64),
        timestamps=np.array([row.seconds for row in rows], dtype=np.float64),
        metadata=[row.metadata for row in rows],
        ids=np.array([row.id for row in rows], dtype=np.int64),
        encoder_fingerprint=fingerprint,
    )


def in_parts(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in parts that a server takes in one call."""
    part: list[dict[str, Any]] = []
    held = 0
    for row in rows:
        size = 4 * len(row["embedding"]) + len(row["pid"]) + 4 * len(row["metadata"])
        size += 40 * len(row["terms"]) + 150 * len(row["orders"])
        if part and held + size > _PART_BYTES:
            yield part
            part, held = [], 0
        part.append(row)
        held += size
    if part:
        yield part


def _as_row(
    place: int,
    number: int,
    embedding: NDArray[np.float32],
    pid: Pid,
    camid: int,
    seconds: float,
    metadata: bytes,
) -> dict[str, Any]:
    values: dict[str, Any] = {"pid": pid}
    if metadata:
        found = scalars(json.loads(metadata))
        values |= {f"metadata.{name}": value for name, value in found.items()}
    terms, orders = [], {}
    for field, value in values.items():
        if field != "pid":
            terms.append(value_term(field, value))
        key = order_key(value)
        if key is not None:
            terms.append(kind_term(field, key.kind))
            orders[order_field(field)] = key.text
    name = json.dumps(pid)
    for what, size, most in (
        ("pid takes", len(name), MAX_TEXT),
        ("metadata take", len(metadata), MAX_TEXT),
        ("metadata keys take", len(json.dumps(orders)), MAX_TEXT),
    ):
        if size > most:
            raise InputError(
                f"Row {place} does not fit into Milvus: its {what} {size:,} bytes; "
                f"{most:,} is the most."
            )
    if len(terms) > MAX_TERMS:
        raise InputError(
            f"Row {place} does not fit into Milvus: its metadata have {len(values) - 1:,} values; "
            f"about {MAX_TERMS // 2:,} is the most."
        )
    return {
        "id": number,
        "embedding": embedding,
        "pid": name,
        "person": value_term("pid", pid),
        "camid": camid,
        "seconds": seconds_key(seconds),
        "metadata": metadata.decode(),
        "terms": terms,
        "orders": orders,
    }
