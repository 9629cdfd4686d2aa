"""What the pictures of crops ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, get_args

from sanreid.errors import InputError
from sanreid.images import is_one_image
from sanreid.utils.arguments import as_count, check_kind
from sanreid.utils.arrays import plain_values, shown
from sanreid.viz.markup import Mark

__all__ = [
    "check_several",
    "checked_column",
    "checked_count",
    "checked_crop_size",
    "checked_labels",
    "checked_marks",
]

_LONGEST_SIDE = 4096  # of a crop in a picture


def check_several(name: str, images: object) -> None:
    """Refuse one image where a sequence is wanted: a path, too, has a length.

    Raises:
        InputError: It is one image, or no sequence.
    """
    if is_one_image(images):
        raise InputError(f"{name} wants a sequence; put one image into a list.")
    check_kind(images, name, Sized, "a sequence of images")


def checked_count(
    name: str, values: Sequence[Any] | None, count: int, *, of: str = "picture"
) -> list[Any]:
    """Return one value per item; None stands for nothing known of any.

    Raises:
        InputError: There are more or fewer, or they are no sequence.
    """
    if values is None:
        return [None] * count
    check_kind(values, name, Sized, f"a sequence, one a {of}")
    if len(values) != count:
        raise InputError(f"{name} must be one a {of}; got {len(values)} for {count}.")
    return list(values)


def checked_column(
    name: str,
    values: Any,  # noqa: ANN401 - of any library
    count: int,
    *,
    of: str,
) -> list[Any]:
    """:func:`checked_count` for people or cameras: Python's own values, missing ones as None."""
    return checked_count(
        name, None if values is None else plain_values(values, name), count, of=of
    )


def checked_crop_size(crop_size: object) -> tuple[int, int]:
    """Return (height, width) in pixels.

    Raises:
        InputError: They are not two whole numbers from 1 to 4,096.
    """
    try:
        height, width = (
            as_count(side, "crop_size", most=_LONGEST_SIDE)
            for side in crop_size  # type: ignore[attr-defined]
        )
    except (TypeError, ValueError):  # InputError is one
        raise InputError(
            f"crop_size must be (height, width), whole numbers from 1 to {_LONGEST_SIDE:,}; "
            f"got {shown(crop_size)}."
        ) from None
    return height, width


def checked_labels(labels: Sequence[str] | None, count: int) -> list[str]:
    """Return one caption per picture, "" where there are none.

    Raises:
        InputError: There are more or fewer, or one is no text.
    """
    given = checked_count("labels", [""] * count if labels is None else labels, count)
    for index, label in enumerate(given):
        if not isinstance(label, str):
            raise InputError(f"labels must be texts; got {label!r} at index {index}.")
    return given


def checked_marks(marks: Sequence[Mark] | None, count: int) -> list[Mark]:
    """Return one mark per picture, "none" where there are none.

    Raises:
        InputError: There are more or fewer, or one is unknown.
    """
    given = checked_count("marks", ["none"] * count if marks is None else marks, count)
    for index, mark in enumerate(given):
        if mark not in get_args(Mark):
            known = ", ".join(get_args(Mark))
            raise InputError(f"marks are {known}; got {mark!r} at index {index}.")
    return given
