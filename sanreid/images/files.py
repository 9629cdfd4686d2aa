"""Image files, on disk and in memory, to upright RGB; and what the other files are."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from PIL import Image, UnidentifiedImageError

from sanreid.images.pillow import decode, room_for
from sanreid.images.unreadable import UnreadableError, reason_of
from sanreid.utils.sniffing import describe_text

__all__ = ["from_bytes", "from_path"]

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
    expanded = os.path.expanduser(text)  # noqa: PTH111 - pathlib's raises for unknown users
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
    """Say what a text that is no path seems to be, or nothing."""
    if text.startswith(_BASE64_STARTS) and len(text) > 100:
        return f"; it looks like base64 text: {_DECODE}"
    if text.startswith(("http://", "https://", "s3://", "gs://")):
        return "; it is a web address: download it first"
    return ""


def _but(file: IO[bytes]) -> str:
    """Say what a file that is no image seems to be, or nothing."""
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
