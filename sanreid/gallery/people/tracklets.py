"""Tracklets: several crops of one person from one camera, pooled into one embedding."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.validation import as_weights, listed, plain
from sanreid.utils.arrays import shown

__all__ = ["agreed", "grouped", "linked", "pooled"]

_LEAST_WEIGHT = 1e-6


def grouped(tracklets: Sequence[Any], count: int) -> dict[Hashable, list[int]]:
    """Return the rows of each tracklet, tracklets in the order of their first row."""
    rows: dict[Hashable, list[int]] = {}
    for row, given in enumerate(listed(tracklets, count, "tracklets")):
        name = plain(given)
        if isinstance(name, bool) or not isinstance(name, (int, str)):
            raise InputError(f"tracklets must be int or str; row {row} is {shown(given)}.")
        rows.setdefault(name, []).append(row)
    return rows


def pooled(
    embeddings: NDArray[np.float32],
    rows: dict[Hashable, list[int]],
    quality: Any,  # noqa: ANN401 - weights, or what has scores
) -> NDArray[np.float64]:
    """Return the (weighted) mean of each tracklet's rows.

    Raises:
        InputError: A quality is negative, not finite, or zero throughout a tracklet; the crops
            of a tracklet cancel out.
    """
    count = len(embeddings)
    weights = _weights(quality, count)
    means = np.empty((len(rows), embeddings.shape[1]))
    for number, (name, members) in enumerate(rows.items()):
        total = weights[members].sum()
        means[number] = weights[members] @ embeddings[members].astype(np.float64)
        if total == 0 or np.linalg.norm(means[number]) <= 1e-6 * total:
            raise InputError(
                f"The tracklet {name!r} has no direction: its qualities are all zero, or its "
                "crops cancel out."
            )
    return means


def _weights(quality: Any, count: int) -> NDArray[np.float64]:  # noqa: ANN401 - as passed
    """Return the crops' weights; crops that all score 0 count alike."""
    if quality is None:
        return np.ones(count)
    scores = getattr(quality, "score", None)  # of a CropQuality, which is not imported here
    if isinstance(scores, np.ndarray):
        return np.maximum(as_weights(scores, count, name="quality"), _LEAST_WEIGHT)
    return as_weights(quality, count, name="quality")


def agreed(values: Sequence[Any], rows: dict[Hashable, list[int]], name: str) -> list[Any]:
    """Return the one value that a tracklet's rows share.

    Raises:
        InputError: They differ.
    """
    shared = []
    for tracklet, members in rows.items():
        kinds = {(type(values[row]), values[row]) for row in members}
        if len(kinds) > 1:
            found = ", ".join(repr(value) for _, value in sorted(kinds, key=repr))
            raise InputError(f"The tracklet {tracklet!r} has several {name}: {found}.")
        shared.append(values[members[0]])
    return shared


def linked(
    rows: dict[Hashable, list[int]], metadata: Sequence[bytes], timestamps: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Return each tracklet's metadata: its name, and the metadata of each of its crops."""
    linked_rows = []
    for name, members in rows.items():
        crops = []
        for row in members:
            crop = json.loads(metadata[row]) if metadata[row] else {}
            if not np.isnan(timestamps[row]):
                crop = {"timestamp": float(timestamps[row]), **crop}
            crops.append(crop)
        linked_rows.append({"tracklet": name, "crops": crops})
    return linked_rows
