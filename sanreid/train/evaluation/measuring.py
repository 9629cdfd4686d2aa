"""Measuring an encoder on evaluation sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sanreid.cameras import CameraNormalizer
from sanreid.config import EncoderConfig
from sanreid.metrics import EvaluationReport, evaluate, joined_report
from sanreid.train.config import TrainConfig
from sanreid.train.data.transforms import resize_crops
from sanreid.train.evaluation.sets import EvaluationSet, splits
from sanreid.train.networks.normalization import normalize_crops
from sanreid.train.runtime import autocast_dtype

__all__ = ["Measurement", "embed", "measure", "measure_all"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one set, as fractions."""

    mAP: float  # noqa: N815 - the name everyone knows
    mAP_low: float  # noqa: N815 - lower end of the 95 % bootstrap interval over identities
    mAP_high: float  # noqa: N815 - its upper end
    mINP: float  # noqa: N815
    rank1: float
    rank5: float
    num_queries: int

    @classmethod
    def of(cls, report: EvaluationReport) -> Self:
        """Extract what a log shows from a report."""
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
        """Return plain values, rounded to six decimals."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


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
    """Embed uint8 crops (N, 3, H, W) with an encoder in ``eval()``; rows are not normalized.

    Crops of another size than ``config.input_size`` are resized to it.

    Returns:
        (N, D), or None if ``stop()`` became true meanwhile.
    """
    rows = []
    for begin in range(0, len(images), batch_size):
        if stop():
            return None
        pixels = images[begin : begin + batch_size].to(device)
        pixels = resize_crops(pixels, config.input_size)
        crops = normalize_crops(pixels, mean=config.mean, std=config.std)
        crops = crops.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            embeddings = encoder(crops).embedding
            if flip:
                embeddings = embeddings + encoder(crops.flip(3)).embedding
        rows.append(embeddings.float().cpu())
    return torch.cat(rows).numpy()


def measure(embeddings: NDArray[np.float32], one: EvaluationSet) -> EvaluationReport:
    """Evaluate the embeddings of the crops of a set, as its configuration says.

    Raises:
        DatasetError: No query has a match.
        InputError: The set wants camera normalisation and has one camera.
    """
    if one.config.camera_norm:
        embeddings = CameraNormalizer.fit(embeddings, one.camids)(embeddings, one.camids)
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
        for query, gallery in splits(one)
    ]
    return joined_report(reports)


def measure_all(
    encoder: nn.Module,
    sets: Sequence[EvaluationSet],
    config: TrainConfig,
    *,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, EvaluationReport] | None:
    """Embed the crops of every set, each crop once, and evaluate; ``encoder`` is left in eval().

    Args:
        encoder: Maps normalized crops to embeddings.
        sets: The sets, with their crops.
        config: Gives the size that the encoder reads, normalization and precision.
        device: The device of the encoder.
        stop: Called between batches.

    Returns:
        The reports by the names of the sets, or None if ``stop()`` became true meanwhile.
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
            autocast=autocast_dtype(config, device),
            batch_size=config.evaluation.batch_size,
            flip=config.evaluation.flip,
            stop=stop,
        )
        if embeddings is None:
            return None
        embedded[id(one.images)] = embeddings
    return {one.config.name: measure(embedded[id(one.images)], one) for one in sets}
