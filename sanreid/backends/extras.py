"""The packages of the extra ``export``, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sanreid.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, purpose: str) -> Any:  # noqa: ANN401 - an optional module
    """Import ``module``.

    Args:
        module: Its name.
        purpose: What needs it, for the message: ``"The backend 'onnx'"``.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs the package {package!r} ({error}). Install the extra: "
            "pip install 'sanreid[export]'."
        ) from error
