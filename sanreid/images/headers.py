"""Format and size of an encoded picture, from its header alone: no pixel is decoded."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from sanreid.errors import ImageError
from sanreid.images.unreadable import reason_of

__all__ = ["picture_size"]


def picture_size(
    data: bytes, *, formats: tuple[str, ...], position: str = "the image"
) -> tuple[int, int]:
    """Return (height, width) in pixels of the bytes of an image file.

    Args:
        data: The file's bytes.
        formats: The formats that may be read, by Pillow's names: ``"JPEG"``, ``"PNG"``. Readers of
            all others never see the bytes.
        position: What the image is called in messages: ``"image 3"``.

    Raises:
        ImageError: It is of another format, or its header is damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            return image.height, image.width
    except UnidentifiedImageError as error:
        raise ImageError(
            f"Cannot read {position}: it is none of {', '.join(formats)}, or is empty."
        ) from error
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise ImageError(
            f"Cannot read {position}: its header is damaged or declares too many pixels "
            f"({reason_of(error)})."
        ) from error
