"""One image or several, and the images of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from PIL import Image

from sanreid.errors import ImageError, InputError
from sanreid.images.arrays import TensorLike, as_numpy, is_array_like, shape_and_kind
from sanreid.images.unreadable import KINDS, UnreadableError, type_of
from sanreid.utils.image_files import suffixes_for_messages, walk_images
from sanreid.utils.paths import as_path, is_folder, shorten

__all__ = ["find_images", "is_one_image", "iterate_images"]


def is_one_image(images: object) -> bool:
    """Return whether ``images`` is one image, rather than several in a sequence.

    A four-dimensional array or tensor is a sequence of its rows; an array of strings or objects
    is a sequence of sources. What says that it is an array is never iterated to find out.

    Raises:
        ImageError: An array of another library that cannot be read.
    """
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    if isinstance(images, TensorLike):
        shape = tuple(getattr(images, "shape", ()))
        return len(shape) != 4 and shape != (0,)
    if not is_array_like(images):
        return False
    try:
        shape, kind = shape_and_kind(images)
    except UnreadableError as error:
        raise ImageError(f"Cannot read the images: {error}") from error.__cause__
    numeric = kind not in "OUST" or not shape
    return numeric and len(shape) != 4 and shape != (0,)


def iterate_images(images: object) -> Iterable[object]:
    """Return an iterable of the images: ``[images]`` for a single one, else the iterable itself.

    Raises:
        ImageError: ``images`` is neither an image nor an ordered iterable.
    """
    if is_one_image(images):
        return [images]
    unordered = isinstance(images, Mapping | AbstractSet)
    # An open file would give its lines, a table its columns' names.
    if unordered or hasattr(images, "read") or getattr(images, "ndim", 1) == 2:
        raise _no_images(images)
    if isinstance(images, Iterable):
        return images
    if is_array_like(images):
        return as_numpy(images)
    raise _no_images(images)


def _no_images(images: object) -> ImageError:
    return ImageError(
        f"Expected an image or a sequence of images; got {type_of(images)}. An image is {KINDS}."
    )


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
    if not is_folder(root):
        raise InputError(f"There is no folder '{shorten(str(root))}'.")
    found = walk_images(root)
    if found.failures and failures is None:
        path, reason = found.failures[0]
        more = f" ({len(found.failures) - 1} more)" if len(found.failures) > 1 else ""
        raise InputError(f"Cannot read '{path}'{more}: {reason}")
    found.log_skipped(root)
    if failures is not None:
        failures += found.failures
    if not found.files and not found.failures:
        raise InputError(f"The folder '{root}' holds no image files ({suffixes_for_messages()}).")
    return [root / file for file in found.files]
