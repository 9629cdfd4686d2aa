"""What clustering returns: who belongs together, how surely, and where and when they were seen."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.arrays import plain, shown
from sanreid.utils.words import counted

__all__ = ["Clustering"]


@dataclass(frozen=True, slots=True, eq=False)
class Clustering:
    """Groups of crops, each taken for one person. N crops, K clusters.

    Attributes:
        labels: (N,) int64, the cluster of each crop, from 0 in the order of their first crops; -1:
            in no cluster.
        confidence: (N,) float32, 0 to 1. 0: another cluster is as near as the crop's own; 1:
            nothing else is near. For a crop in no cluster it is how surely it joins none.
        medoids: (K,) int64, the row of each cluster's most typical crop.
        cameras: K tuples of cameras, numbers rising, then names; empty where no camids were
            given.
        times: (K, 2) float64, seconds of each cluster's first and last crop; NaN where no
            timestamps were given.
        threshold: The mean similarity down to which clusters were joined.
        images: N pictures of the crops, which notebooks and sheets show: paths where a gallery's
            entries have them, or those of :meth:`with_images`. None where none are known.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    medoids: NDArray[np.int64]
    cameras: tuple[tuple[int | str, ...], ...]
    times: NDArray[np.float64]
    threshold: float
    images: tuple[Any, ...] | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.medoids)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(K,) crops of each cluster."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self)).astype(np.int64)

    @property
    def num_alone(self) -> int:
        """Crops that are in no cluster."""
        return int((self.labels < 0).sum())

    def members(self, cluster: int) -> NDArray[np.int64]:
        """Return the rows of one cluster, the surest first.

        Raises:
            InputError: There is no cluster of this number.
        """
        if not len(self):
            raise InputError("There are no clusters: every crop is alone.")
        number = plain(cluster)
        if not isinstance(number, int) or not 0 <= number < len(self):
            raise InputError(f"Clusters are numbered 0 to {len(self) - 1}; got {shown(cluster)}.")
        rows = np.flatnonzero(self.labels == number)
        return rows[np.argsort(-self.confidence[rows], kind="stable")]

    def with_images(self, images: Sequence[Any]) -> Self:
        """Return the same clustering with the pictures of its crops, which notebooks show.

        Args:
            images: N crops in the order of the labels, anything that ``SANEncoder.encode`` takes;
                None where there is none. They are read when they are shown.

        Raises:
            InputError: There is not one per crop.
        """
        if isinstance(images, (str, bytes)) or not isinstance(images, Sized):
            raise InputError(
                f"images must be one per crop, a sequence; got {type(images).__name__}."
            )
        if len(images) != len(self.labels):
            got = counted(len(images), "image", "images")
            raise InputError(f"images must be one per crop: {self._crops()}, {got}.")
        return replace(self, images=tuple(images))

    def _repr_html_(self) -> str:
        """Return a row of crops per cluster for notebooks; every value is escaped."""
        from sanreid.viz.notebook import clustering_html  # noqa: PLC0415 - when one is shown

        return clustering_html(self)

    def __repr__(self) -> str:
        return (
            f"<Clustering of {self._crops()}: {counted(len(self), 'cluster', 'clusters')}, "
            f"{self.num_alone} alone, threshold {self.threshold:g}>"
        )

    def _crops(self) -> str:
        return counted(len(self.labels), "crop", "crops")
