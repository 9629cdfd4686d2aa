"""From a path, the bytes of a file or a PIL image to upright RGB, in bounded memory."""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from sanreid.images.arrays import from_array
from sanreid.images.unreadable import UnreadableError, reason_of
from sanreid.utils.sniffing import describe_text

__all__ = ["decode", "from_bytes", "from_path", "lock_of", "room_for"]

T = TypeVar("T")


Finish = Callable[[Image.Image], T]  # what is made of the decoded image, before it is let go


_BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "UklGR", "R0lGOD", "Qk0")  # of JPEG, PNG, WebP, GIF, BMP


_DECODE = "decode it, base64.b64decode(text), and pass the bytes"


def from_path(path: str | os.PathLike[str], finish: Finish[T]) -> T:
    """Read an image file."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise UnreadableError("its path is bytes; pass text, os.fsdecode(path).")
    if not text:  # pathlib takes it for the current folder
        raise UnreadableError("the path is empty.")
    if text.startswith("data:"):
        raise UnreadableError(
            f"it is a data URL, no path; cut off what is before the comma, {_DECODE}."
        )
    # A folder's own files come as they were listed, and a folder may be called "~".
    expanded = text if os.path.lexists(text) else os.path.expanduser(text)  # noqa: PTH111 - pathlib's raises for unknown users
    try:
        status = Path(expanded).stat()
    except FileNotFoundError as error:
        raise UnreadableError(f"there is no such file{_no_file_but(text)}.") from error
    except (OSError, ValueError) as error:  # no permission, a name too long, a null character
        hint = f"; if it is base64 text, {_DECODE}" if _is_too_long(error) else ""
        raise UnreadableError(f"{reason_of(error)}{hint}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("it is a folder; encode_files() takes folders.")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("it is not a regular file.")
    if not status.st_size:
        raise UnreadableError("the file is empty (0 bytes).")
    try:
        with Path(expanded).open("rb") as file:
            return _from_file(file, finish)
    except OSError as error:
        raise UnreadableError(f"{reason_of(error)}.") from error


def from_bytes(data: bytes, finish: Finish[T]) -> T:
    """Read the bytes of an image file."""
    if not data:
        raise UnreadableError("it is empty (0 bytes).")
    return _from_file(io.BytesIO(data), finish)


def _from_file(file: IO[bytes], finish: Finish[T]) -> T:
    try:
        image = Image.open(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError(_too_large(None)) from error
    except UnidentifiedImageError as error:
        raise UnreadableError(f"it is not an image of a known format{_but(file)}.") from error
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise UnreadableError(f"its header is damaged ({reason_of(error)}).") from error
    limit = Image.MAX_IMAGE_PIXELS
    with room_for(image):
        try:
            if limit is not None and image.width * image.height > limit:
                raise UnreadableError(_too_large(image.size))
            return finish(decode(image))
        finally:
            image.close()  # its pixels go before the next large image comes


def _too_large(size: tuple[int, int] | None) -> str:
    pixels = f"its {size[0]} x {size[1]} pixels are" if size else "its pixels are far"
    return (
        f"{pixels} more than Pillow's limit of {Image.MAX_IMAGE_PIXELS:,}, so it may be a "
        "decompression bomb. Raise PIL.Image.MAX_IMAGE_PIXELS if you trust it."
    )


def _is_too_long(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG


def _no_file_but(text: str) -> str:
    """Return what a text that is not a path seems to be, for a message, or nothing."""
    if text.startswith(_BASE64_STARTS) and len(text) > 100:
        return f"; it looks like base64 text: {_DECODE}"
    if text.startswith(("http://", "https://", "s3://", "gs://")):
        return "; it is a web address: download it first"
    return ""


def _but(file: IO[bytes]) -> str:
    """Return what a file that is not an image seems to be, for a message, or nothing."""
    file.seek(0)
    head = file.read(512)
    start = head.lstrip().lower()
    if b"/annex/objects/" in head:
        return ": it is a git-annex pointer, not the picture itself; run 'git annex get'"
    if b"<svg" in start:
        return ": it is an SVG drawing; convert it to PNG"
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif"):
        return ": it is HEIC; convert it to JPEG, or register the pillow-heif package's opener"
    if start.startswith(b"data:"):
        return f": it is the text of a data URL; take what follows the comma, {_DECODE}"
    if head.decode("latin-1").startswith(_BASE64_STARTS):
        return f": it is base64 text; {_DECODE}"
    text = describe_text(head)
    return f": it {text}" if text else ""


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


def _after_fork() -> None:
    """Forget, in a forked child, locks that threads of the parent may have held."""
    global _ROOM, _LOADING
    _ROOM, _LOADING = threading.Lock(), tuple(threading.Lock() for _ in _LOADING)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
    """16-bit grey to 8 bits: 65535 becomes 255, and so does the value that is transparent."""
    grey = np.asarray(image).astype(np.int64)
    if grey.size and not (grey.min() >= 0 and grey.max() <= 65535):
        raise UnreadableError(
            f"its values reach from {grey.min()} to {grey.max()}; 16-bit grey, 0 to 65535, was "
            "expected."
        )
    if isinstance(see_through := image.info.get("transparency"), int):
        grey[grey == see_through] = 65535
    return from_array(((grey + 128) // 257).astype(np.uint8), "rgb")
