"""Loading modules of the user's own, which register losses, data sets and backbones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from sanreid.errors import ConfigError

__all__ = ["import_extensions"]


def import_extensions(values: Mapping[str, Any]) -> None:
    """Import the modules that ``run.imports`` names, before what they register is looked up.

    Only modules on this machine's own import path can be named; nothing is fetched or unpickled.

    Args:
        values: The nested plain values of a configuration, not yet checked.

    Raises:
        ConfigError: One of them cannot be imported.
    """
    section = values.get("run")
    names = section.get("imports", ()) if isinstance(section, Mapping) else ()
    for name in names if isinstance(names, list | tuple) else ():
        if not isinstance(name, str):
            continue  # the check of types names it
        try:
            import_module(name)
        except (ImportError, ValueError) as error:  # the second for an empty name
            raise ConfigError(
                f"run.imports names the module {name!r}, which cannot be imported ({error}). "
                "Install it, or run from the folder that holds it."
            ) from error
