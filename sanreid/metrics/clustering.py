"""How well a clustering finds people: pairwise and BCubed figures, adjusted mutual information.

Sources: BCubed, Bagga and Baldwin, "Entity-Based Cross-Document Coreferencing Using the Vector
Space Model", COLING 1998; Amigo et al., "A comparison of extrinsic clustering evaluation metrics
based on formal constraints", Information Retrieval 12, 2009. Adjusted mutual information, Vinh,
Epps and Bailey, JMLR 11, 2010, is scikit-learn's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.metrics.checks import as_array, check_unmasked
from sanreid.metrics.labels import JUNK
from sanreid.utils.arrays import plain_values, wrong_value
from sanreid.utils.extras import require_extra
from sanreid.utils.words import counted

__all__ = ["ClusteringReport", "evaluate_clustering"]


@dataclass(frozen=True, slots=True)
class ClusteringReport:
    """How well clusters and people agree; fractions between 0 and 1.

    Attributes:
        pairwise_precision: Of the pairs of crops in one cluster, those of one person.
        pairwise_recall: Of the pairs of crops of one person, those in one cluster.
        pairwise_f1: The harmonic mean of both.
        bcubed_precision: The mean, over crops, of the share of its cluster that is its person.
        bcubed_recall: The mean, over crops, of the share of its person that is in its cluster.
        bcubed_f1: The harmonic mean of both.
        adjusted_mutual_information: 1 when they agree, about 0 for a clustering by chance.
        num_clusters: Clusters of at least two crops.
        num_alone: Crops in no cluster.
        num_people: People among the crops.
        num_crops: Crops that were counted.
    """

    pairwise_precision: float
    pairwise_recall: float
    pairwise_f1: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f1: float
    adjusted_mutual_information: float
    num_clusters: int
    num_alone: int
    num_people: int
    num_crops: int

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain numbers, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"pairwise F1 {self.pairwise_f1:.3f} (precision {self.pairwise_precision:.3f}, "
            f"recall {self.pairwise_recall:.3f})  BCubed F1 {self.bcubed_f1:.3f}  "
            f"AMI {self.adjusted_mutual_information:.3f}  "
            f"{counted(self.num_clusters, 'cluster', 'clusters')} and {self.num_alone} alone, "
            f"{counted(self.num_people, 'person', 'people')}, "
            f"{counted(self.num_crops, 'crop', 'crops')}"
        )

    def __repr__(self) -> str:
        return f"<ClusteringReport {self}>"


def evaluate_clustering(labels: ArrayLike, pids: ArrayLike) -> ClusteringReport:
    """Compare a clustering with the people that the crops really show.

    Args:
        labels: (N,) int, the cluster of each crop; -1: in none, counted as a cluster of its own.
        pids: (N,) int or str. Crops with None or -1 (junk, as a text too) are not counted; leave
            distractors out before.

    Returns:
        The report. Where no two crops are in one cluster, the pairwise precision is 1: nothing
        was joined wrongly; where no person has two crops, the pairwise recall is 1.

    Raises:
        InputError: Lengths that differ, labels that are no whole numbers of at least -1, pids
            that are no int, str or None, or no crop that counts.
        MissingExtraError: The extra ``cluster`` is not installed.

    >>> report = evaluate_clustering([0, 0, 1, -1], [7, 7, 8, 8])
    >>> report.pairwise_precision, report.pairwise_recall, report.bcubed_recall
    (1.0, 0.5, 0.75)
    """
    if hasattr(labels, "labels"):
        raise InputError("labels are those of a clustering: pass its .labels, not the clustering.")
    clusters = _checked_labels(labels)
    people, known = _checked_pids(pids, len(clusters))
    clusters, people = clusters[known], people[known]
    if not len(people):
        raise InputError("No crop has a pid, so there is nothing to compare.")
    single = clusters < 0
    clusters[single] = clusters.max(initial=0) + 1 + np.arange(single.sum())
    _, cluster, cluster_sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    person_sizes = np.bincount(people)
    _, group, sizes = np.unique(
        cluster * len(person_sizes) + people, return_inverse=True, return_counts=True
    )
    together = sizes[group]  # (N,) crops that share the crop's cluster and its person

    joined, real, right = (_pairs(each) for each in (cluster_sizes, person_sizes, sizes))
    pairwise = (right / joined if joined else 1.0, right / real if real else 1.0)
    bcubed = (
        float((together / cluster_sizes[cluster]).mean()),
        float((together / person_sizes[people]).mean()),
    )
    sklearn_metrics = require_extra(
        "sklearn.metrics", purpose="evaluate_clustering", install="sanreid[cluster]"
    )
    return ClusteringReport(
        *(*pairwise, _f1(*pairwise)),
        *(*bcubed, _f1(*bcubed)),
        adjusted_mutual_information=float(
            sklearn_metrics.adjusted_mutual_info_score(people, cluster)
        ),
        num_clusters=int((cluster_sizes > 1).sum()),
        num_alone=int((cluster_sizes == 1).sum()),
        num_people=len(person_sizes),
        num_crops=len(people),
    )


def _pairs(sizes: NDArray[np.int64]) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _f1(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """(N,) from 0, or -1: numbers are replaced by their ranks, so that any size will do."""
    values = as_array(labels, "labels")
    check_unmasked(values, "labels")
    if values.shape == (0,):
        values = np.zeros(0, dtype=np.int64)  # NumPy takes [] for floats
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(
            f"labels are whole numbers, one per crop; got shape {values.shape} of {values.dtype}."
        )
    if (values < -1).any():
        raise InputError(f"labels are -1 (alone) or cluster numbers from 0; got {values.min()}.")
    ranks = np.unique(values, return_inverse=True)[1]
    return np.where(values == -1, -1, ranks).astype(np.int64)


def _checked_pids(pids: ArrayLike, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(N,) numbers of people from 0, and which crops have one."""
    values = plain_values(pids, "pids")
    if len(values) != count:
        raise InputError(f"pids need one value per label, {count} in all; got {len(values)}.")
    numbers: dict[int | str, int] = {}
    people = np.zeros(count, dtype=np.int64)
    known = np.ones(count, dtype=np.bool_)
    for row, pid in enumerate(values):
        if isinstance(pid, bool) or not isinstance(pid, (int, str, type(None))):
            raise wrong_value("pids", "int, str or None", row, pid)
        if pid in (None, JUNK, str(JUNK)):
            known[row] = False
            continue
        people[row] = numbers.setdefault(pid, len(numbers))
    return people, known
