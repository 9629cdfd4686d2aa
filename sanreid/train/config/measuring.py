"""What a run is evaluated on, and when."""

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
    """One evaluation on people that the training has not seen.

    Args:
        name: Its name in the log.
        sources: Its crops; identities of different sources are different people.
        query_sources: The queries, if the data has a separate split for them; then ``sources``
            is the gallery, including distractors, equal pids are the same person, and
            ``queries`` and ``gallery`` are ignored.
        protocol: ``"market1501"`` or ``"cuhk03"``, as ``sanreid.evaluate`` takes it.
        queries: ``"first_of_camera"``: the first crop of each camera of each identity;
            ``"all"``: every crop is a query in turn.
        gallery: ``"rest"``: the crops that are not queries; ``"all"``: every crop;
            ``"other_cameras"``: for each query, only the crops of all other cameras. In every
            case the same person under the query's camera is ignored (Market-1501's rule).
        camera_norm: Take each camera's mean out of the embeddings first, by
            :class:`sanreid.CameraNormalizer` fitted to all crops of the set.
    """

    name: str
    sources: tuple[SourceConfig, ...]
    query_sources: tuple[SourceConfig, ...] = ()
    protocol: Literal["market1501", "cuhk03"] = "market1501"
    queries: Literal["first_of_camera", "first-per-camera", "all"] = "first_of_camera"
    gallery: Literal["rest", "all", "other_cameras", "cross-camera"] = "rest"
    camera_norm: bool = False

    def __post_init__(self) -> None:
        require(bool(self.sources), f"evaluation set {self.name!r} has no sources.")
        require(
            bool(self.query_sources) or not (self.queries == "all" and self.gallery == "rest"),
            f"evaluation set {self.name!r}: with queries = 'all' no crop is left for "
            "gallery = 'rest'; use 'all' or 'other_cameras'.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """When and how the embeddings are evaluated.

    Args:
        sets: The evaluation sets; the mAP on the first one selects the best checkpoint.
        every: Epochs between evaluations; the last epoch is always evaluated; 0: only the last.
        at_start: Also evaluate before the first step.
        batch_size: Crops per batch.
        flip: Average each embedding with that of the mirrored crop.
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
        require(len(set(names)) == len(names), f"Two evaluation.sets have the same name: {names}.")
