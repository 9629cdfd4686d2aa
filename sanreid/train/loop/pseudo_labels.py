"""Clusters as the people of an epoch: made again from the embeddings of the network so far.

Source: the alternation of clustering and learning follows Ge et al., "Self-paced Contrastive
Learning with Hybrid Memory for Domain Adaptive Object Re-ID", NeurIPS 2020, arXiv:2006.02713,
and Wang et al., "Camera-aware Proxies for Unsupervised Person Re-Identification", AAAI 2021,
arXiv:2012.10674. Camera means are taken out before the clustering, and the memory of the
cross-camera loss begins each epoch with the mean embeddings of the clusters under each camera.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.clustering import Clustering, cluster_identities
from sanreid.errors import TrainingError
from sanreid.metrics import evaluate_clustering
from sanreid.metrics.vectors import unit_rows
from sanreid.train import runtime
from sanreid.train.config import TrainConfig
from sanreid.train.data.cluster_batches import ClusterBatches
from sanreid.train.data.map_batches import MapBatches
from sanreid.train.evaluation.measuring import embed
from sanreid.train.loop.learner import Learner
from sanreid.train.networks.initialization import start_size

__all__ = ["PseudoLabels"]

logger = logging.getLogger(__name__)


class PseudoLabels:
    """The clusters of a run, which its batches and its memory follow.

    Args:
        config: The run's configuration.
        batches: The crops.
        learner: The network that embeds them.

    Attributes:
        epoch: The epoch that the present clusters are for; -1: there are none yet.
        settled: Whether the last clustering agreed with the one before.
        history: For each epoch ``epoch``, ``clusters``, ``across_cameras`` (clusters that two
            cameras have seen), ``largest`` (crops in the largest), ``alone`` (share of crops in
            no cluster) and ``agreement`` (adjusted mutual information with the clusters before;
            -1 for the first).
    """

    def __init__(self, config: TrainConfig, batches: ClusterBatches, learner: Learner) -> None:
        self.epoch = -1
        self.settled = False
        self.history: list[dict[str, float]] = []
        self._config = config
        self._batches = batches
        self._learner = learner
        self._labels: NDArray[np.int64] | None = None

    def make(self, epoch: int, stop: Callable[[], bool]) -> bool:
        """Cluster the crops for ``epoch``; return False if ``stop()`` became true meanwhile.

        Raises:
            TrainingError: There is too little to learn from: the clusters are fewer than a batch
                takes, or none of them spans two cameras.
        """
        found = self._embedded(epoch, stop)
        if found is None or stop():
            return False
        rows = unit_rows(found, "embeddings")
        clustering = cluster_identities(
            rows,
            camids=self._batches.store.camids.numpy(),
            tracklets=self._batches.tracklets,
            threshold=self._config.clusters.threshold or None,
        )
        self._check(clustering, epoch)
        self._record(clustering, epoch)
        self._take(clustering.labels)
        assert self._batches.proxy_pids is not None  # noqa: S101 - crops have people
        means = self._batches.proxy_means(rows)
        self._learner.objective.restart(self._batches.proxy_pids, means)
        self.epoch = epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` takes."""
        labels = None if self._labels is None else torch.from_numpy(self._labels)
        return {
            "labels": labels,
            "epoch": self.epoch,
            "settled": self.settled,
            "history": self.history,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the clusters of a checkpoint, before the states of the losses."""
        self.epoch, self.settled = state["epoch"], state["settled"]
        self.history = [dict(row) for row in state["history"]]
        if state["labels"] is None:
            return
        self._take(state["labels"].numpy())
        assert self._batches.proxy_pids is not None  # noqa: S101 - crops have people
        zeros = torch.zeros(len(self._batches.proxy_pids), self._config.encoder.embedding_dim)
        self._learner.objective.restart(self._batches.proxy_pids, zeros)

    def _embedded(self, epoch: int, stop: Callable[[], bool]) -> NDArray[np.float32] | None:
        encoder = self._learner.averaged.encoder.eval()
        if isinstance(self._batches, MapBatches):
            with torch.inference_mode():
                return np.asarray(encoder(self._batches.rows).embedding.cpu().numpy())
        size = self._config.size_after(epoch) if epoch else start_size(self._config)
        return embed(
            encoder,
            self._batches.store.images,
            self._config.at_size(size).encoder,
            device=self._learner.device,
            autocast=runtime.autocast_dtype(self._config, self._learner.device),
            batch_size=self._config.evaluation.batch_size,
            flip=self._config.evaluation.flip,
            stop=stop,
        )

    def _take(self, labels: NDArray[np.int64]) -> None:
        self._labels = labels
        self._batches.relabel(labels)
        self._batches.training_data[0] |= {"identities": int(labels.max()) + 1}

    def _record(self, clustering: Clustering, epoch: int) -> None:
        labels, before = clustering.labels, self._labels
        agreement = -1.0
        if before is not None:
            # Crops that were in no cluster are people of their own, not junk.
            pids = np.where(before < 0, len(before) + np.arange(len(before)), before)
            agreement = evaluate_clustering(labels, pids).adjusted_mutual_information
        self.settled = agreement >= self._config.clusters.settled
        row = {
            "epoch": epoch,
            "clusters": len(clustering),
            "across_cameras": sum(len(cameras) > 1 for cameras in clustering.cameras),
            "largest": int(np.bincount(labels[labels >= 0]).max()),
            "alone": round(clustering.num_alone / len(labels), 4),
            "agreement": round(agreement, 4),
        }
        self.history.append(row)
        logger.info(
            "epoch %d: %d clusters, %d of them under several cameras, the largest of %d crops, "
            "%.1f %% of the crops in none%s%s", epoch + 1, row["clusters"],
            row["across_cameras"], row["largest"], 100 * row["alone"],
            "" if before is None else f", agreement with the clusters before {agreement:.3f}",
            ": they no longer change" if self.settled else "",
        )  # fmt: skip

    def _check(self, clustering: Clustering, epoch: int) -> None:
        p, count = self._config.data.p, len(clustering)
        problem = ""
        if not count:
            problem = "no two crops resemble each other enough to be one person"
        elif count == 1:
            problem = "all crops that resemble any other are one person"
        elif count < p:
            problem = f"only {count} groups of crops look like one person each, and a batch takes"
            problem += f" {p} (data.p)"
        elif all(len(cameras) < 2 for cameras in clustering.cameras):
            problem = "nobody seems to have been seen by two cameras"
        if problem:
            raise TrainingError(
                f"There is too little to learn from without labels, in epoch {epoch + 1}: "
                f"{problem} ({len(clustering.labels)} crops, {clustering.num_alone} in no "
                "cluster). Add crops of more people under several cameras; for few people, take "
                "smaller batches (--set data.p=8); or change clusters.threshold, now "
                f"{clustering.threshold:g}: lower joins more."
            )
