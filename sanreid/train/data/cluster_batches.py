"""P x K batches of crops without labels: clusters, which change from epoch to epoch, as people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sanreid.datasets import CropSet
from sanreid.errors import ConfigError, DatasetError
from sanreid.train import runtime
from sanreid.train.config import TrainConfig
from sanreid.train.data.crop_batches import CropBatches
from sanreid.train.data.sampling import PKSampler

__all__ = ["ClusterBatches"]

_DEALS = 1000  # of one epoch, at most, before the draws of the next would repeat them


class ClusterBatches(CropBatches):
    """Crops in P x K batches of clusters, once :meth:`relabel` has said which.

    An epoch has as many batches as all crops fill, whatever share of them is in clusters, so that
    the learning rate depends on the step alone.

    Args:
        config: The run's configuration, with ``clusters.enabled``.
        device: The device of the batches.

    Raises:
        DatasetError: There are too few crops or cameras to learn from.
        ConfigError: There are several processes.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.num_classes = 1  # the classifier is not trained
        sources = len(config.data.sources)
        own, others = self.training_data[:sources], self.training_data[sources:]
        self.training_data = [{**_joined(own, self.store.crops), "identities": 0}, *others]
        self._clustered: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    @property
    def tracklets(self) -> list[int] | None:
        """The tracklet of each crop; None where there are none."""
        return self.store.pids.tolist() if self.config.clusters.tracklets else None

    def relabel(self, labels: NDArray[np.int64]) -> None:
        """Take clusters for people.

        Args:
            labels: (N,) int64, the cluster of each crop, -1 for those in none.

        Raises:
            InputError: There are fewer than ``data.p`` clusters.
        """
        clustered = np.flatnonzero(labels >= 0)
        self._sampler: PKSampler = self._dealt(
            labels[clustered], self.store.camids.numpy()[clustered]
        )
        self._clustered = clustered
        self._assign(torch.from_numpy(labels))

    def proxy_means(self, rows: NDArray[np.float32]) -> Tensor:
        """Average embeddings of norm 1 for each proxy; zeros for crops in no cluster.

        Args:
            rows: (N, D) float32.

        Returns:
            (M, D) float32, of the proxies of :attr:`proxy_pids`.
        """
        assert self.proxy_pids is not None  # noqa: S101 - crops have people
        sums = torch.zeros(len(self.proxy_pids), rows.shape[1])
        sums.index_add_(0, self._proxies.cpu(), torch.from_numpy(rows))
        return torch.where(self.proxy_pids[:, None] >= 0, sums, 0)

    def _people(self) -> str:
        return "people found by clustering"

    def epoch(self, epoch: int) -> list[Tensor]:
        """Return the indices of every batch of an epoch."""
        deals = (self._sampler.epoch(epoch * _DEALS + n) for n in range(_DEALS))
        batches = itertools.islice(itertools.chain.from_iterable(deals), self._length)
        return [torch.from_numpy(self._clustered[one.numpy()]) for one in batches]

    def _prepare(self, crops: CropSet) -> None:
        data = self.config.data
        if runtime.world_size() > 1:
            raise ConfigError("clusters.enabled is for one process; start it without torchrun.")
        cameras = np.unique(crops.camids)
        if len(cameras) < 2:
            raise DatasetError(
                "Learning without labels compares what several cameras see, but all "
                f"{len(crops)} crops are of camera {cameras[0]}. Is the camera read rightly from "
                "the file names (--names; in a configuration, names)?"
            )
        if len(crops) < data.p * data.k:
            raise DatasetError(
                f"{len(crops)} crops are too few to learn from without labels: one batch holds "
                f"{data.p} people with {data.k} crops each (data.p, data.k)."
            )
        self._length = max(1, round(len(crops) / (data.p * data.k)))


def _joined(sources: Sequence[dict[str, Any]], crops: CropSet) -> dict[str, Any]:
    """Describe all sources as one: the clusters, which count as identities, are not theirs."""
    names = dict.fromkeys(one["name"] for one in sources)
    cameras = len(np.unique(crops.camids))
    return {
        "name": f"{' and '.join(names)}, without labels, {cameras} cameras; identities: clusters",
        "terms": "; ".join(dict.fromkeys(one["terms"] for one in sources)),
        "crops": len(crops),
    }
