"""Batches of embeddings of crops, computed once, for learning a map on them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sanreid.datasets import CropSet
from sanreid.errors import ConfigError
from sanreid.train.config import TeacherConfig, TrainConfig
from sanreid.train.data.batches import Batch, Raw
from sanreid.train.data.cluster_batches import ClusterBatches
from sanreid.train.data.store import CropStore
from sanreid.train.losses.objective import Targets
from sanreid.train.runtime import to_device
from sanreid.train.teacher.embeddings import teacher_embeddings
from sanreid.weights import locate

__all__ = ["MapBatches"]


class MapBatches(ClusterBatches):
    """As :class:`ClusterBatches`, with the embeddings of ``init.weights`` in place of pixels.

    Args:
        config: The run's configuration, with ``clusters.learn = "map"``.
        device: The device of the batches.

    Attributes:
        rows: (N, D) float32, of L2 norm 1.
    """

    rows: Tensor

    def read(self, indices: Tensor, *, number: int) -> Raw:  # noqa: ARG002 - as the base class
        """Return the indices: all embeddings are in memory."""
        return Raw(indices)

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:  # noqa: ARG002 - as above
        """Select the embeddings of a batch."""
        indices = to_device(raw.indices, self.device)
        targets = Targets(self.labels[indices], proxies=self._proxies[indices])
        return Batch(raw.indices, self.rows[indices], targets)

    def _open_store(self, crops: CropSet, config: TrainConfig) -> CropStore:
        theirs = locate(config.init.weights).config
        if theirs != config.encoder:
            raise ConfigError(
                f"clusters.learn = 'map' learns on the embeddings of {config.init.weights}, as it "
                f"is: [encoder] must be {theirs.to_dict()}; got {config.encoder.to_dict()}."
            )
        folder = Path(config.data.cache_dir or Path(config.run.output) / "cache")
        teacher = TeacherConfig(weights=config.init.weights)
        found = teacher_embeddings(teacher, crops, folder)
        self.digest = f"{self.digest} {found.digest}"
        self.rows = found.rows.float().to(self.device)
        return CropStore(torch.zeros(len(crops), 3, 1, 1, dtype=torch.uint8), crops)
