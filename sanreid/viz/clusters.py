"""What is shown of a cluster: which crops, in which order, and in what words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sanreid.utils.words import counted
from sanreid.viz.markup import Mark, who

if TYPE_CHECKING:
    from sanreid.viz.protocols import Clustering, Pid

__all__ = ["DOUBTFUL", "ClusterRow", "ShownCrop", "cluster_row", "people_of"]

DOUBTFUL = 0.5  # the confidence below which a crop is marked


@dataclass(frozen=True, slots=True)
class ShownCrop:
    """One crop of a cluster.

    Attributes:
        row: Its row in the clustering.
        mark: How it is framed.
        confidence: In words.
        person: Likewise; "" if not known.
    """

    row: int
    mark: Mark
    confidence: str
    person: str


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """One cluster, its most typical crop first, then the surest.

    Attributes:
        name: The cluster, in words.
        size: How many crops it has, in words.
        cameras: Which or how many cameras, in words; "" if not known.
        crops: Those that are shown.
    """

    name: str
    size: str
    cameras: str
    crops: list[ShownCrop]


def people_of(clustering: Clustering) -> tuple[Pid, ...] | None:
    """Return the person of each crop that a gallery's clustering proposes; else None."""
    pids: tuple[Pid, ...] | None = getattr(clustering, "pids", None)
    return pids


def cluster_row(
    clustering: Clustering,
    number: int,
    columns: int,
    *,
    doubtful: float = DOUBTFUL,
    pids: list[Pid] | None = None,
) -> ClusterRow:
    """Return what is shown of one cluster.

    Args:
        clustering: That has the cluster.
        number: Of the cluster.
        columns: Crops shown beside the most typical one, at most: of more, half are the surest
            and half the least sure.
        doubtful: Crops with a confidence below this are marked.
        pids: The person of each crop.
    """
    rows = clustering.members(number).tolist()
    typical = int(clustering.medoids[number])
    others = [row for row in rows if row != typical]
    if len(others) > columns:
        surest = columns // 2
        others = others[:surest] + others[len(others) - (columns - surest) :]
    crops = []
    for column, row in enumerate([typical, *others]):
        confidence = float(clustering.confidence[row])
        mark: Mark = "none" if column else "query"
        person = "" if pids is None else who(pids[row], None)[0]
        crops.append(
            ShownCrop(
                row, "doubtful" if confidence < doubtful else mark, f"{confidence:.2f}", person
            )
        )
    cameras = clustering.cameras[number]
    seen = f"{len(cameras)} cams" if len(cameras) > 1 else who(None, *(cameras or [None]))[1]
    return ClusterRow(f"cluster {number}", counted(len(rows), "crop", "crops"), seen, crops)
