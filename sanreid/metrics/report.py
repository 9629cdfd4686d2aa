"""What an evaluation found: the figures, and the precision of each query behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.arguments import as_count, as_fraction, as_seed, check_kind

__all__ = ["EvaluationReport", "joined_report"]


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Retrieval accuracy; every figure is a fraction between 0 and 1.

    Attributes:
        mAP: Mean average precision, not interpolated.
        mINP: Mean inverse negative penalty: the matches of a query, divided by the rank of the
            last of them.
        cmc: (max_rank,) float64; ``cmc[k - 1]`` is the share of queries with a match among the
            first k. Where the gallery is shorter than ``max_rank`` the curve stays at its end.
        num_valid_queries: Queries with at least one admissible match; the others do not count.
        num_queries: All queries, valid or not.
        num_gallery: Gallery entries without the junk.
        protocol: "market1501" or "cuhk03".
        query_index: (num_valid_queries,) int64, the valid queries' indices in the input, rising.
        query_pids: (num_valid_queries,) the valid queries' pids, as they were given.
        average_precision: (num_valid_queries,) float64, one per valid query.
        num_matches: (num_valid_queries,) int64, admissible matches of each valid query.
        match_places: (sum of num_matches,) int64, the ranks of the matches,
            from 1, rising within a query, query after query.
    """

    mAP: float  # noqa: N815 - the name of the field
    mINP: float  # noqa: N815 - the name of the field
    cmc: NDArray[np.float64]
    num_valid_queries: int
    num_queries: int
    num_gallery: int
    protocol: str
    query_index: NDArray[np.int64]
    query_pids: NDArray[Any]
    average_precision: NDArray[np.float64]
    num_matches: NDArray[np.int64]
    match_places: NDArray[np.int64]

    @property
    def rank1(self) -> float:
        """Share of queries whose first admissible entry is a match: ``cmc[0]``."""
        return float(self.cmc[0])

    def mAP_interval(  # noqa: N802 - the name of the field
        self, *, confidence: float = 0.95, num_resamples: int = 2000, seed: int = 0
    ) -> tuple[float, float]:
        """Bootstrap interval of the mAP over identities.

        Queries of one person are not independent, so whole persons are drawn with replacement,
        each with all of its valid queries (percentile interval).

        Args:
            confidence: Between 0 and 1.
            num_resamples: How many data sets are drawn.
            seed: Of the draw; the same seed gives the same interval.

        Returns:
            The lower and the upper end. With a single identity both are the mAP.

        Raises:
            InputError: An argument is out of range.
        """
        return _bootstrap(self.query_pids, self.average_precision, confidence, num_resamples, seed)

    def mAP_gain(  # noqa: N802 - the name of the field
        self,
        baseline: EvaluationReport,
        *,
        confidence: float = 0.95,
        num_resamples: int = 2000,
        seed: int = 0,
    ) -> tuple[float, float, float]:
        """Return the gain in mAP over another encoder on the same queries, with its interval.

        Both answer the same queries, hard ones and easy ones alike, so their difference is much
        surer than either figure: the interval is of the difference, over identities.

        Args:
            baseline: The other's report, on the same queries and gallery.
            confidence: As in :meth:`mAP_interval`.
            num_resamples: As in :meth:`mAP_interval`.
            seed: As in :meth:`mAP_interval`.

        Returns:
            The difference of the mAPs, and the lower and the upper end of its interval.

        Raises:
            InputError: ``baseline`` is no report, or one on other queries or another gallery,
                or an argument is out of range.
        """
        check_kind(baseline, "baseline", EvaluationReport, "an EvaluationReport")
        same = (
            self.protocol == baseline.protocol
            and self.num_gallery == baseline.num_gallery
            and np.array_equal(self.query_index, baseline.query_index)
            and self.query_pids.tolist() == baseline.query_pids.tolist()
            and np.array_equal(self.num_matches, baseline.num_matches)
        )
        if not same:
            raise InputError(
                "Only reports on the same queries and the same gallery can be compared; got "
                f"{self.num_valid_queries} and {baseline.num_valid_queries} valid queries in "
                f"{self.num_gallery} and {baseline.num_gallery} entries "
                f"({self.protocol} and {baseline.protocol}) that are not the same."
            )
        gains = self.average_precision - baseline.average_precision
        low, high = _bootstrap(self.query_pids, gains, confidence, num_resamples, seed)
        return float(gains.mean()), low, high

    def precision_recall(
        self, *, num_points: int = 100
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Precision at rising recall, the mean over all valid queries.

        Not interpolated: a query's precision at a recall is that at the rank of the match
        which reaches it, so the mean of its steps is its average precision.

        Args:
            num_points: Recalls, evenly spaced, the last of them 1.

        Returns:
            (num_points,) recall, above 0 and rising, and (num_points,) precision.

        Raises:
            InputError: ``num_points`` is below 1.
        """
        num_points = as_count(num_points, "num_points")
        wanted = np.arange(1, num_points + 1)
        ends = np.cumsum(self.num_matches)
        total = np.zeros(num_points)
        for end, count in zip(ends, self.num_matches, strict=True):
            nth = -(-wanted * count // num_points)  # the match that reaches the recall, from 1
            total += nth / self.match_places[end - count + nth - 1]
        return wanted / num_points, total / len(ends)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain numbers, ready for JSON; without the arrays per query."""
        return {
            "mAP": self.mAP,
            "mINP": self.mINP,
            "rank1": self.rank1,
            "cmc": self.cmc.tolist(),
            "num_valid_queries": self.num_valid_queries,
            "num_queries": self.num_queries,
            "num_gallery": self.num_gallery,
            "protocol": self.protocol,
        }

    def __str__(self) -> str:
        ranks = "".join(
            f"  rank-{k} {self.cmc[k - 1]:.1%}" for k in (1, 5, 10) if k <= len(self.cmc)
        )
        return (
            f"mAP {self.mAP:.1%}{ranks}  mINP {self.mINP:.1%}  ({self.protocol}, "
            f"{self.num_valid_queries} of {self.num_queries} queries, gallery {self.num_gallery})"
        )

    def __repr__(self) -> str:
        return f"<EvaluationReport {self}>"

    def _repr_html_(self) -> str:
        """Return the figures and the CMC curve for notebooks."""
        from sanreid.viz.notebook import report_html  # noqa: PLC0415 - when one is shown

        return report_html(self)


def _bootstrap(
    pids: NDArray[Any],
    values: NDArray[np.float64],
    confidence: float,
    num_resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Return the percentile interval of the mean, persons drawn with all of their queries."""
    confidence = as_fraction(confidence, "confidence")
    num_resamples, seed = as_count(num_resamples, "num_resamples"), as_seed(seed)
    numbers: dict[int | str, int] = {}
    person = [numbers.setdefault(pid, len(numbers)) for pid in pids.tolist()]
    queries = np.bincount(person)
    sums = np.bincount(person, weights=values)
    rng = np.random.default_rng(seed)
    persons = len(queries)
    drawn = rng.multinomial(persons, np.full(persons, 1 / persons), size=num_resamples)
    means = (drawn @ sums) / (drawn @ queries)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def joined_report(reports: Sequence[EvaluationReport]) -> EvaluationReport:
    """Make one report of several on disjoint queries: means over all valid queries together.

    Args:
        reports: At least one, of the same protocol and ``max_rank``. ``num_gallery`` becomes the
            largest of theirs, and ``query_index`` stays each one's own.
    """
    weights = np.array([report.num_valid_queries for report in reports], dtype=np.float64)
    weights /= weights.sum()

    def mean(values: Sequence[float]) -> float:
        return float(weights @ np.array(values))

    return EvaluationReport(
        mAP=mean([report.mAP for report in reports]),
        mINP=mean([report.mINP for report in reports]),
        cmc=weights @ np.stack([report.cmc for report in reports]),
        num_valid_queries=sum(report.num_valid_queries for report in reports),
        num_queries=sum(report.num_queries for report in reports),
        num_gallery=max(report.num_gallery for report in reports),
        protocol=reports[0].protocol,
        query_index=np.concatenate([report.query_index for report in reports]),
        query_pids=np.concatenate([report.query_pids for report in reports]),
        average_precision=np.concatenate([report.average_precision for report in reports]),
        num_matches=np.concatenate([report.num_matches for report in reports]),
        match_places=np.concatenate([report.match_places for report in reports]),
    )
