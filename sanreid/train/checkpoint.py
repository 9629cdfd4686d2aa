"""Checkpoints: the whole state of a run, written so that a crash leaves the old or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import torch

from sanreid.errors import TrainingError

__all__ = ["FORMAT_VERSION", "load_checkpoint", "save_checkpoint", "write_atomically"]

FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors and plain values) to ``path``, whole or not at all."""
    with _replacing(path) as temporary:
        torch.save({"format_version": FORMAT_VERSION, **state}, temporary.path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; tensors and plain values only, no other pickled object.

    Raises:
        TrainingError: The file is missing, damaged, of a newer format or something else.
    """
    if not path.is_file():
        raise TrainingError(f"There is no checkpoint at {path}; start the run without --resume.")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); it is damaged or "
            "something else."
        ) from error
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise TrainingError(
            f"{path} has the checkpoint format {version!r}; this sanreid reads {FORMAT_VERSION}."
        )
    return state


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all."""
    with _replacing(path) as temporary:
        temporary.path.write_text(text, encoding="utf-8")


class _replacing:  # noqa: N801 - used as a statement
    """A temporary file beside ``path`` that takes its place when the block ends well."""

    def __init__(self, path: Path) -> None:
        self.target = path
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        self.path = Path(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.path.unlink(missing_ok=True)
            return
        mask = os.umask(0)  # mkstemp lets the owner alone read; files here are as any other
        os.umask(mask)
        self.path.chmod(0o666 & ~mask)
        _sync(self.path)
        self.path.replace(self.target)
        if os.name == "posix":
            _sync(self.target.parent)  # the new name itself survives a power cut


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
