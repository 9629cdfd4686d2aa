"""Learning without labels: clusters of the crops in place of people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sanreid.train.config.checks import require

__all__ = ["ClustersConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClustersConfig:
    """Clusters of the crops in place of the identities of their file names.

    Before each epoch all crops are embedded, each camera's mean is taken out, and
    :func:`sanreid.cluster_identities` groups them. The groups are the identities of the epoch,
    crops in none are left out. The run ends early once the clusters no longer change.

    Args:
        enabled: Learn from clusters; the identities of the file names are not used.
        learn: ``"network"``: all of it that is not frozen. ``"map"``: a linear map on the
            embeddings of ``init.weights``, which are computed once and kept in the run's folder;
            it becomes part of the exported head. That needs the head ``"bnneck"``, and no
            evaluation sets: nothing but the crops' embeddings is at hand.
        threshold: As ``cluster_identities`` takes it; 0: its default.
        tracklets: What the file names (or the column ``pid`` of a table) call a person is a
            tracklet: crops of one are one person for certain.
        settled: Adjusted mutual information between the clusters of one epoch and those of the
            epoch before, from which on the run ends; above 1: never.
    """

    enabled: bool = False
    learn: Literal["network", "map"] = "network"
    threshold: float = 0.0
    tracklets: bool = False
    settled: float = 0.98

    def __post_init__(self) -> None:
        require(
            0 <= self.threshold <= 2,
            f"clusters.threshold must be 0 (the default) or at most 2; got {self.threshold}.",
        )
        require(self.settled > 0, f"clusters.settled must be above 0; got {self.settled}.")
