"""The one check that every section of the configuration uses."""

from __future__ import annotations

from sanreid.errors import ConfigError

__all__ = ["require"]


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with ``message`` unless the condition holds."""
    if not condition:
        raise ConfigError(message)
