"""PIL images to upright RGB, in bounded memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from PIL import Image, ImageFile

from sanreid.images.arrays import from_array
from sanreid.images.unreadable import UnreadableError, reason_of

__all__ = ["decode", "lock_of", "room_for"]

logger = logging.getLogger(__name__)

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
_QUARTER_TURNS = (5, 6, 7, 8)
_EXIF, _WIDTH, _HEIGHT = 0x8769, 0xA002, 0xA003  # where EXIF keeps the size as stored

_LARGE = 2**23  # pixels; images beyond wait for one another, and are converted in strips
_STRIP = 2**21  # pixels
_ROOM = threading.Lock()

# A lazily opened PIL image must not be loaded in two threads at once, and a caller may pass the
# same one twice: each has its lock here, shared with few others. Files that are opened here need
# none.
_LOADING = tuple(threading.Lock() for _ in range(64))


def lock_of(image: Image.Image) -> threading.Lock:
    """Return the lock under which a caller's image is loaded."""
    return _LOADING[id(image) // 16 % len(_LOADING)]  # ids are multiples of 16


def room_for(image: Image.Image) -> AbstractContextManager[object]:
    """Wait, for a large image, until no other large one is being read."""
    return _ROOM if image.width * image.height > _LARGE else nullcontext()


def decode(image: Image.Image) -> Image.Image:
    """Load the pixels, apply the EXIF turn and convert to RGB; ``image`` keeps its own pixels.

    Raises:
        UnreadableError: The data are damaged, the image is closed, or it has no pixels.
    """
    try:
        image.load()
        turn = _turn(image)
        rgb = _rgb(image)
    except UnreadableError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        if "closed" in str(error) or (isinstance(error, AssertionError) and _has_no_file(image)):
            raise UnreadableError(
                "the PIL image is closed, or its file was closed before the pixels were read. "
                "Encode it inside the 'with' block, call its load() there, or pass the path."
            ) from error
        raise UnreadableError(
            f"its data are damaged or cut short ({reason_of(error)})."
        ) from error
    if not (rgb.width and rgb.height):
        raise UnreadableError(f"it has no pixels ({rgb.width} x {rgb.height}).")
    return rgb if turn is None else rgb.transpose(turn)


def _has_no_file(image: Image.Image) -> bool:
    return isinstance(image, ImageFile.ImageFile) and image.fp is None


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        if orientation in _QUARTER_TURNS and not isinstance(image, ImageFile.ImageFile):
            # Made from an opened image, perhaps by turning it, which leaves EXIF as it was.
            stored = exif.get_ifd(_EXIF)
            size = (stored.get(_WIDTH), stored.get(_HEIGHT))
            if size[0] != size[1] and size == (image.height, image.width):
                return None
        return _TURNS.get(orientation)
    except Exception as error:  # noqa: BLE001 - damaged EXIF raises many kinds; the pixels are good
        logger.debug("EXIF data cannot be read, so no turn is applied: %s", error)
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _in_strips(image, _from_16_bits)
    if image.mode == "F":
        return _in_strips(image, lambda part: from_array(np.asarray(part), "rgb"))
    if image.has_transparency_data:
        return _in_strips(image, _over_white)
    return image.convert("RGB")


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert a large image part by part, so that the temporaries stay small."""
    if image.width * image.height <= _STRIP:
        return convert(image)
    rgb = Image.new("RGB", image.size)
    step = max(1, _STRIP // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        rgb.paste(convert(image.crop((0, top, image.width, bottom))), (0, top))
    return rgb


def _over_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits: 65535 becomes 255."""
    grey = np.asarray(image).astype(np.int64)
    if grey.size and not (grey.min() >= 0 and grey.max() <= 65535):
        raise UnreadableError(
            f"its values reach from {grey.min()} to {grey.max()}; 16-bit grey, 0 to 65535, was "
            "expected."
        )
    return from_array(((grey + 128) // 257).astype(np.uint8), "rgb")
