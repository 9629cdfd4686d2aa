"""From a frame and a detector's boxes to crops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError

__all__ = ["EncodedDetections", "crop_boxes"]


class EncodedDetections(NamedTuple):
    """The embeddings of the boxes that could be cropped, and which those were.

    Args:
        embeddings: (M, D) ``float32``.
        kept: (M,) ``int64``, the row of ``boxes`` that each belongs to, ascending.
    """

    embeddings: NDArray[np.float32]
    kept: NDArray[np.int64]


def crop_boxes(
    frame: NDArray[np.uint8], corners: NDArray[np.float64], *, skip: bool = False
) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Cut boxes out of ``frame``, as views.

    A box is widened to whole pixels (left and top down, right and bottom up) and clipped at the
    frame's border.

    Args:
        frame: (H, W, 3).
        corners: (N, 4) x1, y1, x2, y2 in pixels, x2 and y2 exclusive.
        skip: Leave out a box that has no area inside the frame or holds NaN.

    Returns:
        The crops, and the rows of ``corners`` that they are of.

    Raises:
        InputError: All boxes lie within 0 to 1; or a box has no area inside the frame or holds
            NaN, unless ``skip``: the message names its row.
    """
    height, width = frame.shape[:2]
    has_area = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    if has_area.any() and max(height, width) > 2 and ((corners >= 0) & (corners <= 1)).all():
        raise InputError(
            f"All boxes lie within 0 to 1, as coordinates relative to the frame do; wanted "
            f"pixels. Multiply x by {width} and y by {height}."
        )
    limit = np.array([width, height, width, height], dtype=np.float64)
    finite = np.asarray(np.isfinite(corners).all(axis=1))
    clipped = np.clip(np.where(finite[:, None], corners, 0), 0, limit)
    good = finite & (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    if not skip and not good.all():
        row = int(np.argmin(good))
        box = ", ".join(f"{value:g}" for value in corners[row])
        reason = f"has no area inside the frame of {width} x {height} pixels"
        if not finite[row]:
            reason = "holds NaN or infinity"
        turned = finite[row] and (corners[row, 2:] < corners[row, :2]).any()
        hint = " For x, y, width, height: x2 = x + width, y2 = y + height." if turned else ""
        raise InputError(
            f"Box {row} ({box}) {reason}; wanted x1 < x2 and y1 < y2, in pixels.{hint}"
        )
    kept = np.flatnonzero(good).astype(np.int64)
    low = np.floor(clipped[kept, :2]).astype(int)
    high = np.ceil(clipped[kept, 2:]).astype(int)
    crops = [
        frame[top:bottom, left:right]
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True)
    ]
    return crops, kept
