"""Pairs of crops without labels: those of one tracklet, and those of two of one frame.

A tracker keeps the boxes of one person together as long as it sees them: two crops of a tracklet
are a genuine pair. Two boxes in one frame are two people, and so are all crops of the two
tracklets they belong to: impostor pairs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.calibration import Calibration, Pairs, measured
from sanreid.gallery.validation import NO_CAMID

__all__ = ["calibrate_tracklets"]

_MOST_CROPS = 16  # of one track, evenly spread: a long tracklet says little more than a short one
_MOST_PAIRS = 100_000  # of tracklets


def calibrate_tracklets(
    embeddings: NDArray[np.float32],
    tracks: Mapping[Hashable, list[int]],
    camids: NDArray[np.int64],
    timestamps: NDArray[np.float64],
    *,
    false_match_rate: float,
    confidence: float,
    camera_names: Mapping[int, str],
) -> Calibration:
    """Find the lowest threshold with at most the given false-match rate, from tracklets alone.

    Args:
        embeddings: (N, D) rows of norm 1.
        tracks: The rows of each tracklet.
        camids: (N,) rows of different cameras are of different frames; none is one more camera.
        timestamps: (N,) seconds; rows of one camera and one time are of one frame.
        false_match_rate: As in :func:`~sanreid.gallery.calibration.calibrate_pairs`.
        confidence: As there.
        camera_names: As there.

    Raises:
        InputError: Two rows of a tracklet are of one frame; a rate is out of range; there are too
            few tracklets or pairs.
    """
    track = np.empty(len(embeddings), dtype=np.int64)
    for number, members in enumerate(tracks.values()):
        track[members] = number
    together = _seen_together(track, camids, timestamps, list(tracks), camera_names)
    if len(together) > _MOST_PAIRS:
        chosen = np.random.default_rng(0).choice(len(together), _MOST_PAIRS, replace=False)
        together = [together[index] for index in np.sort(chosen)]
    samples = [np.array(_spread_evenly(members)) for members in tracks.values()]

    def pairs() -> Iterator[Pairs]:
        for rows in samples:
            if len(rows) > 1:
                upper = np.triu(np.ones((len(rows), len(rows)), dtype=bool), 1)
                yield _pairs(embeddings, rows, rows, same=True, counted=upper)
        for one, other in together:
            counted = np.ones((len(samples[one]), len(samples[other])), dtype=bool)
            yield _pairs(embeddings, samples[one], samples[other], same=False, counted=counted)

    def advice(num_genuine: int) -> str:
        if not num_genuine:
            return (
                "No tracklet has two crops; wanted are the crops of a track, each with its name."
            )
        return (
            f"{len(together)} pairs of tracklets share a frame, that is a camera and a timestamp. "
            "Pass longer recordings, or ask for a higher rate."
        )

    return measured(
        pairs,
        track,
        false_match_rate=false_match_rate,
        confidence=confidence,
        kind=" of tracklets",
        advice=advice,
        source="tracklets",
    )


def _seen_together(
    track: NDArray[np.int64],
    camids: NDArray[np.int64],
    timestamps: NDArray[np.float64],
    names: list[Hashable],
    camera_names: Mapping[int, str],
) -> list[tuple[int, int]]:
    """Return the pairs of tracklets that share a frame, each once, ascending."""
    frames: dict[tuple[int, float], list[int]] = {}
    for row in np.flatnonzero(~np.isnan(timestamps)).tolist():
        frames.setdefault((int(camids[row]), float(timestamps[row])), []).append(row)
    found: set[tuple[int, int]] = set()
    for (camid, seconds), rows in frames.items():
        numbers = sorted(track[rows].tolist())
        for one, other in combinations(numbers, 2):
            if one == other:
                camera = camera_names.get(camid, camid)
                where = "" if camid == NO_CAMID else f" of camera {camera}"
                raise InputError(
                    f"The tracklet {names[one]!r} has two crops in the frame{where} at "
                    f"{seconds:.15g} s; a person is in a frame once."
                )
            found.add((one, other))
    return sorted(found)


def _spread_evenly(members: list[int]) -> list[int]:
    """Return at most so many of a tracklet's rows, from its first to its last."""
    if len(members) <= _MOST_CROPS:
        return members
    return [members[index] for index in np.linspace(0, len(members) - 1, _MOST_CROPS).astype(int)]


def _pairs(
    embeddings: NDArray[np.float32],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    *,
    same: bool,
    counted: NDArray[np.bool_],
) -> Pairs:
    similarities = np.clip(embeddings[one] @ embeddings[other].T, -1.0, 1.0)
    return Pairs(one, other, similarities, np.full(counted.shape, same), counted)
