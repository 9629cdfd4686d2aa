"""Searches that look twice: query expansion, and re-ranking within the candidates.

Sources: Radenovic, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation",
TPAMI 2019 (alpha query expansion, alpha = 3); Zhong et al., "Re-ranking Person Re-identification
with k-reciprocal Encoding", CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import GalleryError, UnknownIdError
from sanreid.gallery.camera_means import normalized
from sanreid.gallery.results import SearchResult
from sanreid.gallery.store import SearchRequest, Store
from sanreid.gallery.validation import NO_CAMID
from sanreid.rerank import k_reciprocal_rerank
from sanreid.utils.vectors import normalize_rows

__all__ = ["refined_search"]

_ALPHA = 3
_HELD = 10_000  # hits whose embeddings are held at once
_TRIES = 5  # where entries are removed between two looks


def refined_search(
    store: Store, request: SearchRequest, *, candidates: int, expand: int
) -> SearchResult:
    """Search with queries expanded by their ``expand`` best hits, then re-rank.

    Args:
        store: The gallery's.
        request: The search.
        candidates: Hits that are re-ranked among each other for each query; 0 for none.
        expand: Hits that each query is expanded by; 0 for none.
    """
    for _ in range(_TRIES):
        normalizer = store.settings.camera_normalizer
        try:
            wanted = _expanded(store, request, expand) if expand else request
            if candidates:
                depth = max(request.k, min(candidates, len(store)))
                found = store.search(replace(wanted, k=depth))
                result = _reranked(store, wanted, found, candidates)
            else:
                result = store.search(wanted)
        except UnknownIdError:  # an entry was removed between the looks
            continue
        if store.settings.camera_normalizer is normalizer:  # else the looks differ in similarities
            return result
    raise GalleryError("Entries are removed faster than a search with rerank or expand can look.")


def _expanded(store: Store, request: SearchRequest, expand: int) -> SearchRequest:
    """Return the request with the mean of each query and its best hits, weighted."""
    found = store.search(replace(request, k=expand, min_similarity=None))
    weights = np.clip(np.nan_to_num(found.similarities), 0, 1) ** _ALPHA
    queries = _queries(store, request).copy()
    for part in _parts(found):
        near = _embeddings(store, found.ids[part])
        queries[part] += np.einsum("qk,qkd->qd", weights[part], near)
    return replace(request, queries=normalize_rows(queries), is_normalized=True)


def _reranked(
    store: Store, request: SearchRequest, found: SearchResult, candidates: int
) -> SearchResult:
    """Return the hits of each query, the best ``candidates`` of them by re-ranked distance.

    Those of equal distance stay in the order of their similarities.
    """
    queries = _queries(store, request)
    order = np.tile(np.arange(found.ids.shape[1]), (len(found), 1))
    for part in _parts(found):
        near = _embeddings(store, found.ids[part, :candidates])
        for query, rows in enumerate(near, start=part.start):
            count = min(int(found.counts[query]), candidates)
            if count > 1:
                distances = k_reciprocal_rerank(queries[query : query + 1], rows[:count])
                order[query, :count] = np.argsort(distances[0], kind="stable")
    return found.reordered(order[:, : request.k])


def _parts(found: SearchResult) -> Iterator[slice]:
    """Yield queries whose hits' embeddings are held at once."""
    count, k = found.ids.shape
    step = max(1, _HELD // max(1, k))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _queries(store: Store, request: SearchRequest) -> NDArray[np.float32]:
    if request.is_normalized:
        return request.queries
    return normalized(request.queries, request.query_camids, store.settings.camera_normalizer)


def _embeddings(store: Store, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the (Q, k, D) embeddings of hits as the gallery compares them, 0 where id is -1."""
    unique, index = np.unique(ids[ids >= 0], return_inverse=True)
    near = np.zeros((*ids.shape, store.dim), dtype=np.float32)
    if len(unique):
        entries = store.entries(unique)
        camids = np.array([NO_CAMID if one.camid is None else one.camid for one in entries])
        rows = np.stack([one.embedding for one in entries])
        near[ids >= 0] = normalized(rows, camids, store.settings.camera_normalizer)[index]
    return near
