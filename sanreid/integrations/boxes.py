"""Boxes of any detector or tracker as corners in pixels.

=====================  ========================================================================
from                   what is read
=====================  ========================================================================
supervision            ``Detections.xyxy``
ultralytics            ``Results.boxes.xyxy``, ``Results.obb.xyxy``, ``Boxes.xyxy``; a list of one
YOLOv5                 ``Detections.xyxy``: one tensor (N, 6) per image
torchvision            ``{"boxes": (N, 4), ...}``; a list of one
boxmot                 tracks (N, 8): x1, y1, x2, y2, id, confidence, class, index
arrays, tensors        (N, 4), or (N, more): the first four columns, or those of ``columns``
=====================  ========================================================================

Tensors may be of any device and floating dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError

__all__ = ["read_boxes"]

_WANTED = "an array (N, 4) of x1, y1, x2, y2 in pixels, or the result of a detector for one frame"


def read_boxes(boxes: object, *, columns: Sequence[int] | None = None) -> NDArray[np.float64]:
    """Return the corners of boxes, (N, 4): x1, y1, x2, y2.

    Args:
        boxes: See the table above.
        columns: Which four columns of an array hold x1, y1, x2, y2; the first four when None.

    Raises:
        InputError: It is none of these, or the result for several frames; the message says what
            came.
    """
    values = _as_array(_unwrapped(boxes), boxes)
    if values.size == 0 and values.ndim <= 2:
        return np.empty((0, 4))
    if values.dtype.kind not in "fiu":
        raise InputError(f"boxes must be numbers; got {_kind(boxes)} of {values.dtype}.")
    if values.ndim != 2 or values.shape[1] < 4:
        hint = " One box is [[x1, y1, x2, y2]]." if values.ndim == 1 and len(values) >= 4 else ""
        raise InputError(f"boxes must be of shape (N, 4), x1 y1 x2 y2; got {values.shape}.{hint}")
    return values[:, _four(columns, values.shape[1])].astype(np.float64)


def _unwrapped(boxes: object) -> Any:  # noqa: ANN401 - an array of any library
    """Return what holds the numbers, of one frame."""
    if isinstance(boxes, list | tuple) and boxes and _is_result(boxes[0]):
        return _unwrapped(_only(boxes))
    if isinstance(boxes, Mapping):
        if "boxes" not in boxes:
            keys = ", ".join(repr(key) for key in list(boxes)[:8])
            raise InputError(
                f"The dictionary has no 'boxes', only {keys or 'nothing'}; wanted {_WANTED}."
            )
        return _as_corners(boxes["boxes"])
    xyxy = getattr(boxes, "xyxy", None)
    if xyxy is not None:
        per_image = isinstance(xyxy, list | tuple) and bool(xyxy) and np.ndim(xyxy[0]) == 2
        return _only(xyxy) if per_image else xyxy
    if hasattr(boxes, "boxes") or hasattr(boxes, "obb"):
        for name in ("boxes", "obb"):  # the second: boxes turned by an angle
            inner = getattr(boxes, name, None)
            if inner is not None:
                return _unwrapped(inner)
        raise InputError(f"This {type(boxes).__name__} holds no boxes; wanted {_WANTED}.")
    return _as_corners(boxes)


def _as_corners(boxes: Any) -> Any:  # noqa: ANN401 - an array of any library
    """Refuse torchvision's boxes where they say that they are not corners."""
    kind = getattr(getattr(boxes, "format", None), "name", "XYXY")
    if kind != "XYXY":
        raise InputError(
            f"These boxes are {kind}; wanted XYXY: convert them with torchvision's "
            "convert_bounding_box_format."
        )
    return boxes


def _is_result(value: object) -> bool:
    return isinstance(value, Mapping) or any(
        hasattr(value, name) for name in ("xyxy", "boxes", "obb")
    )


def _only(results: Sequence[object]) -> Any:  # noqa: ANN401 - as above
    if len(results) != 1:
        raise InputError(
            f"boxes are the results of {len(results)} frames; give those of the one frame."
        )
    return results[0]


def _as_array(values: Any, boxes: object) -> NDArray[Any]:  # noqa: ANN401 - an array of any library
    if isinstance(values, str | bytes) or values is None:
        raise InputError(f"boxes must be {_WANTED}; got {_kind(boxes)}.")
    try:
        if isinstance(values, list | tuple):
            return np.asarray([_on_host(value) for value in values])
        return np.asarray(_on_host(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"boxes must be {_WANTED}; got {_kind(boxes)} ({error}).") from error


def _on_host(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return a tensor of any device and dtype as an array; other values as they are."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach()
    return (value.float() if value.is_floating_point() else value).cpu().numpy()


def _four(columns: Sequence[int] | None, width: int) -> list[int]:
    if columns is None:
        return [0, 1, 2, 3]
    try:
        four = [index(column) for column in columns]
    except (TypeError, ValueError):
        four = []
    if len(four) != 4 or not all(-width <= column < width for column in four):
        raise InputError(
            f"columns must be the numbers of four columns, of {width}; got {columns!r}."
        )
    return four


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + ("" if shape is None else f" of shape {tuple(shape)}")
