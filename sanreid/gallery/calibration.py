"""A similarity threshold with known error rates, from pairs of known people or of tracklets.

Impostor pairs (two people) say how often a threshold lets different people match; genuine pairs
(one person) how often it misses a match. With cameras given, only pairs across cameras count, as
in re-identification. :mod:`~sanreid.gallery.people.tracklet_pairs` finds pairs without labels.
Pairs that share a person are not independent, so the interval comes from people, not from pairs:
the dyadic cluster-robust variance.

Source of the variance: Fafchamps and Gubert, "The formation of risk sharing networks", Journal
of Development Economics 83(2), 2007; Aronow, Samii and Assenova, "Cluster-robust variance
estimation for dyadic data", Political Analysis 23(4), 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.validation import NO_CAMID, Pid
from sanreid.utils.arrays import shown

__all__ = ["Calibration", "Pairs", "allowed_matches", "calibrate_pairs", "measured"]

_BINS = 1 << 16  # of the similarities from -1 to 1: thresholds are exact to 3e-5
_CURVE = 200  # points of the stored curve
_ROUNDING = 1e-9  # of a rate times a number of pairs
_BLOCK = 1024

Rows: TypeAlias = slice | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold and its error rates; rates are fractions.

    Attributes:
        threshold: Similarities of at least this are taken for the same person.
        target_false_match_rate: The requested rate.
        false_match_rate: The share of impostor pairs at or above the threshold.
        interval: Where that share is expected to lie for as many other people.
        confidence: Confidence level of the interval.
        false_non_match_rate: The share of genuine pairs below the threshold.
        num_people: Number of people among the crops; of tracklets, where these stand for people.
        num_genuine: Number of pairs of one person.
        num_impostor: Number of pairs of two people.
        thresholds: Thresholds of the curve, from -1 to 1.
        false_match_rates: False-match rate at each of them.
        false_non_match_rates: False-non-match rate at each of them.
        genuine_histogram: Genuine pairs between each two consecutive thresholds.
        impostor_histogram: Impostor pairs between each two consecutive thresholds.
        source: What told who is who: the pids of people, or tracklets.
    """

    threshold: float
    target_false_match_rate: float
    false_match_rate: float
    interval: tuple[float, float]
    confidence: float
    false_non_match_rate: float
    num_people: int
    num_genuine: int
    num_impostor: int
    thresholds: tuple[float, ...]
    false_match_rates: tuple[float, ...]
    false_non_match_rates: tuple[float, ...]
    genuine_histogram: tuple[int, ...]
    impostor_histogram: tuple[int, ...]
    source: Literal["people", "tracklets"] = "people"

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Calibration:
        """Create a calibration from what :meth:`to_dict` returned."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, (list, tuple)) else value
            for name, value in fields.items()
        }
        return cls(**values)

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Calibration(threshold={self.threshold:.4f}, "
            f"false_match_rate={self.false_match_rate:.2e} "
            f"({self.confidence:.0%}: {low:.1e} to {high:.1e}), "
            f"false_non_match_rate={self.false_non_match_rate:.3f}, "
            f"{self.num_people} {self.source})"
        )


def calibrate_pairs(
    embeddings: NDArray[np.float32],
    pids: Sequence[Pid],
    camids: NDArray[np.int64] | None,
    *,
    false_match_rate: float,
    confidence: float,
    camera_names: Mapping[int, str] | None = None,
) -> Calibration:
    """Find the lowest threshold with at most the given false-match rate.

    Args:
        embeddings: (N, D) rows of norm 1.
        pids: (N,) rows without a pid are left out.
        camids: (N,) only pairs across cameras count; None: every pair does.
        false_match_rate: The requested rate, between 0 and 1.
        confidence: Confidence level of the interval, between 0 and 1.
        camera_names: The names of cameras that have one, for messages.

    Raises:
        InputError: A rate is out of range, or there are too few people or pairs.
    """
    known = np.array([pid is not None for pid in pids], dtype=bool)
    people: dict[Pid, int] = {}
    person = np.array(
        [people.setdefault(pid, len(people)) for pid in pids if pid is not None], dtype=np.int64
    )
    rows = embeddings[known]
    cameras = None if camids is None else camids[known]
    if len(people) < 3:
        raise InputError(f"Calibrating needs crops of at least 3 people; got {len(people)}.")

    return measured(
        lambda: _pairs(rows, person, cameras),
        person,
        false_match_rate=false_match_rate,
        confidence=confidence,
        kind="" if camids is None else " across cameras",
        advice=lambda num_genuine: _advice(person, cameras, num_genuine, camera_names or {}),
    )


class Pairs(NamedTuple):
    """Pairs of some rows with others, each pair once over all blocks."""

    one: Rows
    other: Rows
    similarities: NDArray[np.float32]  # (n, m)
    same: NDArray[np.bool_]  # (n, m) one person
    counted: NDArray[np.bool_]  # (n, m)


def measured(
    pairs: Callable[[], Iterator[Pairs]],
    person: NDArray[np.int64],
    *,
    false_match_rate: float,
    confidence: float,
    kind: str,
    advice: Callable[[int], str],
    source: Literal["people", "tracklets"] = "people",
) -> Calibration:
    """Find the threshold from blocks of pairs, which are read twice.

    Args:
        pairs: Yields all pairs.
        person: (N,) number of the person of each row, from 0.
        false_match_rate: As in :func:`calibrate_pairs`.
        confidence: As in :func:`calibrate_pairs`.
        kind: What the pairs are, for a message that there are too few.
        advice: What to do then, by the number of genuine pairs.
        source: What the people are.

    Raises:
        InputError: A rate is out of range, or there are too few pairs.
    """
    for name, value in (("false_match_rate", false_match_rate), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(f"{name} must lie between 0 and 1; got {shown(value)}.")
    genuine, impostor = np.zeros(_BINS, np.int64), np.zeros(_BINS, np.int64)
    for _, _, similarities, same, counted in pairs():
        bins = _bin(similarities)
        genuine += np.bincount(bins[same & counted], minlength=_BINS)
        impostor += np.bincount(bins[~same & counted], minlength=_BINS)
    num_genuine, num_impostor = int(genuine.sum()), int(impostor.sum())
    allowed = allowed_matches(false_match_rate, num_impostor)
    if not num_genuine or allowed < 1:
        raise InputError(
            f"{num_genuine} genuine and {num_impostor} impostor pairs{kind} are too few for a "
            f"false-match rate of {false_match_rate:g}: at least 1 and "
            f"{math.ceil(1 / false_match_rate - _ROUNDING)} are wanted. {advice(num_genuine)}"
        )

    num_people = int(person.max()) + 1
    above = np.append(np.cumsum(impostor[::-1])[::-1], 0)  # impostor pairs in bins from i on
    edge = int(np.argmax(above <= allowed))
    rate = float(above[edge] / num_impostor)
    spread = _spread(pairs(), person, edge, rate, num_people, num_impostor)
    at = np.linspace(0, _BINS, _CURVE + 1).astype(np.int64)
    missed = np.append(0, np.cumsum(genuine))
    return Calibration(
        threshold=float(_similarity_at(edge)),
        target_false_match_rate=false_match_rate,
        false_match_rate=rate,
        interval=_interval(rate, spread, confidence, num_people),
        confidence=confidence,
        false_non_match_rate=float(missed[edge] / num_genuine),
        num_people=num_people,
        num_genuine=num_genuine,
        num_impostor=num_impostor,
        thresholds=tuple(_similarity_at(at).tolist()),
        false_match_rates=tuple((above[at] / num_impostor).tolist()),
        false_non_match_rates=tuple((missed[at] / num_genuine).tolist()),
        genuine_histogram=tuple(np.diff(missed[at]).tolist()),
        impostor_histogram=tuple((-np.diff(above[at])).tolist()),
        source=source,
    )


def _advice(
    person: NDArray[np.int64],
    cameras: NDArray[np.int64] | None,
    num_genuine: int,
    camera_names: Mapping[int, str],
) -> str:
    """Return what to do about too few pairs: the cause may be the cameras."""
    if cameras is None or num_genuine:
        return "Pass more crops, or ask for a higher rate."
    known = np.unique(cameras[cameras != NO_CAMID])
    if not len(known):
        cause = "no crop has a camera"
    elif len(known) == 1:
        camera = int(known[0])
        cause = f"all crops come from camera {camera_names.get(camera, camera)}"
    else:
        people = len(np.unique(person))
        cause = f"none of the {people} people is seen under two cameras"
    return (
        f"With camids, only pairs across cameras count, and {cause}. Pass crops of the same "
        "people under several cameras, or leave camids out."
    )


def _pairs(
    rows: NDArray[np.float32], person: NDArray[np.int64], cameras: NDArray[np.int64] | None
) -> Iterator[Pairs]:
    """Yield blocks of pairs, each pair once; with cameras, those across cameras count."""
    for a in range(0, len(rows), _BLOCK):
        for b in range(a, len(rows), _BLOCK):
            one, other = slice(a, a + _BLOCK), slice(b, b + _BLOCK)
            similarities = np.clip(rows[one] @ rows[other].T, -1.0, 1.0)
            same = person[one][:, None] == person[other]
            counted = np.ones_like(same)
            if a == b:
                counted = np.triu(counted, 1)
            if cameras is not None:
                apart = cameras[one][:, None] != cameras[other]
                known = cameras != NO_CAMID
                counted &= apart & known[one][:, None] & known[other]
            yield Pairs(one, other, similarities, same, counted)


def _spread(
    pairs: Iterator[Pairs],
    person: NDArray[np.int64],
    edge: int,
    rate: float,
    num_people: int,
    num_impostor: int,
) -> float:
    """Standard error of the false-match rate, people drawn at random."""
    excess = np.zeros((num_people,), np.float64)  # false matches beyond the rate, by person
    square = 0.0
    for one, other, similarities, same, counted in pairs:
        counted = counted & ~same  # noqa: PLW2901 - narrowed
        errors = np.where(counted, (_bin(similarities) >= edge) - rate, 0.0)
        excess += np.bincount(person[one], errors.sum(axis=1), num_people)
        excess += np.bincount(person[other], errors.sum(axis=0), num_people)
        square += float((errors**2).sum())
    variance = max(float((excess**2).sum()) - square, square)
    return math.sqrt(variance) / num_impostor


def allowed_matches(rate: float, count: int) -> int:
    """Return how many false matches of ``count`` keep a rate; 0.29 of 100 are 29, not 28."""
    return math.floor(rate * count + _ROUNDING)


def _interval(
    rate: float, spread: float, confidence: float, num_people: int
) -> tuple[float, float]:
    """Return the interval in which the rate of as many other people is expected.

    Their rate differs from the true one as much as ours does, hence the root of two; on a log
    scale, because a rate is positive and its error grows with it.
    """
    tail = (1 - confidence) / 2  # the lower one: 1 less the upper one may round to 1
    if rate == 0:  # no event seen in so many people: the rule of three
        return 0.0, min(1.0, -math.log(1 - confidence) / num_people)
    width = -NormalDist().inv_cdf(tail) * math.sqrt(2) * spread / rate
    return rate * math.exp(-width), min(1.0, rate * math.exp(width))


def _bin(similarities: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.minimum(((similarities + 1.0) * (_BINS / 2)).astype(np.int64), _BINS - 1)


def _similarity_at(edge: Any) -> Any:  # noqa: ANN401 - the number of a bin edge, or an array
    return edge * (2.0 / _BINS) - 1.0
