"""Which kind of batches a configuration asks for."""

from __future__ import annotations

import torch

from sanreid.train.config import TrainConfig
from sanreid.train.data.batches import Batches
from sanreid.train.data.cluster_batches import ClusterBatches
from sanreid.train.data.crop_batches import CropBatches
from sanreid.train.data.map_batches import MapBatches
from sanreid.train.data.pair_batches import PairBatches

__all__ = ["build_batches"]


def build_batches(config: TrainConfig, device: torch.device) -> Batches:
    """Return pairs for SAN-PG, clusters where labels are not to be used, else crops and people.

    Raises:
        ConfigError: Settings do not fit each other.
        DatasetError: Crops are missing, or too few.
    """
    if config.is_san_pg:
        return PairBatches(config, device)
    if config.clusters.learn == "map":
        return MapBatches(config, device)
    return (ClusterBatches if config.clusters.enabled else CropBatches)(config, device)
