"""Writing a picture: a known format, and whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from PIL import Image

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
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            picture.save(file, format=kind, **({"quality": 92} if kind != "PNG" else {}))
        mask = os.umask(0)  # mkstemp gives the owner alone access; a picture is as any file
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
