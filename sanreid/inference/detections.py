"""From a frame and a detector's boxes to crops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError

__all__ = ["crop_boxes"]


def crop_boxes(frame: NDArray[np.uint8], boxes: object) -> list[NDArray[np.uint8]]:
    """Cut ``boxes`` out of ``frame``, as views.

    A box is widened to whole pixels (left and top down, right and bottom up) and clipped at the
    frame's border.

    Args:
        frame: (H, W, 3).
        boxes: (N, 4) x1, y1, x2, y2 in pixels, x2 and y2 exclusive; an array, a tensor, a list,
            or an object with ``.xyxy``. Empty: no crops.

    Raises:
        InputError: ``boxes`` is no such thing; a box has no area inside the frame or holds NaN;
            the message names its row.
    """
    corners = _corners(boxes)
    height, width = frame.shape[:2]
    limit = np.array([width, height, width, height], dtype=np.float64)
    finite = np.asarray(np.isfinite(corners).all(axis=1))
    clipped = np.clip(np.where(finite[:, None], corners, 0), 0, limit)
    has_area = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    for row in np.flatnonzero(~(finite & has_area)):
        box = ", ".join(f"{value:g}" for value in corners[row])
        reason = "has no area inside the frame" if finite[row] else "holds NaN or infinity"
        raise InputError(
            f"Box {row} ({box}) {reason} of {width} x {height} pixels; "
            "wanted x1 < x2 and y1 < y2, in pixels."
        )
    low = np.floor(clipped[:, :2]).astype(int)
    high = np.ceil(clipped[:, 2:]).astype(int)
    return [
        frame[top:bottom, left:right]
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True)
    ]


def _corners(boxes: object) -> NDArray[np.float64]:
    values: Any = getattr(boxes, "xyxy", boxes)
    if hasattr(values, "detach"):  # a tensor, on any device
        values = values.detach().cpu()
    try:
        corners = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"boxes must be numbers, (N, 4) x1 y1 x2 y2; got {type(boxes).__name__} ({error})."
        ) from error
    if corners.size == 0 and corners.ndim <= 2:
        return corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4:
        hint = " One box is [[x1, y1, x2, y2]]." if corners.shape == (4,) else ""
        raise InputError(f"boxes must be of shape (N, 4), x1 y1 x2 y2; got {corners.shape}.{hint}")
    return corners
