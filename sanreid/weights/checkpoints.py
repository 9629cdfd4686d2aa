"""Checkpoints of other code, read without running any of it: their tensors by key.

A pickled checkpoint is read by ``torch.load(weights_only=True)`` and in no other way.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.errors import WeightsError
from sanreid.utils.paths import is_folder, shorten
from sanreid.utils.sniffing import describe_text
from sanreid.weights.storage import CONFIG_NAME, WEIGHTS_NAME, is_file, listed, read_state_dict

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HEADS", "read_checkpoint"]

HEADS = ("classifier.", "bottleneck.")  # what trainers put beside a wrapped network

# Where trainers put the state dict, and what wrappers put before its keys: DataParallel,
# torch.compile, Lightning and others.
_HOLDERS = ("state_dict", "model", "model_state_dict", "net", "network", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "base.", "net.", "network.", "backbone.")


def read_checkpoint(source: Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint, out of its wrappings.

    Args:
        source: A ``.safetensors`` file or a pickled checkpoint: the state dict itself, or under
            ``state_dict``, ``model`` and the like, with or without ``module.``, ``_orig_mod.``,
            ``base.`` and the like before its keys.

    Raises:
        WeightsError: It is missing, damaged, something else, or holds more than tensors and plain
            values. The message says what to do.
    """
    if is_folder(source):
        raise WeightsError(f"{source} is a folder; a checkpoint is one file.{_if_ours(source)}")
    if not is_file(source):
        raise WeightsError(f"There is no checkpoint {shorten(str(source))}.")
    if source.suffix == ".safetensors":
        found = read_state_dict(source)
        if found and all(key.startswith(("trunk.", "head.")) for key in found):
            raise WeightsError(
                f"{source} holds weights of sanreid already.{_if_ours(source.parent)}"
            )
        return _without_prefixes(found)
    if described := describe_text(source) or _describe_archive(source):
        raise WeightsError(f"{source} {described}.")
    return _without_prefixes(_state_dict_of(_unpickled(source), source))


def _if_ours(folder: Path) -> str:
    """Return what to do with a folder that is a weights directory, for a message; else ""."""
    if not (is_file(folder / CONFIG_NAME) and is_file(folder / WEIGHTS_NAME)):
        return ""
    return f" {folder} is a weights directory: load it with SANEncoder.from_pretrained."


def _describe_archive(source: Path) -> str | None:
    """Describe an archive that is not a checkpoint; return None for anything else."""
    try:
        with zipfile.ZipFile(source) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    if "constants.pkl" in names:
        return (
            "is a TorchScript archive: a program with its weights, which was not loaded, since "
            "loading it runs its code. Convert the checkpoint that it was exported from"
        )
    if "archive_format" in names:
        return (
            "is a program of torch.export with its weights, which was not loaded. Convert the "
            "checkpoint that it was exported from"
        )
    if "data.pkl" not in names:
        shown = listed(sorted(names))
        return f"is a zip archive of other files ({shown}). Unpack it and convert the checkpoint"
    return None


def _unpickled(source: Path) -> object:
    """Read a pickled checkpoint without running any code of it."""
    import torch  # noqa: PLC0415 - listing weights needs no torch

    # Trainers of reID store the rank-1 reached as a NumPy scalar beside the weights, which
    # weights_only refuses. These stand-ins take its place; no function of NumPy is called.
    stand_ins: list[Any] = [
        (_ignored, "numpy.core.multiarray.scalar"),
        (_ignored, "numpy._core.multiarray.scalar"),
        (_IgnoredDtype, "numpy.dtype"),
    ]
    try:
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats; what fails is an error below
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{source} holds more than tensors and plain values, or is no checkpoint, and was not "
            f"read further: {_reason(error)} Save only the state dict, with the code that wrote "
            "it, and convert that."
        ) from None  # torch's own message advises to run the file's code
    except Exception as error:  # a damaged pickle fails in every way there is
        raise WeightsError(
            f"{source} cannot be read as a checkpoint; it is damaged or something else "
            f"({type(error).__name__}: {_reason(error)})."
        ) from error


def _reason(error: Exception) -> str:
    """Return the line of torch's long message that names what was refused."""
    lines = [line.strip() for line in str(error).splitlines() if "weights_only" not in line]
    named = [line for line in lines if "GLOBAL" in line or "Unsupported" in line]
    reason = (named or lines or [type(error).__name__])[0].partition(" Please use")[0]
    return reason.rstrip(".") + "."


def _state_dict_of(content: object, source: Path) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415 - listing weights needs no torch

    while isinstance(content, Mapping):
        held = [content[name] for name in _HOLDERS if isinstance(content.get(name), Mapping)]
        if not held:
            break
        content = held[0]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"{source} holds {type(content).__name__}, not a state dict (a mapping of names to "
            "tensors)."
        )
    if foreign := [str(key) for key, v in content.items() if not isinstance(v, torch.Tensor)]:
        raise WeightsError(f"{source} is not a state dict: no tensor under {listed(foreign)}.")
    return {str(key): value.detach() for key, value in content.items()}


def _without_prefixes(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off what wrappers have put before all keys, however many wrappers."""
    while True:
        inner = [key for key in found if not key.startswith(HEADS)]
        prefix = next((p for p in _PREFIXES if inner and all(k.startswith(p) for k in inner)), "")
        if not prefix:
            return found
        found = {key.removeprefix(prefix): value for key, value in found.items()}


def _ignored(*_args: object) -> None:
    """Stand in for a NumPy scalar."""


class _IgnoredDtype:
    """Stand in for a NumPy dtype."""

    def __init__(self, *_args: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass
