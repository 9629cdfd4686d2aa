"""The crops of evaluation sets, and which of them are queries and gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sanreid.errors import DatasetError
from sanreid.metrics.splits import QuerySet, make_query_sets
from sanreid.train.config import EvaluationSetConfig, SourceConfig
from sanreid.train.data.sources import joined_for_evaluation, read_source
from sanreid.train.data.store import CropStore

__all__ = ["EvaluationSet", "load_sets", "splits"]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Decoded crops of one evaluation set.

    With ``query_sources`` the first ``num_queries`` crops are the queries, the rest the gallery.
    """

    config: EvaluationSetConfig
    images: Tensor  # (N, 3, H, W) uint8
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    num_queries: int = 0


def load_sets(
    configs: Sequence[EvaluationSetConfig], size: tuple[int, int]
) -> list[EvaluationSet]:
    """Read and decode the crops of the evaluation sets at the encoder's size.

    Raises:
        DatasetError: Crops are missing, or no query of a set has a match.
    """
    stores: dict[tuple[tuple[SourceConfig, ...], ...], tuple[CropStore, int]] = {}
    for config in configs:  # several sets may share crops
        which = (config.query_sources, config.sources)
        if which not in stores:
            stores[which] = _load(config, size)
    sets = []
    for config in configs:
        store, num_queries = stores[config.query_sources, config.sources]
        crops = store.crops
        one = EvaluationSet(config, store.images, crops.pids, crops.camids, num_queries)
        splits(one)  # an hour later is too late to find out that no query has a match
        sets.append(one)
    return sets


def _load(config: EvaluationSetConfig, size: tuple[int, int]) -> tuple[CropStore, int]:
    if not config.query_sources:
        crops = joined_for_evaluation([read_source(source) for source in config.sources])
        return CropStore.from_crops(crops, size=size), 0
    queries = [read_source(source) for source in config.query_sources]
    gallery = [read_source(source, keep_ignored=True) for source in config.sources]
    crops = joined_for_evaluation([*queries, *gallery], same_people=True)
    return CropStore.from_crops(crops, size=size), sum(len(one) for one in queries)


def splits(one: EvaluationSet) -> list[QuerySet]:
    """Return the queries and the gallery they search, for the splits with a match.

    Raises:
        DatasetError: No query has a match.
    """
    own_queries = bool(one.config.query_sources)
    is_query = np.arange(len(one.pids)) < one.num_queries
    answered = make_query_sets(
        one.pids,
        one.camids,
        queries="all" if own_queries else one.config.queries,
        gallery="rest" if own_queries else one.config.gallery,
        is_person=is_query if own_queries else np.ones(len(one.pids), dtype=bool),
    )
    if not answered:
        seen = np.unique(np.stack([one.pids, one.camids], axis=1), axis=0)
        by_several = len(seen) > len(np.unique(one.pids))
        if by_several and not own_queries and one.config.gallery == "rest":
            raise DatasetError(
                f"Evaluation set {one.config.name!r}: no query has a match, because each person's "
                "first crop under each camera is a query, and no others are left to search. Set "
                'queries = "all" and gallery = "other_cameras".'
            )
        raise DatasetError(
            f"Evaluation set {one.config.name!r}: no query has a match, because nobody in it "
            f"was seen by two cameras ({len(np.unique(one.pids))} people, "
            f"{len(np.unique(one.camids))} cameras). Are the file names read by the right scheme "
            "(names = ...)?"
        )
    return answered
