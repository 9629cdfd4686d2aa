"""Loading modules of the user's own, which register losses and data sets."""

from __future__ import annotations

from importlib import import_module

from sanreid.errors import ConfigError
from sanreid.train.config.run import TrainConfig

__all__ = ["import_extensions"]


def import_extensions(config: TrainConfig) -> None:
    """Import the modules that ``run.imports`` names.

    Raises:
        ConfigError: One of them cannot be imported.
    """
    for name in config.run.imports:
        try:
            import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"run.imports names the module {name!r}, which cannot be imported ({error}). "
                "Install it, or run from the folder that holds it."
            ) from error
