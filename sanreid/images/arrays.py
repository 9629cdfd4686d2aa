"""Arrays and tensors of any library to RGB pictures."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.images.unreadable import UnreadableError, reason_of, type_of

__all__ = [
    "Color",
    "TensorLike",
    "as_numpy",
    "from_array",
    "is_array_like",
    "shape_and_kind",
    "tensor_to_array",
]

Color: TypeAlias = Literal["rgb", "bgr"]

_ROUNDING = 1e-6  # how far outside [0, 1] a float may lie: the rounding of earlier arithmetic
_BLOCK = 2**20  # float values converted at a time
_PROTOCOLS = ("__array__", "__array_interface__", "__cuda_array_interface__", "__dlpack__")


@runtime_checkable
class TensorLike(Protocol):
    """What a ``torch.Tensor`` can do, as far as this file needs it."""

    def detach(self) -> Any:  # noqa: ANN401 - a tensor of a library not imported here
        """Return the tensor without its gradient."""

    def numpy(self) -> Any:  # noqa: ANN401 - as above
        """Return the values as an array."""


def is_array_like(value: object) -> bool:
    """Return whether a value declares itself an array, of whichever library."""
    kind = type(value)  # only its names are read: a property may raise
    return any(hasattr(value, name) for name in _PROTOCOLS) or (
        hasattr(kind, "shape") and hasattr(kind, "dtype")
    )


def as_numpy(value: Any) -> NDArray[Any]:  # noqa: ANN401 - an array of any library
    """Read an array-like as a NumPy array in host memory.

    Raises:
        UnreadableError: Its library refuses.
    """
    if hasattr(value, "asnumpy"):  # decord's, MXNet's
        value = value.asnumpy()
    elif hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):  # CuPy's
        value = value.get()
    try:
        return np.asarray(value)
    except Exception as error:  # each library has its own
        raise UnreadableError(
            f"the {type_of(value)} cannot be read as an array ({reason_of(error)})."
        ) from error


def shape_and_kind(value: Any) -> tuple[tuple[int, ...], str]:  # noqa: ANN401 - as above
    """Return shape and NumPy's kind code of an array-like, reading it only if it must.

    Raises:
        UnreadableError: As in :func:`as_numpy`.
    """
    try:
        shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    except Exception as error:  # a file that was closed under its data set
        raise UnreadableError(
            f"the {type(value).__name__} cannot be read ({reason_of(error)})."
        ) from error
    letter = getattr(kind, "kind", None)
    if isinstance(shape, tuple) and isinstance(letter, str):
        return shape, letter
    array = as_numpy(value)
    return array.shape, array.dtype.kind


def tensor_to_array(tensor: Any) -> NDArray[Any]:  # noqa: ANN401 - see TensorLike
    """(3, H, W), (1, H, W) or (H, W) on any device, to (H, W, C) or (H, W) in host memory."""
    shape = tuple(tensor.shape)
    if len(shape) != 2 and not (len(shape) == 3 and shape[0] in (1, 3)):
        hint = " Use tensor.permute(2, 0, 1)." if len(shape) == 3 and shape[2] in (1, 3) else ""
        raise UnreadableError(f"got a tensor of shape {shape}; wanted (3, H, W).{hint}")
    try:
        tensor = tensor.detach()
        if tensor.is_floating_point():
            tensor = tensor.float()  # NumPy knows no bfloat16
        array: NDArray[Any] = tensor.cpu().numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, quantised, meta
        raise UnreadableError(f"the tensor has no plain values ({reason_of(error)}).") from error
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def from_array(array: NDArray[Any], color: Color) -> Image.Image:
    """(H, W, 3), (H, W, 1) or (H, W), uint8 or float in [0, 1], to RGB."""
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3)):
        first = array.shape[0] if array.ndim == 3 else 0
        hint = " Use array.transpose(1, 2, 0)." if first in (1, 3) else ""
        if array.ndim == 3 and array.shape[2] == 4:
            hint = " Drop the fourth channel, or pass a PIL image, which knows its meaning."
        raise UnreadableError(
            f"got an array of shape {array.shape}; wanted (H, W, 3) or (H, W).{hint}"
        )
    if not array.size:
        raise UnreadableError(f"got an array of shape {array.shape}, which has no pixels.")
    pixels = _as_uint8(array)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    elif color == "bgr":
        pixels = pixels[:, :, ::-1]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _as_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return cast("NDArray[np.uint8]", array)
    if array.dtype.kind != "f":
        raise UnreadableError(
            f"got values of type {array.dtype}; wanted uint8 or float in [0, 1]."
        )
    low, high = float(np.float32(array.min())), float(np.float32(array.max()))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnreadableError("its values are not all finite (NaN or infinity).")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        hint = " Pass values of 0 to 255 as uint8." if low >= 0 and high <= 255 else ""
        raise UnreadableError(
            f"its float values reach from {low:.6g} to {high:.6g}; wanted [0, 1].{hint}"
        )
    pixels = np.empty(array.shape, dtype=np.uint8)
    step = max(1, _BLOCK // max(1, array[0].size))
    for top in range(0, len(array), step):  # the temporaries stay small
        values = array[top : top + step].astype(np.float32).clip(0, 1) * np.float32(255)
        pixels[top : top + step] = values.round()
    return pixels
