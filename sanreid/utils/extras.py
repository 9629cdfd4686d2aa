"""Optional packages, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sanreid.errors import MissingExtraError

__all__ = ["missing_extra", "require_extra"]


def require_extra(module: str, *, purpose: str, install: str) -> Any:  # noqa: ANN401 - a module
    """Import and return an optional module.

    Args:
        module: Its name, such as ``"onnxruntime"`` or ``"torch.utils.tensorboard"``.
        purpose: What needs it, the subject of the message: ``"The backend 'onnx'"``.
        install: What pip installs to get it: ``"sanreid[export]"``.

    Raises:
        MissingExtraError: It is not installed, or does not import.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise missing_extra(
            package, purpose=purpose, install=install, reason=str(error)
        ) from error


def missing_extra(
    package: str, *, purpose: str, install: str, reason: str = "not installed"
) -> MissingExtraError:
    """Return the error for a package that is not there; see :func:`require_extra`."""
    wanted = f"'{install}'" if "[" in install else install  # shells expand brackets
    what = "the extra" if "[" in install else "it"
    return MissingExtraError(
        f"{purpose} needs the package {package!r} ({reason}). Install {what}: pip install {wanted}"
    )
