"""What is certain before any comparison: crops that are one person, crops that are two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.datasets.cameras import NO_CAMID
from sanreid.errors import InputError
from sanreid.metrics.checks import as_array, check_unmasked
from sanreid.neighbourhoods import Indices
from sanreid.utils.arrays import plain_values, wrong_value
from sanreid.utils.extras import require_extra

__all__ = ["Constraints"]


@dataclass(frozen=True, slots=True)
class Constraints:
    """Certain knowledge of N crops, checked for contradictions.

    Attributes:
        cannot: (M, 2) int64, pairs of rows that are two people.
        piece: (N,) int64, rows that are one person have equal numbers.
        frame: (N,) int64, rows seen by one camera at one time have equal numbers; -1: not known.
    """

    cannot: Indices
    piece: Indices
    frame: Indices

    @classmethod
    def of(
        cls,
        count: int,
        *,
        camids: NDArray[np.int64] | None,
        timestamps: NDArray[np.float64] | None,
        tracklets: Sequence[Any] | None,
        must_link: ArrayLike | None,
        cannot_link: ArrayLike | None,
    ) -> Constraints:
        """Check what the caller knows about ``count`` crops and put it together.

        Raises:
            InputError: A column of another length, a pair that names no two rows, or crops that
                are said to be one person and two.
        """
        must = np.concatenate([_pairs(must_link, count, "must_link"), _chains(tracklets, count)])
        cannot = _pairs(cannot_link, count, "cannot_link")
        frame = _frames(camids, timestamps, count)
        sparse = require_extra(
            "scipy.sparse", purpose="cluster_identities", install="sanreid[cluster]"
        )
        csgraph = require_extra(
            "scipy.sparse.csgraph", purpose="cluster_identities", install="sanreid[cluster]"
        )
        links = sparse.coo_array((np.ones(len(must)), tuple(must.T)), shape=(count, count))
        _, piece = csgraph.connected_components(links, directed=False)
        known = cls(cannot, piece.astype(np.int64), frame)
        known._refuse_contradictions()
        return known

    def _refuse_contradictions(self) -> None:
        one, other = self.piece[self.cannot].T
        if (one == other).any():
            a, b = self.cannot[(one == other).argmax()]
            raise InputError(
                f"Rows {a} and {b} are in cannot_link, but must_link or tracklets make them one "
                "person."
            )
        placed = np.flatnonzero(self.frame >= 0)
        keys = np.stack([self.piece[placed], self.frame[placed]], axis=1)
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        earliest = placed[first[inverse.reshape(-1)]]
        twice = np.flatnonzero(earliest != placed)
        if len(twice):
            a, b = earliest[twice[0]], placed[twice[0]]
            raise InputError(
                f"Rows {a} and {b} have one camera and one timestamp, so they are two people, but "
                "must_link or tracklets make them one. Are the tracklets of different cameras "
                "numbered apart?"
            )


def _frames(
    camids: NDArray[np.int64] | None, timestamps: NDArray[np.float64] | None, count: int
) -> Indices:
    frame = np.full(count, -1, dtype=np.int64)
    if timestamps is None:
        return frame
    if camids is None:
        raise InputError(
            "timestamps say which crops are of one frame only together with camids; got "
            "timestamps alone."
        )
    known = np.flatnonzero(~np.isnan(timestamps) & (camids != NO_CAMID))
    _, camera = np.unique(camids[known], return_inverse=True)
    _, time = np.unique(timestamps[known], return_inverse=True)
    frame[known] = camera * (time.max(initial=0) + 1) + time
    return frame


def _pairs(pairs: ArrayLike | None, count: int, name: str) -> Indices:
    """(M, 2) row numbers."""
    if pairs is None:
        return np.empty((0, 2), dtype=np.int64)
    values = as_array(pairs, name)
    check_unmasked(values, name)
    if values.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "iu":
        raise InputError(
            f"{name} is a list of pairs of row numbers, (M, 2); got shape {values.shape} of "
            f"{values.dtype}."
        )
    wrong = ((values < 0) | (values >= count)).any(axis=1) | (values[:, 0] == values[:, 1])
    if wrong.any():
        raise InputError(
            f"{name} names two different rows from 0 to {count - 1}; pair {wrong.argmax()} is "
            f"{values[wrong.argmax()].tolist()}."
        )
    return values.astype(np.int64)


def _chains(tracklets: Sequence[Any] | None, count: int) -> Indices:
    """Pairs that join each tracklet's rows, each with the next one."""
    if tracklets is None:
        return np.empty((0, 2), dtype=np.int64)
    names = plain_values(tracklets, "tracklets")
    if len(names) != count:
        raise InputError(f"tracklets need one value per row, {count} in all; got {len(names)}.")
    last: dict[int | str, int] = {}
    pairs = []
    for row, name in enumerate(names):
        if name is None:
            continue
        if isinstance(name, bool) or not isinstance(name, (int, str)):
            raise wrong_value("tracklets", "int, str or None", row, name)
        if name in last:
            pairs.append((last[name], row))
        last[name] = row
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
