"""Any kind of image in, a ``uint8`` RGB array out; the one resize that every crop goes through.

Source: none. Pillow and NumPy do the work; no torch is imported (tensors are known by what they
can do), so galleries and data sets can read pictures at no cost.

Rules, the same for every kind of source:

- The EXIF turn of files and PIL images is applied; the first frame of a moving picture counts.
- Grey becomes three equal channels. Transparent pixels are laid over white.
- 16-bit pictures are scaled to 8 bits (65535 becomes 255), not clipped.
- Floats in [0, 1] are rounded to ``uint8``; NaN and values outside are refused.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import threading
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sanreid.errors import ImageError, InputError
from sanreid.utils.image_files import IMAGE_SUFFIXES, suffixes_for_messages, walk_images
from sanreid.utils.paths import as_path

__all__ = [
    "IMAGE_SUFFIXES",
    "Color",
    "ImageSource",
    "find_images",
    "is_one_image",
    "iterate_images",
    "load_crop",
    "load_image",
]

logger = logging.getLogger(__name__)

Color = Literal["rgb", "bgr"]


@runtime_checkable
class TensorLike(Protocol):
    """What a ``torch.Tensor`` can do, as far as this file needs it."""

    def detach(self) -> Any: ...  # noqa: ANN401 - a tensor of a library not imported here
    def numpy(self) -> Any: ...  # noqa: ANN401 - as above


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

_KINDS = (
    "a path, the bytes of a file, a PIL image, an array (H, W, 3) or (H, W) "
    "or a tensor (3, H, W), uint8 or float in [0, 1]"
)
_ROUNDING = 1e-6  # how far outside [0, 1] a float may lie: the rounding of earlier arithmetic
_ORIENTATION = 0x0112  # the EXIF tag, and the turn that each of its values asks for
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# A lazily opened PIL image must not be loaded in two threads at once, and a caller may pass the
# same one twice: each has its lock here, shared with few others. Files that are opened here need
# none.
_LOADING = tuple(threading.Lock() for _ in range(64))


def load_image(
    source: object, *, color: Color = "rgb", place: str | None = None
) -> NDArray[np.uint8]:
    """Read one image at its own size.

    Args:
        source: A path, the bytes of an image file, a PIL image, an array (H, W, 3) or (H, W),
            or a tensor (3, H, W), (1, H, W) or (H, W); arrays and tensors ``uint8``, or float
            in [0, 1].
        color: The order of the channels of arrays and tensors; files and PIL images know theirs.
        place: Where the image stands, for messages: ``"image 3 of the input"``.

    Returns:
        (H, W, 3) ``uint8``, RGB; may share memory with ``source``, so do not write to it.

    Raises:
        ImageError: The image cannot be read; names its place and its path.
    """
    return np.asarray(_open(source, color=color, place=place))


def load_crop(
    source: object,
    size: tuple[int, int],
    *,
    color: Color = "rgb",
    place: str | None = None,
) -> NDArray[np.uint8]:
    """Read one image and resize it: bilinear with antialiasing, aspect not kept.

    Args:
        source: As in :func:`load_image`.
        size: (height, width) in pixels.
        color: As in :func:`load_image`.
        place: As in :func:`load_image`.

    Returns:
        (height, width, 3) ``uint8``, RGB.

    Raises:
        ImageError: The image cannot be read; names its place and its path.
    """
    height, width = size
    image = _open(source, color=color, place=place)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def is_one_image(images: object) -> bool:
    """Say whether ``images`` is one image, rather than several in a sequence.

    A four-dimensional array or tensor is a sequence of its rows; an array of strings or objects
    is a sequence of sources.
    """
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    if isinstance(images, np.ndarray):
        numeric = images.dtype.kind not in "OUS" or images.ndim == 0
        return numeric and images.ndim != 4 and images.shape != (0,)
    if isinstance(images, TensorLike):
        shape = tuple(getattr(images, "shape", ()))
        return len(shape) != 4 and shape != (0,)
    return False


def iterate_images(images: object) -> Iterable[object]:
    """Give the images one by one: ``[images]`` for a single one, else the iterable itself.

    Raises:
        ImageError: ``images`` is neither an image nor an ordered iterable.
    """
    if is_one_image(images):
        return [images]
    unordered = isinstance(images, Mapping | AbstractSet)
    # An open file would give its lines.
    if unordered or hasattr(images, "read") or not isinstance(images, Iterable):
        raise ImageError(
            f"Expected an image or a sequence of images; got {_kind(images)}. "
            f"An image is {_KINDS}."
        )
    return images


def find_images(
    folder: str | os.PathLike[str], *, failures: list[tuple[Path, str]] | None = None
) -> list[Path]:
    """List the image files of a folder and of its sub-folders, sorted by path.

    A file counts by its suffix, :data:`IMAGE_SUFFIXES`, in either case. Links to folders are
    followed. Hidden files and folders (``.cache``), and what file servers leave behind
    (``@eaDir``, ``Thumbs.db``), are skipped.

    Args:
        folder: An existing folder.
        failures: A list that takes each folder that cannot be read, with the reason.

    Raises:
        InputError: The folder does not exist or holds no image file, or a folder cannot be
            read and there is no ``failures``.
    """
    root = as_path(folder, "a folder")
    if not os.path.isdir(root):  # noqa: PTH112 - pathlib's raises for a name that is too long
        raise InputError(f"There is no folder '{root}'.")
    found = walk_images(root)
    if found.failures and failures is None:
        path, reason = found.failures[0]
        more = f" ({len(found.failures) - 1} more)" if len(found.failures) > 1 else ""
        raise InputError(f"Cannot read '{path}'{more}: {reason}")
    if failures is not None:
        failures += found.failures
    if not found.files and not found.failures:
        raise InputError(f"The folder '{root}' holds no image files ({suffixes_for_messages()}).")
    return [root / file for file in found.files]


def _open(source: object, *, color: Color, place: str | None) -> Image.Image:
    """Give ``source`` as a loaded RGB image, or an ImageError that names it."""
    if color not in ("rgb", "bgr"):
        raise InputError(f"color must be 'rgb' or 'bgr'; got {color!r}.")
    try:
        return _read(source, color)
    except _UnreadableError as error:
        raise ImageError(f"Cannot read {_name(source, place)}: {error}") from error.__cause__


class _UnreadableError(Exception):
    """Why an image cannot be read, without its name."""


def _name(source: object, place: str | None) -> str:
    path = f"'{os.fspath(source)}'" if isinstance(source, str | os.PathLike) else ""
    return ", ".join(part for part in (place, path) if part) or "the image"


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    name = type(value).__name__
    return f"{name} of shape {tuple(shape)}" if shape is not None else f"{name}"


def _read(source: object, color: Color) -> Image.Image:
    if isinstance(source, str | os.PathLike):
        return _from_path(source)
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        if not data:
            raise _UnreadableError("it is empty (0 bytes).")
        return _from_file(io.BytesIO(data))
    if isinstance(source, Image.Image):
        with _LOADING[id(source) // 16 % len(_LOADING)]:  # ids are multiples of 16
            return _decoded(source)
    if isinstance(source, TensorLike):
        return _from_array(_tensor_to_array(source), color)
    if hasattr(source, "__array__"):
        return _from_array(np.asarray(source), color)
    raise _UnreadableError(f"got {_kind(source)}; an image is {_KINDS}.")


# --------------------------------------------------------------------------- files


def _from_path(path: str | os.PathLike[str]) -> Image.Image:
    if not os.fspath(path):  # pathlib takes it for the current folder
        raise _UnreadableError("the path is empty.")
    try:
        status = Path(path).stat()
    except FileNotFoundError as error:
        raise _UnreadableError("there is no such file.") from error
    except (OSError, ValueError) as error:  # no permission, a name too long, a null character
        raise _UnreadableError(f"{_reason(error)}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise _UnreadableError("it is a folder; encode_files() takes folders.")
    if not stat.S_ISREG(status.st_mode):
        raise _UnreadableError("it is not a regular file.")
    if not status.st_size:
        raise _UnreadableError("the file is empty (0 bytes).")
    try:
        with Path(path).open("rb") as file:
            return _from_file(file)
    except OSError as error:
        raise _UnreadableError(f"{_reason(error)}.") from error


def _from_file(file: IO[bytes]) -> Image.Image:
    try:
        image = Image.open(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _UnreadableError(_too_large(None)) from error
    except UnidentifiedImageError as error:
        raise _UnreadableError("it is not an image of a known format.") from error
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise _UnreadableError(f"its header is damaged ({_reason(error)}).") from error
    limit = Image.MAX_IMAGE_PIXELS
    with image:
        if limit is not None and image.width * image.height > limit:
            raise _UnreadableError(_too_large(image.size))
        return _decoded(image)


def _too_large(size: tuple[int, int] | None) -> str:
    pixels = f"its {size[0]} x {size[1]} pixels are" if size else "its pixels are far"
    return (
        f"{pixels} more than Pillow's limit of {Image.MAX_IMAGE_PIXELS:,}, so it may be a "
        "decompression bomb. Raise PIL.Image.MAX_IMAGE_PIXELS if you trust it."
    )


def _reason(error: BaseException) -> str:
    text = (getattr(error, "strerror", None) or str(error)).rstrip(". ")
    return text or type(error).__name__


# ---------------------------------------------------------------------- PIL images


def _decoded(image: Image.Image) -> Image.Image:
    """Load the pixels, apply the EXIF turn, give RGB; ``image`` keeps its own pixels."""
    try:
        image.load()
        turn = _turn(image)
        rgb = _rgb(image)
    except _UnreadableError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise _UnreadableError(f"its data are damaged or cut short ({_reason(error)}).") from error
    if not (rgb.width and rgb.height):
        raise _UnreadableError(f"it has no pixels ({rgb.width} x {rgb.height}).")
    return rgb if turn is None else rgb.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # noqa: BLE001 - damaged EXIF raises many kinds; the pixels are good
        logger.debug("EXIF data cannot be read, so no turn is applied: %s", error)
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _scaled(np.asarray(image.convert("I")))
    if image.mode == "I":
        return _scaled(np.asarray(image))
    if image.mode == "F":
        return _from_array(np.asarray(image), "rgb")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _scaled(grey: NDArray[np.int32]) -> Image.Image:
    """16-bit grey to 8 bits: 65535 becomes 255."""
    if grey.size and not (grey.min() >= 0 and grey.max() <= 65535):
        raise _UnreadableError(
            f"its values reach from {grey.min()} to {grey.max()}; 16-bit grey, 0 to 65535, was "
            "expected."
        )
    return _from_array(np.rint(grey / 257).astype(np.uint8), "rgb")


# --------------------------------------------------------------- arrays and tensors


def _tensor_to_array(tensor: Any) -> NDArray[Any]:  # noqa: ANN401 - see TensorLike
    """(3, H, W), (1, H, W) or (H, W) on any device, to (H, W, C) or (H, W) in host memory."""
    shape = tuple(tensor.shape)
    if len(shape) != 2 and not (len(shape) == 3 and shape[0] in (1, 3)):
        hint = " Use tensor.permute(2, 0, 1)." if len(shape) == 3 and shape[2] in (1, 3) else ""
        raise _UnreadableError(f"got a tensor of shape {shape}; wanted (3, H, W).{hint}")
    try:
        tensor = tensor.detach()
        if tensor.is_floating_point():
            tensor = tensor.float()  # NumPy knows no bfloat16
        array: NDArray[Any] = tensor.cpu().numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:  # sparse, quantised, meta
        raise _UnreadableError(f"the tensor has no plain values ({_reason(error)}).") from error
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def _from_array(array: NDArray[Any], color: Color) -> Image.Image:
    """(H, W, 3), (H, W, 1) or (H, W), uint8 or float in [0, 1]."""
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3)):
        first = array.shape[0] if array.ndim == 3 else 0
        hint = " Use array.transpose(1, 2, 0)." if first in (1, 3) else ""
        if array.ndim == 3 and array.shape[2] == 4:
            hint = " Drop the fourth channel, or pass a PIL image, which knows its meaning."
        raise _UnreadableError(
            f"got an array of shape {array.shape}; wanted (H, W, 3) or (H, W).{hint}"
        )
    if not array.size:
        raise _UnreadableError(f"got an array of shape {array.shape}, which has no pixels.")
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
        raise _UnreadableError(
            f"got values of type {array.dtype}; wanted uint8 or float in [0, 1]."
        )
    values = array.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(values).all():
        raise _UnreadableError("its values are not all finite (NaN or infinity).")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        hint = " Pass values of 0 to 255 as uint8." if low >= 0 and high <= 255 else ""
        raise _UnreadableError(
            f"its float values reach from {low:.6g} to {high:.6g}; wanted [0, 1].{hint}"
        )
    scaled: NDArray[np.float32] = values.clip(0, 1) * np.float32(255)
    return scaled.round().astype(np.uint8)
