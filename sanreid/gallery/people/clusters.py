"""A gallery's entries grouped into people, as a proposal that can be assigned."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.clustering import Clustering, cluster_identities
from sanreid.datasets.cameras import in_order
from sanreid.datasets.cameras import named as names_of
from sanreid.errors import InputError
from sanreid.gallery.camera_means import normalized
from sanreid.gallery.filters import Condition
from sanreid.gallery.people.naming import fresh_pids
from sanreid.gallery.store import EntryBatch, Store
from sanreid.gallery.validation import NO_CAMID, Pid, as_ids
from sanreid.utils.arrays import as_array, shown, whole

__all__ = ["EntryClustering", "cluster_entries", "named"]

_BATCH = 8192


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EntryClustering(Clustering):
    """Groups of a gallery's entries, each taken for one person: a proposal to assign.

    Entries that have a person keep it. The others take the person whom most entries of their
    cluster have, or a new one if none has; the only entry of a cluster gets none.

    Attributes:
        ids: (N,) int64, the entries, in the order of the labels.
        pids: N people proposed for them.
        before: N people that they had when it was made.
    """

    ids: NDArray[np.int64]
    pids: tuple[Pid, ...]
    before: tuple[Pid, ...]


def cluster_entries(
    store: Store,
    condition: Condition | None,
    *,
    threshold: float | None,
    tracklet_key: str | None,
    must_link: Any,  # noqa: ANN401 - as passed
    cannot_link: Any,  # noqa: ANN401 - as passed
) -> EntryClustering:
    """Group entries into people; see :meth:`sanreid.Gallery.cluster`."""
    if tracklet_key is not None and not isinstance(tracklet_key, str):
        raise InputError(f"tracklet_key must be a metadata key; got {shown(tracklet_key)}.")
    entries = _collected(store, condition)
    ids, camids, times = entries.ids, entries.camids, entries.timestamps
    assert ids is not None  # noqa: S101 - stored entries have ids
    normalizer = store.settings.camera_normalizer
    calibrated = _calibrated_threshold(store) if threshold is None else None
    known = bool((camids != NO_CAMID).any())
    found = cluster_identities(
        normalized(entries.embeddings, camids, normalizer),
        camids=camids if known else None,
        timestamps=times if known and not np.isnan(times).all() else None,
        tracklets=None if tracklet_key is None else _tracklets(store, ids, tracklet_key),
        threshold=threshold if calibrated is None else calibrated,
        must_link=_rows(must_link, ids, "must_link"),
        cannot_link=_rows(cannot_link, ids, "cannot_link"),
        # a calibrated threshold is one of the similarities that the gallery answers with
        normalize_cameras=normalizer is None and calibrated is None,
    )
    return named(store, found, ids, entries.pids, _paths(entries.metadata))


def _calibrated_threshold(store: Store) -> float | None:
    """Return the calibrated threshold where it may decide, else None.

    One of tracklets may not: it is measured under one camera at a time, too high across cameras.
    """
    calibration = store.settings.calibration
    if calibration is None or calibration.get("source") == "tracklets":
        return None
    threshold = float(calibration["threshold"])
    return threshold if threshold > 0 else None


def named(
    store: Store,
    clustering: Clustering,
    ids: NDArray[np.int64],
    before: Sequence[Pid],
    images: tuple[str | None, ...] | None = None,
) -> EntryClustering:
    """Return a clustering of entries with the people that it proposes, and their pictures."""
    people: list[Counter[Pid]] = [Counter() for _ in range(len(clustering))]
    for label, pid in zip(clustering.labels.tolist(), before, strict=True):
        if label >= 0 and pid is not None:
            people[label][pid] += 1
    fresh = fresh_pids(store)
    names = [counts.most_common(1)[0][0] if counts else next(fresh) for counts in people]
    proposed = [
        names[label] if pid is None and label >= 0 else pid
        for label, pid in zip(clustering.labels.tolist(), before, strict=True)
    ]
    columns = {field.name: getattr(clustering, field.name) for field in fields(Clustering)}
    columns["images"] = images
    known = store.settings.camera_names
    columns["cameras"] = tuple(in_order(names_of(seen, known)) for seen in clustering.cameras)
    return EntryClustering(**columns, ids=ids, pids=tuple(proposed), before=tuple(before))


def _collected(store: Store, condition: Condition | None) -> EntryBatch:
    """Return the entries that match, in the order of adding."""
    chosen = None if condition is None else store.select(condition)
    batches = []
    for batch in store.scan(_BATCH):
        assert batch.ids is not None  # noqa: S101 - stored entries have ids
        kept = np.arange(len(batch.ids))
        if chosen is not None:
            kept = np.flatnonzero(np.isin(batch.ids, chosen))
        batches.append(
            (
                batch.embeddings[kept], batch.ids[kept], batch.camids[kept],
                batch.timestamps[kept], [batch.pids[row] for row in kept.tolist()],
                [batch.metadata[row] for row in kept.tolist()],
            )
        )  # fmt: skip
    if sum(len(batch[1]) for batch in batches) < 2:
        raise InputError("Clustering needs at least two entries.")
    embeddings, ids, camids, times, pids, metadata = zip(*batches, strict=True)
    return EntryBatch(
        embeddings=np.concatenate(embeddings),
        pids=[pid for part in pids for pid in part],
        camids=np.concatenate(camids),
        timestamps=np.concatenate(times),
        metadata=[raw for part in metadata for raw in part],
        ids=np.concatenate(ids),
        encoder_fingerprint=None,
    )


def _paths(metadata: Sequence[bytes]) -> tuple[str | None, ...] | None:
    """Return the path of each entry's picture; None where no entry has one."""
    paths = [json.loads(raw).get("path") if raw else None for raw in metadata]
    texts = tuple(path if isinstance(path, str) else None for path in paths)
    return None if all(path is None for path in texts) else texts


def _tracklets(store: Store, ids: NDArray[np.int64], key: str) -> list[Any]:
    """Return the value of a metadata key for each entry, None where it has none.

    Raises:
        InputError: No entry has such a key, or a value names no tracklet.
    """
    values = [whole(entry.metadata.get(key)) for entry in store.entries(ids)]
    if all(value is None for value in values):
        raise InputError(f"None of the entries has the metadata key {shown(key)}.")
    for number, value in zip(ids.tolist(), values, strict=True):
        if isinstance(value, bool) or not isinstance(value, (int, str, type(None))):
            raise InputError(
                f"Tracklets are int or str; the metadata {shown(key)} of entry {number} is "
                f"{shown(value)}."
            )
    return values


def _rows(pairs: Any, ids: NDArray[np.int64], name: str) -> NDArray[np.int64] | None:  # noqa: ANN401 - as passed
    """Return (M, 2) rows of pairs of ids."""
    if pairs is None:
        return None
    array = as_array(pairs, name)
    if array is None and (isinstance(pairs, (str, bytes)) or not isinstance(pairs, Sequence)):
        raise InputError(f"{name} must be pairs of ids, (M, 2); got {shown(pairs)}.")
    row_of = {number: row for row, number in enumerate(ids.tolist())}
    rows = []
    for pair in pairs if array is None else np.atleast_1d(array).tolist():
        numbers = as_ids(pair).tolist()
        unknown = [number for number in numbers if number not in row_of]
        if len(numbers) != 2 or unknown:
            raise InputError(
                f"{name} must be pairs of ids of the entries to cluster; got {shown(pair)}."
            )
        rows.append([row_of[number] for number in numbers])
    return np.array(rows, dtype=np.int64).reshape(-1, 2)
