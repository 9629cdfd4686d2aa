"""Single values: counts, numbers, seeds and the encoder's fingerprint."""

from __future__ import annotations

import math
from typing import Any

from sanreid.errors import GalleryError, InputError
from sanreid.utils.arrays import plain, shorten

__all__ = [
    "as_count",
    "as_fingerprint",
    "as_number",
    "as_seed",
    "as_wait",
    "check_choice",
    "check_encoder",
    "check_int64",
    "is_finite",
]

_LONGEST_WAIT_S = 1e9  # some thirty years


def as_count(value: Any, name: str, *, least: int = 1) -> int:  # noqa: ANN401 - as passed
    """Return ``value`` as an int of at least ``least``."""
    return _as_int(value, name, least=least)


def as_seed(value: Any) -> int:  # noqa: ANN401 - as passed
    """Return a seed of random numbers, an int of at least 0."""
    return _as_int(value, "seed", least=0)


def _as_int(value: Any, name: str, *, least: int) -> int:  # noqa: ANN401 - as passed
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InputError(f"{name} must be an int of at least {least}; got {shorten(value)}.")
    if number < least:
        raise InputError(f"{name} must be at least {least}; got {shorten(number)}.")
    return check_int64(number, name)


def as_number(value: Any, name: str) -> float:  # noqa: ANN401 - as passed
    """Return ``value`` as a finite float."""
    number = plain(value)
    if isinstance(number, bool) or not is_finite(number):
        raise InputError(f"{name} must be a finite number; got {shorten(value)}.")
    return float(number)


def as_wait(wait: Any) -> float:  # noqa: ANN401 - as passed
    """Return how many seconds to wait; infinity waits for ever."""
    seconds = plain(wait)
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not seconds >= 0:
        raise InputError(f"wait must be seconds, at least 0; got {shorten(wait)}.")
    return float(min(seconds, _LONGEST_WAIT_S))


def as_fingerprint(fingerprint: Any) -> str | None:  # noqa: ANN401 - as passed
    """Return the fingerprint of an encoder, a non-empty str or None."""
    if fingerprint is not None and (not isinstance(fingerprint, str) or not fingerprint):
        raise InputError(
            f"encoder_fingerprint must be a non-empty str or None; got {shorten(fingerprint)}."
        )
    return fingerprint


def check_choice(value: Any, name: str, choices: tuple[str, ...]) -> None:  # noqa: ANN401 - as passed
    """Raise InputError unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        known = " or ".join(f'"{choice}"' for choice in choices)
        raise InputError(f"{name} must be {known}; got {shorten(value)}.")


def check_encoder(known: str | None, fingerprint: str | None) -> None:
    """Refuse embeddings of another encoder than the known one; None is compared with nothing.

    Raises:
        GalleryError: Both are given and differ.
    """
    if fingerprint is not None and known is not None and fingerprint != known:
        raise GalleryError(
            f"This gallery holds embeddings of the encoder {known[:12]}; these come from "
            f"{fingerprint[:12]}. Embeddings of two encoders cannot be compared: use the same "
            "weights, or build another gallery."
        )


def is_finite(value: Any) -> bool:  # noqa: ANN401 - any value
    """Return whether ``value`` is a number that a float64 can hold."""
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # an int beyond all floats
        return False


def check_int64(value: int, what: str) -> int:
    """Return ``value`` if it fits in 64 bits; ``what`` begins the message otherwise."""
    if not -(2**63) < value < 2**63:
        raise InputError(f"{what} must fit in 64 bits; got {shorten(value)}.")
    return value
