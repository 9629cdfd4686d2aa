"""Small JPEGs of crops, for pages that carry their pictures with them."""

from __future__ import annotations

import base64
import io

from PIL import Image

from sanreid.errors import ImageError
from sanreid.images import load_crop

__all__ = ["data_uri", "thumbnail"]


def thumbnail(
    source: object, size: tuple[int, int] = (128, 64), *, quality: int = 72
) -> bytes | None:
    """Return a crop as a small JPEG, or None where it cannot be read.

    Args:
        source: Anything that ``SANEncoder.encode`` takes.
        size: (height, width) in pixels.
        quality: Of the JPEG, 1 to 95.
    """
    if source is None:
        return None
    try:
        pixels = load_crop(source, size)
    except ImageError:
        return None  # moved or damaged since it was embedded: the rest is still worth seeing
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def data_uri(jpeg: bytes) -> str:
    """Return a JPEG as the address of itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
