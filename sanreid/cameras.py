"""Camera bias taken out of embeddings: each camera's mean subtracted, shrunk where it is unsure.

Crops of different people under one camera resemble each other by its light, angle and background.
The mean of a camera's embeddings holds much of that, and needs neither labels nor training to be
known. But a mean over few people holds those people too, so each is shrunk by how much of it is
chance.

Source of the shrinkage: James and Stein, "Estimation with Quadratic Loss", 1961, in the empirical
Bayes form of Efron and Morris, "Stein's Estimation Rule and Its Competitors", JASA 1973.

Shapes: N crops, Q queries, C cameras, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.datasets.cameras import NO_CAMID, as_camids, named, read_names
from sanreid.errors import InputError
from sanreid.metrics.vectors import unit_rows
from sanreid.utils.arguments import as_count, as_fraction
from sanreid.utils.vectors import normalize_rows

__all__ = ["CameraNormalizer", "checked_camids"]

Floats = NDArray[np.float32]
Shrinkage = float | Literal["auto"]

_ALIKE = 0.65  # cosine from which on two crops pass for one person when people are counted
_ALIKE_CENTRED = 0.35  # the same once the mean over cameras is taken out
_SAMPLE = 8192  # crops compared to count people, over all cameras
_PER_CAMERA = (16, 512)  # of them at least and at most per camera
_LONGEST = 0.99  # of a mean: no crop is ever equal to what is subtracted from it


class CameraNormalizer:
    """What each camera adds to its embeddings, and how to take it out.

    Made by :meth:`fit` or :meth:`from_dict`. Calling it subtracts each row's camera mean and
    normalises again; a camera it does not know takes the mean over cameras.

    Args:
        camids: (C,) int64, the known cameras, rising; the number that stands for a name instead
            of the name.
        means: (C + 1, D) float32, what is subtracted: one row per camera, the last one for every
            other camera.
        counts: (C,) int64, crops each camera was fitted on.
        shrinkage: What the means were fitted with.
        names: The names of cameras that have one, by their numbers.

    Attributes:
        camids: As given, read-only.
        means: As given, read-only.
        shrinkage: As given.
        names: Of those, the ones of known cameras.

    >>> import numpy as np
    >>> rows, camids = np.eye(4)[[0, 1, 2, 3]] + 0.5, [1, 1, 2, 2]
    >>> normalizer = CameraNormalizer.fit(rows, camids, shrinkage=0.0)
    >>> normalizer.counts
    {1: 2, 2: 2}
    >>> normalizer(rows, camids).round(2)[0]
    array([ 0.71, -0.71,  0.  ,  0.  ], dtype=float32)
    """

    def __init__(
        self,
        camids: NDArray[np.int64],
        means: Floats,
        counts: NDArray[np.int64],
        shrinkage: Shrinkage = "auto",
        names: Mapping[int, str] | None = None,
    ) -> None:
        self.camids, self.means, self._counts = camids.view(), means.view(), counts.view()
        for array in (self.camids, self.means, self._counts):
            array.flags.writeable = False  # a gallery works out from it what it needs, once
        self.shrinkage = shrinkage
        known = names or {}
        self.names = {one: known[one] for one in camids.tolist() if one in known}

    @classmethod
    def fit(
        cls, embeddings: ArrayLike, camids: ArrayLike, *, shrinkage: Shrinkage = "auto"
    ) -> CameraNormalizer:
        """Learn each camera's mean from crops without labels.

        Args:
            embeddings: (N, D) real numbers of any scale; normalised inside.
            camids: (N,) int or a name, the camera of each crop, at least two different ones. None:
                not known; such crops teach nothing.
            shrinkage: Share by which each camera's mean is drawn towards the mean over cameras:
                0 subtracts every camera's own mean, 1 subtracts the same from all. "auto" finds
                it per camera from how many crops and, by their similarities, about how many
                people the camera has seen, beside how far the cameras' means lie apart.
                It then also draws the mean over cameras towards zero. Where cameras differ more
                than people do (infrared beside colour; or an encoder by which two people under
                one camera have a cosine of 0.35 and more beside the mean over cameras), a
                camera's crops pass for few people and little is subtracted: give a number there.

        Raises:
            InputError: A row that is zero, NaN or infinite, camids of another length or kind,
                crops of fewer than two cameras, or a shrinkage out of range.
        """
        rows = unit_rows(embeddings, "embeddings")
        camids, names = read_names(camids)
        column = checked_camids(camids, len(rows))
        shrinkage = _checked_shrinkage(shrinkage)
        known = column != NO_CAMID
        cameras, camera_index, counts = np.unique(
            column[known], return_inverse=True, return_counts=True
        )
        if len(cameras) < 2:
            (camera,) = named(cameras.tolist(), names) or ["none is known"]
            raise InputError(
                "Camera normalisation compares cameras, so it needs crops of at least two; got "
                f"{len(cameras)} ({camera})."
            )
        rows = rows if known.all() else rows[known]
        sums = [
            rows[camera_index == one].sum(axis=0, dtype=np.float64) for one in range(len(cameras))
        ]
        means = np.stack(sums) / counts[:, None]
        centre = means.mean(axis=0)
        if shrinkage == "auto":
            keep, keep_centre = _shares(rows, camera_index, counts, means)
        else:
            keep, keep_centre = np.full(len(cameras), 1.0 - shrinkage), 1.0
        shrunk = keep_centre * centre + keep[:, None] * (means - centre)
        means_of_all = np.vstack([shrunk, shrunk.mean(axis=0)])
        return cls(cameras, _limited(means_of_all), counts, shrinkage, names)

    def __call__(self, embeddings: ArrayLike, camids: ArrayLike) -> Floats:
        """Take each row's camera mean out.

        Args:
            embeddings: (N, D) real numbers of any scale; normalised first.
            camids: (N,) int or a name; a camera that was not fitted, or None, takes the mean over
                cameras.

        Returns:
            (N, D) float32, rows of L2 norm 1. The input is not changed.

        Raises:
            InputError: A row that is zero, NaN or infinite, another number of dimensions, or
                camids of another length or kind.
        """
        rows = self._rows(embeddings)
        rows -= self.means[self.mean_rows(camids, len(rows))]
        return normalize_rows(rows)

    @property
    def counts(self) -> dict[int | str, int]:
        """Crops each camera was fitted on, by camid or name."""
        return dict(zip(self._named_camids(), self._counts.tolist(), strict=True))

    @property
    def dim(self) -> int:
        """D, the number of embedding dimensions."""
        return int(self.means.shape[1])

    def mean_rows(self, camids: ArrayLike, count: int) -> NDArray[np.int64]:
        """Return the row of :attr:`means` for each of ``count`` camids, (N,) from 0 to C.

        Raises:
            InputError: Not ``count`` of them, or neither whole numbers nor names.
        """
        column = checked_camids(camids, count)
        index = np.searchsorted(self.camids, column)
        found = self.camids[np.minimum(index, len(self.camids) - 1)] == column
        return np.where(found, index, len(self.camids))

    def lengths(self, embeddings: ArrayLike, camids: ArrayLike) -> Floats:
        """Return (N,) lengths of the rows once their camera's mean is subtracted.

        With :meth:`offsets` they turn plain dot products into normalised similarities, so that
        stored embeddings can stay as they are:
        ``(q @ x - offsets(q)[row of x's camera]) / lengths(x)``, where ``q`` is a normalised
        query and ``x`` a stored row of norm 1.
        """
        rows = self._rows(embeddings)
        rows -= self.means[self.mean_rows(camids, len(rows))]
        lengths: Floats = np.linalg.norm(rows, axis=1)
        return lengths

    def offsets(self, queries: Floats) -> Floats:
        """Return (Q, C + 1) dot products of normalised queries and :attr:`means`."""
        products: Floats = queries @ self.means.T
        return products

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, names and lists, ready for JSON."""
        return {
            "camids": self._named_camids(),
            "counts": self._counts.tolist(),
            "means": self.means.tolist(),
            "shrinkage": self.shrinkage,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> CameraNormalizer:
        """Read what :meth:`to_dict` returned.

        Raises:
            InputError: A field is missing or wrong, or they do not fit together.
        """
        try:
            known, names = read_names(fields["camids"])
            camids = as_camids(known, len(known), optional=False)
            given = [as_count(count, "counts", least=0) for count in fields["counts"]]
            counts = np.array(given, dtype=np.int64)
            means = np.array(fields["means"], dtype=np.float32)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"This is no camera normaliser: {error!r}.") from error
        fits = (
            camids.ndim == 1
            and len(camids) > 0
            and counts.shape == camids.shape
            and means.ndim == 2
            and means.shape[0] == len(camids) + 1
            and bool((camids[1:] > camids[:-1]).all())  # differences may exceed int64
            and bool((np.linalg.norm(means, axis=1) < 1).all())
        )
        if not fits:
            raise InputError(
                "This is no camera normaliser: it needs rising camids, as many counts, and means "
                f"shorter than 1, one more than cameras; got shapes {camids.shape}, "
                f"{counts.shape}, {means.shape}."
            )
        shrinkage = _checked_shrinkage(fields.get("shrinkage", "auto"))
        return cls(camids, means, counts, shrinkage, names)

    def with_names(self, names: Mapping[int, str]) -> CameraNormalizer:
        """Return the same with names of cameras, by the numbers that stand for them."""
        return CameraNormalizer(self.camids, self.means, self._counts, self.shrinkage, names)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how copies and pickles are made: by the constructor, which locks the arrays."""
        parts = self.camids, self.means, self._counts, self.shrinkage, self.names
        return CameraNormalizer, parts

    def __repr__(self) -> str:
        return f"CameraNormalizer({len(self.camids)} cameras, {int(self._counts.sum())} crops)"

    def _named_camids(self) -> list[int | str]:
        return [self.names.get(one, one) for one in self.camids.tolist()]

    def _rows(self, embeddings: ArrayLike) -> Floats:
        rows = unit_rows(embeddings, "embeddings", least=0)
        if rows.shape[1] != self.dim:
            raise InputError(
                f"embeddings have {rows.shape[1]} dimensions, the normaliser {self.dim}. Were "
                "they made by another encoder?"
            )
        return rows


def _checked_shrinkage(shrinkage: Any) -> Shrinkage:  # noqa: ANN401 - as passed
    if isinstance(shrinkage, str) and shrinkage == "auto":
        return "auto"
    return as_fraction(shrinkage, "shrinkage")


def _shares(
    rows: Floats,
    camera_index: NDArray[np.intp],
    counts: NDArray[np.int64],
    means: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Return how much of each camera's deviation, and of the mean over cameras, is no chance.

    The mean of n independent crops varies by 1/n of what single crops do; of crops of one person,
    as much as one crop does. ``alike`` says how often two crops drawn from two cameras, or
    twice from one, show one person, so ``variance * alike`` is the covariance of the means.
    People count as alike around the mean over cameras, which takes out what all crops share;
    to judge that mean itself they are compared as they are.
    """
    num = len(counts)
    centre = means.mean(axis=0)
    scatter = 1.0 - float((rows.mean(axis=0, dtype=np.float64) ** 2).sum())
    sampled, sizes = _sample(camera_index, counts)

    alike = _alike(rows[sampled] - centre.astype(np.float32), sizes, counts, _ALIKE_CENTRED)
    centring = np.eye(num) - 1.0 / num
    chance = _variance(scatter, alike) * np.maximum(np.diag(centring @ alike @ centring), 1e-9)
    seen = float(((means - centre) ** 2).sum())
    real = max(0.0, (seen - float(chance.sum())) / num)  # mean square of true deviations

    alike = _alike(rows[sampled], sizes, counts, _ALIKE)
    seen = float((centre**2).sum())
    real_centre = max(0.0, seen - _variance(scatter, alike) * float(alike.mean()))
    return real / (real + chance), real_centre / max(seen, 1e-9)


def _variance(scatter: float, alike: NDArray[np.float64]) -> float:
    """Return the variance of single crops of all people, given that of the crops seen."""
    return max(scatter, 1e-9) / max(1.0 - float(alike.mean()), 1e-9)


def _sample(
    camera_index: NDArray[np.intp], counts: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return rows spread evenly over large cameras, camera by camera, and how many each has."""
    fewest, most = _PER_CAMERA
    sizes = np.minimum(counts, min(most, max(fewest, _SAMPLE // len(counts))))
    order = np.argsort(camera_index, kind="stable")
    starts = np.cumsum(counts) - counts
    picked = [
        start + np.arange(size) * count // size
        for start, size, count in zip(starts, sizes, counts, strict=True)
    ]
    return order[np.concatenate(picked)], sizes


def _alike(
    rows: Floats, sizes: NDArray[np.int64], counts: NDArray[np.int64], least: float
) -> NDArray[np.float64]:
    """Return the (C, C) share of pairs of crops with a cosine of at least ``least``.

    Args:
        rows: A sample of crops, camera by camera; of any length above 0.
        sizes: (C,) how many each camera has of them.
        counts: (C,) how many crops each camera has: one paired with itself counts.
        least: The cosine from which on two crops pass for one person.
    """
    directions = normalize_rows(rows, least=1e-6)
    ends = np.cumsum(sizes)
    camera = np.repeat(np.arange(len(sizes)), sizes)
    pairs = np.array(
        [
            np.bincount(
                camera,
                (directions[end - size : end] @ directions.T >= least).sum(axis=0),
                len(sizes),
            )
            for end, size in zip(ends, sizes, strict=True)
        ]
    )
    share: NDArray[np.float64] = pairs / np.outer(sizes, sizes)
    others = np.maximum(np.diag(pairs) - sizes, 0) / np.maximum(sizes * (sizes - 1), 1)
    np.fill_diagonal(share, (1 + (counts - 1) * others) / counts)
    return share


def _limited(means: NDArray[np.float64]) -> Floats:
    """Shorten means of length 1, those of crops that are all the same."""
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    limited: Floats = (means * (_LONGEST / np.maximum(lengths, _LONGEST))).astype(np.float32)
    return limited


def checked_camids(camids: ArrayLike, count: int) -> NDArray[np.int64]:
    """(count,) int64, None as ``NO_CAMID``, which a column of numbers may hold already."""
    if type(camids) is np.ndarray and camids.dtype == np.int64 and camids.shape == (count,):
        return camids
    return as_camids(camids, count)
