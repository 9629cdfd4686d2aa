"""Checkpoints: the whole state of a run, written so that a crash leaves the old or the new one."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sanreid.errors import TrainingError
from sanreid.utils.files import atomic_write

__all__ = ["FORMAT_VERSION", "load_checkpoint", "network_state", "save_checkpoint"]

FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors and plain values) to ``path``, whole or not at all.

    Raises:
        TrainingError: It cannot be written, on a full disk for example; the one there before
            stays.
    """
    try:
        with atomic_write(path, durable=True) as file:
            torch.save({"format_version": FORMAT_VERSION, **state}, file)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the second
        raise TrainingError(
            f"The checkpoint {path} cannot be written: {error}. The one before it, if there is "
            "one, is whole: make room and go on with --resume."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; tensors and plain values only, no other pickled object.

    Raises:
        TrainingError: The file is missing, damaged, of a newer format or something else.
    """
    if not path.is_file():
        raise TrainingError(f"There is no checkpoint at {path}; start the run without --resume.")
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()  # torch.load() compares no checksum
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); it is damaged or "
            "something else."
        ) from error
    if damaged:
        raise TrainingError(f"{path} is damaged: the checksum of {damaged} is wrong.")
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise TrainingError(
            f"{path} has the checkpoint format {version!r}; this sanreid reads {FORMAT_VERSION}."
        )
    return state


def network_state(state: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Give the network's tensors out of a checkpoint: the averaged ones where there are any."""
    average = state.get("ema")
    tensors: Mapping[str, Tensor] = average["average"] if average else state["model"]
    return tensors
