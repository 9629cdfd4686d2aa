"""Writing a picture: a known format, and whole or not at all."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sanreid.errors import InputError
from sanreid.utils.files import atomic_write, errors_of_writing
from sanreid.utils.paths import as_path

__all__ = ["check_suffix", "save_picture"]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MOST_PX = {"JPEG": 65_500, "WEBP": 16_383}  # of a side: as far as their encoders go


def check_suffix(path: str | Path) -> str:
    """Return the picture format that a file name asks for.

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

    Args:
        picture: Of any mode. JPEG holds no transparency: it is laid on white.
        path: The file; its suffix names the format.

    Raises:
        InputError: The suffix is none of a picture, the picture is too large for its format, or
            the system does not allow it.
    """
    path = as_path(path, "the path of a picture")
    kind = check_suffix(path)
    most = _MOST_PX.get(kind, max(picture.size))
    if max(picture.size) > most:
        raise InputError(
            f"{kind} holds at most {most:,} pixels a side; the picture for {str(path)!r} has "
            f"{picture.width:,} x {picture.height:,}. Write it as .png, or draw fewer queries."
        )
    if kind == "JPEG" and picture.mode != "RGB":
        seen = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    with errors_of_writing(path), atomic_write(path) as file:
        picture.save(file, format=kind, **({"quality": 92} if kind != "PNG" else {}))
