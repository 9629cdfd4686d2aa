"""Read one image of any kind, at its own size or as a crop."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.errors import ImageError
from sanreid.images.arrays import (
    Color,
    TensorLike,
    as_numpy,
    from_array,
    is_array_like,
    tensor_to_array,
)
from sanreid.images.decoding import decode, from_bytes, from_path, lock_of, room_for
from sanreid.images.unreadable import KINDS, UnreadableError, name_of, type_of
from sanreid.utils.arguments import check_choice

__all__ = ["Color", "ImageSource", "load_crop", "load_image"]

T = TypeVar("T")

ImageSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | Image.Image
    | NDArray[Any]
    | TensorLike
)


def load_image(
    source: object, *, color: Color = "rgb", position: str | None = None
) -> NDArray[np.uint8]:
    """Read one image at its own size.

    Args:
        source: A path, the bytes of an image file, a PIL image, an array (H, W, 3) or (H, W),
            or a tensor (3, H, W), (1, H, W) or (H, W); arrays and tensors ``uint8``, or float
            in [0, 1].
        color: The order of the channels of arrays and tensors; files and PIL images know theirs.
        position: Where the image stands, for messages: ``"image 3 of the input"``.

    Returns:
        (H, W, 3) ``uint8``, RGB; may share memory with ``source``, so do not write to it.

    Raises:
        ImageError: The image cannot be read; names its position and its path.
    """
    return _open(source, np.asarray, color=color, position=position)


def load_crop(
    source: object,
    size: tuple[int, int],
    *,
    color: Color = "rgb",
    position: str | None = None,
) -> NDArray[np.uint8]:
    """Read one image and resize it: bilinear with antialiasing, aspect not kept.

    Args:
        source: As in :func:`load_image`.
        size: (height, width) in pixels.
        color: As in :func:`load_image`.
        position: As in :func:`load_image`.

    Returns:
        (height, width, 3) ``uint8``, RGB.

    Raises:
        ImageError: The image cannot be read; names its position and its path.
    """
    height, width = size

    def resized(image: Image.Image) -> NDArray[np.uint8]:
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)

    return _open(source, resized, color=color, position=position)


def _open(
    source: object, finish: Callable[[Image.Image], T], *, color: Color, position: str | None
) -> T:
    """Return what ``finish`` makes of the RGB image, or raise an ImageError that names it."""
    check_choice(color, "color", ("rgb", "bgr"))
    try:
        return _read(source, color, finish)
    except UnreadableError as error:
        reason = str(error)
        message = f"Cannot read {name_of(source, position)}: {reason}"
        raise ImageError(message, reason=reason) from error.__cause__


def _read(source: object, color: Color, finish: Callable[[Image.Image], T]) -> T:
    if isinstance(source, str | os.PathLike):
        return from_path(source, finish)
    if isinstance(source, bytes | bytearray | memoryview):
        return from_bytes(bytes(source), finish)
    if isinstance(source, Image.Image):
        with lock_of(source), room_for(source):
            return finish(decode(source))
    if isinstance(source, TensorLike):
        return finish(from_array(tensor_to_array(source), color))
    if is_array_like(source):
        array = as_numpy(source)
        if array.ndim == 0 and array.dtype.kind in "OUS":
            item = array.item()
            if isinstance(item, type):  # a class has the attributes of its objects
                raise UnreadableError(f"got the class {item.__name__}; an image is {KINDS}.")
            return _read(item, color, finish)
        return finish(from_array(array, color))
    raise UnreadableError(f"got {type_of(source)}; an image is {KINDS}.")
