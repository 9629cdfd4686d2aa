"""From what a client sends to the bytes of images, checked before anything decodes them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from sanreid.errors import ImageError, InputError
from sanreid.images import picture_size
from sanreid.serve.settings import Limits

__all__ = ["FORMATS", "checked", "from_base64"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # by Pillow's names; no reader that runs a program


def from_base64(texts: Sequence[str]) -> list[bytes]:
    """Decode images from base64 text; a client's text is never taken for a path.

    Raises:
        ImageError: One is not base64.
    """
    decoded = []
    for number, text in enumerate(texts):
        try:
            decoded.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise ImageError(
                f"images: image {number} is not base64 ({error}); send the file's bytes, "
                "encoded, without the start of a data URL."
            ) from error
    return decoded


def checked(images: Sequence[bytes], limits: Limits) -> list[bytes]:
    """Return images whose number, formats and sizes are within the limits.

    Raises:
        InputError: There are none or too many.
        ImageError: One is of another format, or has too many pixels.
    """
    if not 1 <= len(images) <= limits.max_crops:
        raise InputError(
            f"A request has 1 to {limits.max_crops} images; this one has {len(images)}."
        )
    for number, image in enumerate(images):
        height, width = picture_size(image, formats=FORMATS, position=f"image {number}")
        if height * width > limits.max_pixels:
            raise ImageError(
                f"Image {number} has {height} x {width} pixels; this service takes "
                f"{limits.max_pixels:,} at most. Send crops of people, not whole frames."
            )
    return list(images)
