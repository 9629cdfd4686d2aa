"""From the arguments of a gallery's methods to the checked requests that a store takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.datasets.cameras import read_names
from sanreid.errors import InputError
from sanreid.gallery import validation
from sanreid.gallery.filters import Condition, matches_all, parse
from sanreid.gallery.store import EntryBatch, EntryUpdate, SearchRequest
from sanreid.gallery.travel import Gap, travel_times

__all__ = ["Where", "entry_update", "looks", "new_rows", "removal", "search_request"]

Where = Mapping[str, Any]
_MOST_LOOKED_AT = 10_000  # hits whose embeddings are held for each query
_MAX_RESULT_SIZE = 1 << 28  # queries times k of a result; each takes about 40 bytes


def new_rows(
    embeddings: ArrayLike,
    dim: int,
    *,
    pids: Iterable[Any] | None,
    camids: Iterable[Any] | None,
    timestamps: Iterable[Any] | None,
    metadata: Sequence[Mapping[str, Any] | None] | None,
    ids: Iterable[Any] | None,
    encoder_fingerprint: str | None,
) -> EntryBatch:
    """Check the arguments of :meth:`sanreid.Gallery.add`."""
    rows = validation.as_embeddings(embeddings, dim, name="embeddings")
    count = len(rows)
    camids, names = read_names(camids)
    given = None if ids is None else validation.as_new_ids(ids)
    if given is not None and len(given) != count:
        raise InputError(f"ids must have one value per row: {count} rows, {len(given)} values.")
    return EntryBatch(
        embeddings=rows,
        pids=validation.as_pids(pids, count),
        camids=validation.as_camids(camids, count),
        timestamps=validation.as_timestamps(timestamps, count),
        metadata=validation.as_metadata(metadata, count),
        ids=given,
        encoder_fingerprint=encoder_fingerprint,
        camera_names=names,
    )


def entry_update(
    ids: Iterable[Any] | int,
    embeddings: ArrayLike | None,
    dim: int,
    *,
    pids: Iterable[Any] | None,
    camids: Iterable[Any] | None,
    timestamps: Iterable[Any] | None,
    metadata: Sequence[Mapping[str, Any] | None] | None,
    encoder_fingerprint: str | None,
) -> EntryUpdate:
    """Check the arguments of :meth:`sanreid.Gallery.update`."""
    which = validation.as_ids(ids)
    count = len(which)
    if len(np.unique(which)) < count:
        raise InputError("ids must differ: one is given more than once.")
    camids, names = read_names(camids)
    rows = None
    if embeddings is not None:
        rows = validation.as_embeddings(embeddings, dim, name="embeddings")
        if len(rows) != count:
            raise InputError(f"{count} ids, but {len(rows)} rows of embeddings.")
    return EntryUpdate(
        ids=which,
        embeddings=rows,
        pids=None if pids is None else validation.as_pids(pids, count),
        camids=None if camids is None else validation.as_camids(camids, count),
        timestamps=None if timestamps is None else validation.as_timestamps(timestamps, count),
        metadata=None if metadata is None else validation.as_metadata(metadata, count),
        encoder_fingerprint=encoder_fingerprint,
        camera_names=names,
    )


def removal(ids: Iterable[Any] | int | None, where: Where | None) -> NDArray[np.int64] | Condition:
    """Check the arguments of :meth:`sanreid.Gallery.remove`."""
    if (ids is None) == (where is None):
        raise InputError("Pass either ids or where to remove().")
    if ids is not None:
        return validation.as_ids(ids)
    condition = parse(where)
    if matches_all(condition):
        raise InputError(
            "An empty where matches every entry. To remove them all, say so: "
            'remove(where={"id": {"$gte": 0}}).'
        )
    return condition


def search_request(
    queries: ArrayLike,
    dim: int,
    k: int,
    *,
    where: Where | None,
    query_pids: Iterable[Any] | None,
    query_camids: Iterable[Any] | None,
    same_camera: str,
    min_similarity: float | None,
    num_entries: int,
    query_timestamps: Iterable[Any] | None = None,
    min_gap_s: Gap | None = None,
    max_gap_s: Gap | None = None,
) -> SearchRequest:
    """Check the arguments of :meth:`sanreid.Gallery.search`."""
    k = validation.as_count(k, "k")
    rows = validation.as_embeddings(queries, dim, name="queries")
    validation.check_choice(same_camera, "same_camera", ("exclude", "keep"))
    if query_pids is not None and query_camids is None:
        raise InputError("query_pids need query_camids; query_camids alone is a rule too.")
    if k > num_entries and k * max(len(rows), 1) > _MAX_RESULT_SIZE:
        raise InputError(
            f"k={k} for {len(rows)} queries is a larger result than fits in memory; the "
            f"gallery has {num_entries} entries: k={max(num_entries, 1)} returns all."
        )
    condition = None if where is None else parse(where)
    if condition is not None and matches_all(condition):
        condition = None
    pids = camids = least = None
    if query_pids is not None:
        pids = validation.as_pids(query_pids, len(rows), name="query_pids")
    if query_camids is not None:
        camids = validation.as_camids(query_camids, len(rows), name="query_camids")
    if min_similarity is not None:
        least = float(np.clip(validation.as_number(min_similarity, "min_similarity"), -2, 2))
    exclude = same_camera == "exclude"
    return SearchRequest(
        queries=rows,
        k=k,
        condition=condition,
        exclude_pids=pids if exclude else None,
        exclude_camids=camids if exclude else None,
        min_similarity=least,
        query_pids=pids,
        query_camids=camids,
        travel=travel_times(query_timestamps, camids, min_gap_s, max_gap_s, len(rows)),
    )


def looks(k: int, rerank: Any, expand: Any) -> tuple[int, int]:  # noqa: ANN401 - as passed
    """Return how many hits a search re-ranks, and how many it expands queries by; 0 for none."""
    rerank, expand = validation.plain(rerank), validation.plain(expand)
    if isinstance(rerank, bool):
        candidates = max(100, 5 * k) if rerank else 0
    else:
        candidates = validation.as_count(rerank, "rerank", least=0, most=_MOST_LOOKED_AT)
    return candidates, validation.as_count(expand, "expand", least=0, most=_MOST_LOOKED_AT)
