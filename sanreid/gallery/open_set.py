"""Open-set evaluation: detection and identification rates at given false-alarm rates.

Source of the rates: Phillips, Grother and Micheals, "Evaluation Methods in Face Recognition",
Handbook of Face Recognition, 2nd ed., 2011 (detection and identification rate).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.calibration import allowed_matches
from sanreid.gallery.identification import Identification
from sanreid.gallery.validation import Pid
from sanreid.utils.arguments import as_fraction
from sanreid.utils.arrays import shown

__all__ = ["OpenSetReport", "open_set_report"]


@dataclass(frozen=True, slots=True)
class OpenSetReport:
    """Detection and identification rates; fractions, one per false-alarm rate.

    Attributes:
        false_alarm_rates: The requested shares of non-enrolled queries given an identity.
        thresholds: The lowest thresholds with at most those rates.
        measured_false_alarm_rates: The rates at those thresholds.
        identification_rates: Shares of enrolled queries whose person ranks first, at or above
            the threshold.
        num_enrolled: Number of queries of people in the gallery.
        num_non_enrolled: Number of queries of people who are not.
    """

    false_alarm_rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    measured_false_alarm_rates: tuple[float, ...]
    identification_rates: tuple[float, ...]
    num_enrolled: int
    num_non_enrolled: int

    @property
    def num_strangers(self) -> int:
        """Former name of ``num_non_enrolled``."""
        return self.num_non_enrolled


def open_set_report(
    found: Sequence[Identification],
    pids: Sequence[Pid],
    enrolled: Sequence[bool],
    false_alarm_rates: Sequence[float],
) -> OpenSetReport:
    """Count identifications and false alarms over thresholds.

    Args:
        found: The answer to each query, whatever its threshold.
        pids: The true person of each query.
        enrolled: For each query, whether its person has an entry that it may find.
        false_alarm_rates: Between 0 and 1.

    Raises:
        InputError: No query is of an enrolled person, or all are, or a rate is out of range.
    """
    wanted = _rates(false_alarm_rates)
    inside = np.array(enrolled, dtype=bool)
    if not inside.any() or inside.all():
        raise InputError(
            f"Open-set evaluation needs queries of people in the gallery ({int(inside.sum())}) "
            f"and of people who are not enrolled ({int((~inside).sum())})."
        )
    similarity = np.array([one.similarity for one in found], dtype=np.float64)
    right = np.array([one.candidate == pid for one, pid in zip(found, pids, strict=True)])
    similarity[np.isnan(similarity)] = -np.inf  # nothing was left to compare with
    non_enrolled = np.sort(similarity[~inside])[::-1]
    thresholds, measured, rates = [], [], []
    for rate in wanted:
        threshold = _just_above(non_enrolled, allowed_matches(rate, len(non_enrolled)))
        thresholds.append(threshold)
        measured.append(float((non_enrolled >= threshold).mean()))
        rates.append(float((right & (similarity >= threshold))[inside].mean()))
    return OpenSetReport(
        false_alarm_rates=tuple(wanted),
        thresholds=tuple(thresholds),
        measured_false_alarm_rates=tuple(measured),
        identification_rates=tuple(rates),
        num_enrolled=int(inside.sum()),
        num_non_enrolled=int((~inside).sum()),
    )


def _rates(false_alarm_rates: Iterable[float]) -> list[float]:
    is_number = getattr(false_alarm_rates, "ndim", 1) == 0  # a tensor of one says it is iterable
    if is_number or not isinstance(false_alarm_rates, Iterable):
        raise InputError(f"false_alarm_rates must be a list; got {shown(false_alarm_rates)}.")
    return [as_fraction(rate, "each of false_alarm_rates") for rate in false_alarm_rates]


def _just_above(falling: NDArray[np.float64], allowed: int) -> float:
    """Return the lowest threshold that at most ``allowed`` of the similarities reach."""
    if allowed >= len(falling):
        return -1.0
    return float(max(np.nextafter(falling[allowed], np.inf), -1.0))
