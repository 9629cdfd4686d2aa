"""Checkpoints: the whole state of a run, written so that a crash leaves the old or the new one."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sanreid.errors import TrainingError
from sanreid.train.config import TrainConfig
from sanreid.train.config.loader import config_from_dict
from sanreid.utils.files import atomic_write

__all__ = [
    "FORMAT_VERSION",
    "as_trained",
    "encoder_state",
    "load_checkpoint",
    "load_into_network",
    "load_run",
    "network_state",
    "save_checkpoint",
    "trained_size",
]

FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors and plain values) to ``path``, whole or not at all.

    Raises:
        TrainingError: It cannot be written, for example because the disk is full; the previous
            checkpoint is kept.
    """
    try:
        with atomic_write(path, durable=True) as file:
            torch.save({"format_version": FORMAT_VERSION, **state}, file)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the second
        raise TrainingError(
            f"The checkpoint {path} cannot be written: {error}. The previous one, if there is "
            "one, is whole: free some space and continue with --resume."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; tensors and plain values only, no other pickled object.

    Raises:
        TrainingError: The file is missing, damaged, of a newer format, or not a checkpoint.
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
            "not a checkpoint."
        ) from error
    if damaged:
        raise TrainingError(f"{path} is damaged: the checksum of {damaged} is wrong.")
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise TrainingError(
            f"{path} has the checkpoint format {version!r}; this sanreid reads {FORMAT_VERSION}."
        )
    return state


def load_run(folder: Path, *, which: str = "best") -> tuple[TrainConfig, dict[str, Any]]:
    """Return the configuration of a run and one of its checkpoints.

    Args:
        folder: The folder of the run.
        which: ``"best"`` or ``"last"``.

    Raises:
        TrainingError: The folder holds no run, or no such checkpoint yet.
    """
    path = folder / f"{which}.ckpt"
    if not path.is_file():
        found = sorted(one.name for one in folder.glob("*.ckpt"))
        raise TrainingError(
            f"{folder} has no {path.name}; "
            + (
                f"it has {found[0]}: --which {Path(found[0]).stem}."
                if found
                else "it holds no run."
            )
        )
    state = load_checkpoint(path)
    return config_from_dict(state["config"]), state


def as_trained(config: TrainConfig, state: Mapping[str, Any]) -> TrainConfig:
    """Return a run's configuration for the network in one of its checkpoints.

    Its ``encoder.input_size`` is the size of the crops of the last step, which is smaller where
    ``run.sizes`` made it so.
    """
    size = state.get("input_size")
    if size is None and "progress" in state:  # written by an earlier version
        progress = state["progress"]
        size = config.size_after(progress["epoch"] + bool(progress["position"]))
    return config.at_size(size)


def trained_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) of the crops that the network in a checkpoint was trained on.

    Raises:
        TrainingError: It is no checkpoint of a run.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return as_trained(config_from_dict(state["config"]), state).encoder.input_size
    except Exception as error:
        raise TrainingError(f"{path} cannot be read as the checkpoint of a run.") from error


def load_into_network(network: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Load the tensors of a run's checkpoint into a network built anew.

    Args:
        network: Built from the run's settings, perhaps with changes.
        tensors: What :func:`network_state` or :func:`encoder_state` returns.
        folder: The folder of the run, for the message.

    Raises:
        TrainingError: They do not fit, because a changed setting makes another network.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        _, *reasons = (line.strip() for line in str(error).splitlines())
        raise TrainingError(
            f"The weights in {folder} do not fit the network of these settings: {reasons[0]} "
            "Leave out what --set changes of the network."
        ) from error


def network_state(state: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Return the tensors of the network in a checkpoint: the averaged ones if there are any."""
    average = state.get("ema")
    tensors: Mapping[str, Tensor] = average["average"] if average else state["model"]
    return tensors


def encoder_state(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the encoder in a checkpoint: the averaged ones if there are any."""
    return {
        key.removeprefix("encoder."): x
        for key, x in network_state(state).items()
        if key.startswith("encoder.")
    }
