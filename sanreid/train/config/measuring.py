"""What a run is measured with, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sanreid.train.config.checks import require
from sanreid.train.config.data import SourceConfig

__all__ = [
    "EvaluationConfig",
    "EvaluationSetConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSetConfig:
    """One measurement on people the training has not seen.

    Args:
        name: What the log calls it.
        sources: Its crops; the identities of different sources are different people.
        query_sources: The queries, where the data has a split of its own for them; then
            ``sources`` is the gallery, distractors and all, equal pids are the same person,
            and ``queries`` and ``gallery`` are not looked at.
        protocol: ``"market1501"`` or ``"cuhk03"``, as ``sanreid.evaluate`` takes it.
        queries: ``"first_of_camera"``: the first crop of each camera of each identity;
            ``"all"``: every crop is a query in turn.
        gallery: ``"rest"``: the crops that are no query; ``"all"``: every crop;
            ``"other_cameras"``: for each query the crops of all other cameras only. In every
            case the same person under the query's camera is left out (Market-1501's rule).
    """

    name: str
    sources: tuple[SourceConfig, ...]
    query_sources: tuple[SourceConfig, ...] = ()
    protocol: Literal["market1501", "cuhk03"] = "market1501"
    queries: Literal["first_of_camera", "all"] = "first_of_camera"
    gallery: Literal["rest", "all", "other_cameras"] = "rest"

    def __post_init__(self) -> None:
        require(bool(self.sources), f"evaluation set {self.name!r} has no sources.")
        require(
            not (self.queries == "all" and self.gallery == "rest"),
            f"evaluation set {self.name!r}: with queries = 'all' nothing is left for "
            "gallery = 'rest'; use 'all' or 'other_cameras'.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """When and how the embeddings are measured.

    Args:
        sets: What is measured; the first one's mAP chooses the best checkpoint.
        every: Epochs between evaluations; the last epoch is always evaluated; 0: only it.
        at_start: Also measure before the first step.
        batch_size: Crops at a time.
        flip: Average the embedding with the mirrored crop's.
    """

    sets: tuple[EvaluationSetConfig, ...] = ()
    every: int = 1
    at_start: bool = True
    batch_size: int = 64
    flip: bool = False

    def __post_init__(self) -> None:
        require(self.every >= 0, f"evaluation.every must be at least 0; got {self.every}.")
        require(
            self.batch_size >= 1,
            f"evaluation.batch_size must be at least 1; got {self.batch_size}.",
        )
        names = [one.name for one in self.sets]
        require(len(set(names)) == len(names), f"evaluation.sets share a name: {names}.")
