"""Writing a picture: a known format, and whole or not at all."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sanreid._files import whole_file
from sanreid.errors import InputError

__all__ = ["check_suffix", "save_picture"]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def check_suffix(path: str | Path) -> str:
    """Give the picture format that a file name asks for.

    Raises:
        InputError: Its suffix is none of a picture.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(
            f"A picture is written as {', '.join(_FORMATS)}; got the file name {str(path)!r}."
        )
    return _FORMATS[suffix]


def save_picture(picture: Image.Image, path: str | Path) -> None:
    """Write a picture; an error or an interrupt leaves what was there before.

    Raises:
        InputError: The suffix is none of a picture.
        OSError: The system does not allow it.
    """
    path = Path(path)
    kind = check_suffix(path)
    with whole_file(path) as file:
        picture.save(file, format=kind, **({"quality": 92} if kind != "PNG" else {}))
