"""Where in a crop the texels of the body are seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.train.pit.dataset import PITDataset

__all__ = ["location_modes", "locations", "mean_locations"]

_PAIRS = 1000  # enough for a mean
_ROUNDS = 10  # of filling in what was not seen


def locations(uv: NDArray[np.float32], *, side: int = 256) -> NDArray[np.float32]:
    """Return where each texel is in a crop.

    Args:
        uv: (H, W, 2) texture coordinates of the crop's pixels, as a :class:`PITSample` has them.
        side: S, the texels along each side of the texture.

    Returns:
        (2, S, S), x and y from -1 at the left and upper edge to 1; NaN where no pixel shows
        the texel. Of several pixels that show one texel the mean counts.
    """
    total, count = _sums(uv, side)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float32] = (total / count).astype(np.float32)
    return found


def mean_locations(pairs: PITDataset) -> NDArray[np.float32]:
    """Return the mean location of each texel over the pairs that show it.

    At most 1,000 pairs are read, spread over the data set. A texel that none of them shows has
    the location of the nearest texel that one does.

    Returns:
        (2, 256, 256), as :func:`locations` returns it, without NaN.

    Raises:
        InputError: No pair shows anyone.
    """
    total, count = np.zeros((2, 256, 256)), np.zeros((256, 256))
    for number in range(0, len(pairs), max(1, len(pairs) // _PAIRS)):
        sums, pixels = _sums(pairs.uv(number), 256)
        shown = pixels > 0
        total[:, shown] += sums[:, shown] / pixels[shown]
        count += shown
    if not count.any():
        raise InputError("No pair shows any texel of a body.")
    with np.errstate(invalid="ignore"):
        mean = (total / count).astype(np.float32)
    return _filled(mean)


def location_modes(pairs: PITDataset, *, count: int, side: int) -> NDArray[np.float32]:
    """Return the main ways in which the locations of all texels differ from their mean.

    They are the principal components over at most 1,000 pairs, spread over the data set. What a
    pair does not show is filled in from the components, which are then computed again.

    Args:
        pairs: The pairs.
        count: How many, at most: there are no more than pairs.
        side: S, the texels along each side of the texture.

    Returns:
        (K, 2, S, S), the largest first, each multiplied by the standard deviation of its
        coefficient.
    """
    step = max(1, len(pairs) // _PAIRS)
    found = np.stack(
        [locations(pairs.uv(number), side=side) for number in range(0, len(pairs), step)]
    ).reshape(-1, 2 * side * side)
    seen = ~np.isnan(found)
    mean = np.where(seen, found, 0).sum(0) / np.maximum(seen.sum(0), 1)
    moved = np.where(seen, found - mean, 0)
    filled = moved
    for _ in range(_ROUNDS):
        coefficients, deviations, modes = np.linalg.svd(filled, full_matrices=False)
        known = (coefficients[:, :count] * deviations[:count]) @ modes[:count]
        filled = np.where(seen, moved, known)
    scaled = modes[:count] * (deviations[:count, None] / len(found) ** 0.5)
    return np.ascontiguousarray(scaled.reshape(-1, 2, side, side), np.float32)


def _sums(uv: NDArray[np.float32], side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the locations of each texel's pixels, and how many there are."""
    height, width = uv.shape[:2]
    rows, columns = np.nonzero(uv[..., 0] >= 0)
    u, v = (np.minimum(uv[rows, columns, n] * side, side - 1).astype(np.int64) for n in (0, 1))
    texels = v * side + u
    total = np.stack([
        np.bincount(texels, (2 * at + 1) / size - 1, minlength=side * side).astype(np.float64)
        for at, size in ((columns, width), (rows, height))
    ])  # fmt: skip
    count = np.bincount(texels, minlength=side * side).astype(np.float64)
    return total.reshape(2, side, side), count.reshape(side, side)


def _filled(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let values grow into the texels without one, ring by ring."""
    while (lacking := np.isnan(found[0])).any():
        padded = np.pad(found, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
        around = np.stack(
            [padded[:, 1 + y : 257 + y, 1 + x : 257 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)]
        )
        known = ~np.isnan(around)
        sums, counts = np.where(known, around, 0).sum(0), known.sum(0)
        grows = lacking & (counts[0] > 0)
        found[:, grows] = (sums / np.maximum(counts, 1))[:, grows]
    return found
