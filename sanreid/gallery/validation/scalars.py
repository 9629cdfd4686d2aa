"""Single values that only galleries take: waits and the encoder's fingerprint."""

from __future__ import annotations

from typing import Any

from sanreid.errors import GalleryError, InputError
from sanreid.utils.arrays import plain, shown

__all__ = [
    "as_fingerprint",
    "as_wait",
    "check_encoder",
]

_LONGEST_WAIT_S = 1e9  # some thirty years


def as_wait(wait: Any) -> float:  # noqa: ANN401 - as passed
    """Return how many seconds to wait; infinity waits for ever."""
    seconds = plain(wait)
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not seconds >= 0:
        raise InputError(f"wait must be seconds, at least 0; got {shown(wait)}.")
    return float(min(seconds, _LONGEST_WAIT_S))


def as_fingerprint(fingerprint: Any) -> str | None:  # noqa: ANN401 - as passed
    """Return the fingerprint of an encoder, a non-empty str or None."""
    if fingerprint is not None and (not isinstance(fingerprint, str) or not fingerprint):
        raise InputError(
            f"encoder_fingerprint must be a non-empty str or None; got {shown(fingerprint)}."
        )
    return fingerprint


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
