"""Measuring an encoder on people it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError, DatasetError
from sanreid.metrics import EvaluationReport, evaluate, has_match, joined_report
from sanreid.models import build_sa_enc
from sanreid.train.config import EvaluationSetConfig, SourceConfig, TrainConfig
from sanreid.train.config.loader import load_config, override
from sanreid.train.data import CropStore
from sanreid.train.data.sources import joined_for_evaluation, read_source
from sanreid.train.data.transforms import normalize_crops
from sanreid.train.loop.device import autocast_dtype, resolve_device
from sanreid.train.tools.export import encoder_state, load_run

__all__ = [
    "EvaluationSet",
    "Measurement",
    "embed",
    "evaluate_run",
    "load_sets",
    "measure",
    "measure_all",
]


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


@dataclass(frozen=True, slots=True)
class Measurement:
    """One set's figures, fractions."""

    mAP: float  # noqa: N815 - the name everyone knows
    mAP_low: float  # noqa: N815 - lower end of the 95 % bootstrap interval over identities
    mAP_high: float  # noqa: N815 - its upper end
    mINP: float  # noqa: N815
    rank1: float
    rank5: float
    num_queries: int

    @classmethod
    def of(cls, report: EvaluationReport) -> Self:
        """Take what a log shows out of a report."""
        low, high = report.mAP_interval()
        return cls(
            mAP=report.mAP,
            mAP_low=low,
            mAP_high=high,
            mINP=report.mINP,
            rank1=report.rank1,
            rank5=float(report.cmc[min(4, len(report.cmc) - 1)]),
            num_queries=report.num_valid_queries,
        )

    def to_dict(self) -> dict[str, float]:
        """Give plain values, rounded to six places."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


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
        _splits(one)  # an hour later is too late to find out that nobody can be found
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


@torch.inference_mode()
def embed(
    encoder: nn.Module,
    images: Tensor,
    config: EncoderConfig,
    *,
    device: torch.device,
    autocast: torch.dtype | None = None,
    batch_size: int = 64,
    flip: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> NDArray[np.float32] | None:
    """Embed uint8 crops (N, 3, H, W) with an encoder in ``eval()``; rows are not normalised.

    Returns:
        (N, D), or None when ``stop()`` became true on the way.
    """
    rows = []
    for begin in range(0, len(images), batch_size):
        if stop():
            return None
        pixels = images[begin : begin + batch_size].to(device)
        crops = normalize_crops(pixels, mean=config.mean, std=config.std)
        crops = crops.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            embeddings = encoder(crops).embedding
            if flip:
                embeddings = embeddings + encoder(crops.flip(3)).embedding
        rows.append(embeddings.float().cpu())
    return torch.cat(rows).numpy()


def measure(embeddings: NDArray[np.float32], one: EvaluationSet) -> EvaluationReport:
    """Evaluate the embeddings of a set's crops, as its configuration says.

    Raises:
        DatasetError: No query has a match.
    """
    reports = [
        evaluate(
            embeddings[query],
            one.pids[query],
            one.camids[query],
            embeddings[gallery],
            one.pids[gallery],
            one.camids[gallery],
            protocol=one.config.protocol,
        )
        for query, gallery in _splits(one)
    ]
    return joined_report(reports)


def _splits(one: EvaluationSet) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Give the masks of queries and of the gallery they search; of those with an answer."""
    query = _queries(one)
    if one.config.query_sources or one.config.gallery == "rest":
        splits = [(query, ~query)]
    elif one.config.gallery == "all":
        splits = [(query, np.ones_like(query))]
    else:
        cameras = np.unique(one.camids)
        splits = [(query & (one.camids == c), one.camids != c) for c in cameras]
    answered = [
        (asked, searched)
        for asked, searched in splits
        if has_match(one.pids[asked], one.camids[asked], one.pids[searched], one.camids[searched])
    ]
    if not answered:
        raise DatasetError(
            f"Evaluation set {one.config.name!r}: no query has a match, because nobody in it "
            f"was seen by two cameras ({len(np.unique(one.pids))} people, "
            f"{len(np.unique(one.camids))} cameras, {int(query.sum())} queries). Are the "
            "file names read by the right scheme (names = ...)?"
        )
    return answered


def _queries(one: EvaluationSet) -> NDArray[np.bool_]:
    if one.config.query_sources:
        return np.arange(len(one.pids)) < one.num_queries
    if one.config.queries == "all":
        return np.ones(len(one.pids), dtype=bool)
    pairs = np.stack([one.pids, one.camids], axis=1)
    first = np.unique(pairs, axis=0, return_index=True)[1]  # the first of each, in file order
    chosen = np.zeros(len(one.pids), dtype=bool)
    chosen[first] = True
    return chosen


def evaluate_run(
    folder: Path,
    *,
    which: str = "best",
    overrides: Sequence[str] = (),
    sets: str | Path | None = None,
) -> dict[str, EvaluationReport]:
    """Measure a run's encoder on its evaluation sets.

    Args:
        folder: The run's folder.
        which: ``"best"`` or ``"last"``.
        overrides: Changes of the run's configuration, as ``--set`` takes them.
        sets: A configuration, or another run's folder, whose evaluation sets to take in place
            of the run's own.

    Raises:
        ConfigError: There is no evaluation set.
        DatasetError: Crops are missing, or no query of a set has a match.
        TrainingError: The folder is no run, or has no such checkpoint yet.
    """
    config, state = load_run(folder, which=which)
    if sets is not None:
        other = Path(sets)
        theirs = load_run(other, which=which)[0] if other.is_dir() else load_config(sets)
        measured = replace(config.evaluation, sets=theirs.evaluation.sets)  # flip stays the run's
        config = replace(config, evaluation=measured)
    config = override(config, overrides)
    if not config.evaluation.sets:
        raise ConfigError(
            f"{sets or folder} has no evaluation sets, so there is nothing to measure: name a "
            "configuration that has some, --sets CONFIG."
        )
    device = resolve_device(config.run.device)
    encoder = build_sa_enc(config.encoder)
    encoder.load_state_dict(encoder_state(state))
    encoder.to(device).to(memory_format=torch.channels_last)
    found = measure_all(encoder, load_sets(config.evaluation.sets, config.encoder.input_size),
                        config, device=device)  # fmt: skip
    return found or {}


def measure_all(
    encoder: nn.Module,
    sets: Sequence[EvaluationSet],
    config: TrainConfig,
    *,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, EvaluationReport] | None:
    """Embed the crops of every set, each crop once, and evaluate; leaves ``encoder`` in eval().

    Returns:
        The reports by the sets' names, or None when ``stop()`` became true on the way.
    """
    encoder.eval()
    embedded: dict[int, NDArray[np.float32]] = {}
    for one in sets:
        if id(one.images) in embedded:
            continue
        embeddings = embed(
            encoder,
            one.images,
            config.encoder,
            device=device,
            autocast=autocast_dtype(config),
            batch_size=config.evaluation.batch_size,
            flip=config.evaluation.flip,
            stop=stop,
        )
        if embeddings is None:
            return None
        embedded[id(one.images)] = embeddings
    return {one.config.name: measure(embedded[id(one.images)], one) for one in sets}
