"""What the pictures of crops ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from sanreid.errors import InputError
from sanreid.images import is_one_image
from sanreid.viz.markup import Mark

__all__ = [
    "check_several",
    "checked_count",
    "checked_labels",
    "checked_marks",
]


def check_several(name: str, images: object) -> None:
    """Refuse one image where a sequence is wanted: a path, too, has a length.

    Raises:
        InputError: It is one image.
    """
    if is_one_image(images):
        raise InputError(f"{name} wants a sequence; put one image into a list.")


def checked_count(
    name: str, values: Sequence[Any] | None, count: int, *, of: str = "picture"
) -> list[Any]:
    """Return one value per item; None stands for nothing known of any.

    Raises:
        InputError: There are more or fewer.
    """
    if values is None:
        return [None] * count
    if len(values) != count:
        raise InputError(f"{name} must be one a {of}; got {len(values)} for {count}.")
    return list(values)


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
