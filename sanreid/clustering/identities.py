"""Crops without labels, grouped into people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.cameras import CameraNormalizer, checked_camids
from sanreid.clustering.confidence import confidences
from sanreid.clustering.constraints import Constraints
from sanreid.clustering.graph import build_graph
from sanreid.clustering.linkage import link
from sanreid.clustering.result import Clustering
from sanreid.datasets.cameras import NO_CAMID, in_order, named, read_names
from sanreid.datasets.timestamps import as_timestamps
from sanreid.errors import InputError
from sanreid.metrics.vectors import unit_rows
from sanreid.neighbourhoods import Floats, Indices
from sanreid.utils.arguments import as_number, check_flag

__all__ = ["cluster_identities"]

_THRESHOLD = 0.475  # measured; see the page on clustering


def cluster_identities(
    embeddings: ArrayLike,
    *,
    camids: ArrayLike | None = None,
    timestamps: ArrayLike | None = None,
    tracklets: Sequence[Any] | None = None,
    threshold: float | None = None,
    must_link: ArrayLike | None = None,
    cannot_link: ArrayLike | None = None,
    normalize_cameras: bool = True,
) -> Clustering:
    """Group crops into people, without labels.

    Crops are compared by their cosine similarity plus the overlap, 0 to 1, of their k-reciprocal
    neighbourhoods; two groups are joined as long as the mean of that over all their pairs reaches
    the threshold. Where ``camids`` name at least two cameras, each camera's mean is taken out of
    the embeddings first, by :class:`~sanreid.CameraNormalizer`.

    One person cannot be in two places: crops with the same camera and the same timestamp never
    join. Memory: about three float32 copies of the embeddings, and neighbourhoods.

    Args:
        embeddings: (N, D) real numbers of any scale; normalised inside.
        camids: (N,) int or a name, the camera of each crop; None: not known.
        timestamps: (N,) seconds or datetimes with a time zone, only with ``camids``; None or NaN:
            not known.
        tracklets: (N,) int or str: crops with the same value are one person, whatever the
            camera. None: in no tracklet.
        threshold: Mean similarity down to which groups are joined: the cosine similarity that
            crops need when their neighbourhoods do not overlap, as a gallery's calibration finds
            it. Higher: more and purer clusters. None: 0.475, measured on crops of three data
            sets.
        must_link: (M, 2) rows that are one person.
        cannot_link: (M, 2) rows that are two people.
        normalize_cameras: False for embeddings whose camera bias has been taken out already.

    Returns:
        Labels, confidence, medoids, and each cluster's cameras and times.

    Raises:
        InputError: A row that is zero, NaN or infinite, a column of another length or kind,
            timestamps without camids, a threshold out of range, or crops that are said to be
            both one person and two.
        MissingExtraError: The extra ``cluster`` is not installed.

    Source:
        Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
        2017, for the neighbourhoods, here of 10 and 4 neighbours; UPGMA, Sokal and Michener, 1958,
        for the groups.
    """
    check_flag(normalize_cameras, "normalize_cameras")
    rows = unit_rows(embeddings, "embeddings")
    count = len(rows)
    limit = _checked_threshold(threshold)
    camids, names = read_names(camids)
    cameras = None if camids is None else checked_camids(camids, count)
    times = None
    if timestamps is not None:
        times = as_timestamps(timestamps, count, nan_is_missing=True)
    known = Constraints.of(
        count,
        camids=cameras,
        timestamps=times,
        tracklets=tracklets,
        must_link=must_link,
        cannot_link=cannot_link,
    )
    if normalize_cameras and cameras is not None and _several(cameras):
        rows = CameraNormalizer.fit(rows, cameras)(rows, cameras)

    graph = build_graph(rows)
    groups = link(rows, graph, limit, known)
    confidence, typical = confidences(rows, graph.overlap, groups, limit)
    labels, medoids = _clusters(groups, typical)
    return Clustering(
        labels=labels,
        confidence=confidence,
        medoids=medoids,
        cameras=_cameras(labels, len(medoids), cameras, names),
        times=_times(labels, len(medoids), times),
        threshold=limit,
    )


def _several(camids: NDArray[np.int64]) -> bool:
    return len(np.unique(camids[camids != NO_CAMID])) > 1


def _checked_threshold(threshold: float | None) -> float:
    if threshold is None:
        return _THRESHOLD
    limit = as_number(threshold, "threshold")
    if not 0 < limit <= 2:
        raise InputError(
            f"threshold is a similarity above 0, at most 2 (cosine plus overlap); got {limit}."
        )
    return limit


def _clusters(groups: Indices, typical: Floats) -> tuple[Indices, Indices]:
    """Labels, -1 for a group of one crop, and the most typical row of each cluster."""
    sizes = np.bincount(groups)
    numbers = np.where(sizes > 1, np.cumsum(sizes > 1) - 1, -1)
    labels = numbers[groups]
    order = np.lexsort((-typical, labels))
    medoids = order[np.searchsorted(labels[order], np.arange(int((sizes > 1).sum())))]
    return labels, medoids.astype(np.int64)


def _cameras(
    labels: Indices, count: int, camids: NDArray[np.int64] | None, names: Mapping[int, str]
) -> tuple[tuple[int | str, ...], ...]:
    seen: list[set[int]] = [set() for _ in range(count)]
    if camids is not None:
        for label, camid in zip(labels.tolist(), camids.tolist(), strict=True):
            if label >= 0 and camid != NO_CAMID:
                seen[label].add(camid)
    return tuple(in_order(named(cameras, names)) for cameras in seen)


def _times(
    labels: Indices, count: int, timestamps: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    times = np.full((count, 2), np.nan)
    if timestamps is not None:
        known = (labels >= 0) & ~np.isnan(timestamps)
        np.fmin.at(times[:, 0], labels[known], timestamps[known])
        np.fmax.at(times[:, 1], labels[known], timestamps[known])
    return times
