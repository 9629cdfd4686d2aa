"""The mean embeddings of a gallery's cameras: fitted to its entries, and how far they move."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.datasets.cameras import named
from sanreid.errors import InputError
from sanreid.gallery.store import Store
from sanreid.gallery.validation import NO_CAMID
from sanreid.utils.arguments import as_fraction
from sanreid.utils.arrays import shown

__all__ = ["check_normalizer", "fit_to_entries", "means_moved", "normalized"]

_FITTED = 1 << 18  # entries that means are fitted to at most
_BATCH = 8192


def fit_to_entries(store: Store, shrinkage: float | Literal["auto"]) -> CameraNormalizer:
    """Fit a normalizer to the entries of a store, to a sample of very many.

    Raises:
        InputError: They come from fewer than two cameras, or the shrinkage is out of range.
    """
    if not isinstance(shrinkage, str):
        shrinkage = as_fraction(shrinkage, "shrinkage")
    count = len(store)
    size = min(count, _FITTED)
    chosen = np.arange(count)
    if size < count:
        chosen = np.sort(np.random.default_rng(0).choice(count, size, replace=False))
    embeddings, camids = np.empty((size, store.dim), np.float32), np.empty(size, np.int64)
    first = filled = 0
    for batch in store.scan(_BATCH):
        low, high = np.searchsorted(chosen, [first, first + len(batch.camids)])
        inside = chosen[low:high] - first
        end = filled + len(inside)
        embeddings[filled:end], camids[filled:end] = batch.embeddings[inside], batch.camids[inside]
        first, filled = first + len(batch.camids), end
    cameras = np.unique(camids[:filled])
    cameras = cameras[cameras != NO_CAMID]
    if not len(cameras):
        raise InputError("Camera normalisation needs entries with camids; this gallery has none.")
    if len(cameras) == 1:
        (camera,) = named(cameras.tolist(), store.settings.camera_names)
        raise InputError(
            "Camera normalisation compares cameras, so it needs entries of at least two; got 1 "
            f"({camera})."
        )
    fitted = CameraNormalizer.fit(embeddings[:filled], camids[:filled], shrinkage=shrinkage)
    return fitted.with_names(store.settings.camera_names)


def means_moved(store: Store) -> float | None:
    """Return how far the means in use lie from those of the entries now, at most.

    It is the longest difference of two means over the cameras, in [0, 2), fitted with the same
    shrinkage; None where cameras are not normalised or no means can be fitted.
    """
    used = store.settings.camera_normalizer
    if used is None:
        return None
    try:
        now = fit_to_entries(store, used.shrinkage)
    except InputError:
        return None
    moved = now.means[:-1] - used.means[used.mean_rows(now.camids, len(now.camids))]
    return float(np.linalg.norm(moved, axis=1).max())


def normalized(
    embeddings: NDArray[np.float32],
    camids: NDArray[np.int64] | None,
    normalizer: CameraNormalizer | None,
) -> NDArray[np.float32]:
    """Return embeddings as a gallery with this normalizer compares them."""
    if normalizer is None or not len(embeddings):
        return embeddings
    return normalizer(embeddings, np.full(len(embeddings), NO_CAMID) if camids is None else camids)


def check_normalizer(normalizer: Any, dim: int) -> None:  # noqa: ANN401 - as passed
    """Raise InputError unless it is None or a normalizer of ``dim`` dimensions."""
    if normalizer is None:
        return
    if not isinstance(normalizer, CameraNormalizer):
        raise InputError(
            'normalizer must be a CameraNormalizer, "fit", or None to turn it off; '
            f"got {shown(normalizer)}."
        )
    if normalizer.dim != dim:
        raise InputError(
            f"The normalizer has {normalizer.dim} dimensions, this gallery {dim}. Was it fitted "
            "to embeddings of another encoder?"
        )
