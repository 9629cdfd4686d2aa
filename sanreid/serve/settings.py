"""What a service allows, and the token it asks for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from sanreid.errors import ConfigError
from sanreid.utils.arrays import shown
from sanreid.utils.paths import as_path

__all__ = ["TOKEN_VARIABLE", "Limits", "check_hosts", "check_token", "read_token"]

TOKEN_VARIABLE = "SANREID_TOKEN"  # noqa: S105 - the variable's name
_MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, and all requests together, may ask of a service.

    Bodies of all requests in progress are held in memory: at most ``max_requests`` times
    ``max_body_bytes``.

    Args:
        max_body_bytes: Size of a request's body.
        max_crops: Images in one request.
        max_pixels: Pixels of one image, by its header; larger ones are never decoded.
        max_k: Hits per query, and those that ``rerank``, ``expand`` and ``top`` look at.
        max_requests: Requests in progress; further ones are answered with 503 at once.
        threads: Requests that embed, search or write at the same time; others wait for them.
        body_timeout_s: Seconds in which a body must have arrived.

    Raises:
        ConfigError: A limit is not a number above 0.
    """

    max_body_bytes: int = 16 * 2**20
    max_crops: int = 64
    max_pixels: int = 2**24
    max_k: int = 1000
    max_requests: int = 32
    threads: int = 4
    body_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = (int, float) if field.name.endswith("_s") else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or not value > 0:
                raise ConfigError(f"{field.name} must be a number above 0; got {value!r}.")


def check_hosts(hosts: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the host names that a service answers to; None for any.

    Raises:
        ConfigError: They are not several texts; the letters of one text are no names.
    """
    if hosts is None:
        return None
    several = isinstance(hosts, Iterable) and not isinstance(hosts, str)
    names = tuple(hosts) if several else ()
    if not several or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"hosts must be texts, such as ['localhost']; got {shown(hosts)}.")
    return names


def check_token(token: str | None) -> str | None:
    """Return a token that is long enough; None for a service that asks for none.

    Raises:
        ConfigError: It is too short, or cannot be sent in a header. It is not in the message.
    """
    if token is None:
        return None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise ConfigError("The token must be printable ASCII text.")
    if len(token) < _MIN_TOKEN_LENGTH or " " in token:
        raise ConfigError(
            f"The token must have at least {_MIN_TOKEN_LENGTH} characters and no spaces; got "
            f"{len(token)}. 'openssl rand -hex 32' makes one."
        )
    return token


def read_token(file: str | Path | None = None) -> str | None:
    """Return the token from a file, or from the environment variable ``SANREID_TOKEN``.

    Args:
        file: Holds the token on one line. None: the environment variable, if it is set.

    Raises:
        ConfigError: The file cannot be read, or the token is too short.
    """
    if file is None:
        return check_token(os.environ.get(TOKEN_VARIABLE))
    path = as_path(file, "the file of the token")
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The token cannot be read from {path}: {type(error).__name__}."
        ) from error
    return check_token(text.strip())
