"""Where and how precisely torch computes, and what a forked process may do."""

from __future__ import annotations

import logging
import os
import sys
import threading

import torch

from sanreid.errors import InputError
from sanreid.utils.arrays import shown

__all__ = [
    "after_fork",
    "compute_dtype",
    "parse_device",
    "resolve_device",
    "resolve_dtype",
]

logger = logging.getLogger(__name__)

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "float": torch.float32,
    "float16": torch.float16,
    "fp16": torch.float16,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
}


def parse_device(device: str | int | torch.device) -> torch.device:
    """Return the device that is meant; ``"auto"`` is CUDA if there is one, else the CPU.

    Raises:
        InputError: Torch knows no such device.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except (RuntimeError, TypeError, ValueError) as error:  # the last: a number too large
        raise _unusable(device, error) from error


def resolve_device(device: str | int | torch.device) -> torch.device:
    """Return the device, see :func:`parse_device`, once a tensor was made on it.

    Raises:
        InputError: Torch knows no such device, or this machine has none.
    """
    resolved = parse_device(device)
    if device == "auto":  # torch has said what there is
        return resolved
    try:
        torch.zeros(0, device=resolved).cpu()  # "meta" makes tensors, but has no values
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise _unusable(device, error) from error
    return resolved


def _unusable(device: object, error: Exception) -> InputError:
    first_line = str(error).partition("\n")[0]
    return InputError(
        f"The device {shown(device)} cannot be used here ({first_line}); "
        "pass 'auto', 'cpu', 'cuda' or 'cuda:N'."
    )


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Return the precision; ``"auto"`` is bfloat16 where the device is fast at it, else float32.

    Raises:
        InputError: ``dtype`` is none of float32, float16, bfloat16.
    """
    if isinstance(dtype, str) and dtype == "auto":
        return torch.bfloat16 if _has_native_bfloat16(device) else torch.float32
    resolved = _DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if not isinstance(resolved, torch.dtype) or resolved not in _DTYPES.values():
        raise InputError(
            f"dtype must be 'auto', 'float32', 'float16' or 'bfloat16'; got {shown(dtype)}."
        )
    return resolved


def compute_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the precision to run in: float32 instead of float16 on a CPU, which is faster."""
    slow = device.type == "cpu" and dtype == torch.float16
    return torch.float32 if slow else dtype


def _has_native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # untyped in torch
        return False
    # Torch has no public question for these two; a release without them means float32.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, bool)() for question in questions)


def after_fork(backend: str, device: torch.device) -> None:
    """Make a forked process able to compute, or refuse at once what would hang in it.

    PyTorch's threads do not survive a fork: the first operation that waits for them waits for
    ever. One thread needs no other, so a forked process is set to one, once, with a warning.

    Raises:
        InputError: The backend or the device cannot be used in a forked process.
    """
    if os.getpid() == _started_in:
        return
    with _lock:
        if os.getpid() not in _inherited:
            _inherited[os.getpid()] = "openvino" in sys.modules
            if torch.get_num_threads() > 1:
                torch.set_num_threads(1)
                logger.warning(
                    "This process was forked after torch was loaded, whose threads do not survive "
                    "a fork: it computes with one thread. %s",
                    _REMEDY,
                )
    if backend == "openvino" and _inherited[os.getpid()]:
        raise InputError(f"OpenVINO was loaded before this process was forked. {_REMEDY}")
    if device.type == "cuda":
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]  # untyped in torch
        except RuntimeError as error:
            what = str(error).partition("\n")[0].partition(" To use CUDA")[0].rstrip(".")
            raise InputError(f"{what}. {_REMEDY}") from error


_started_in = os.getpid()  # the process that loaded this module; any other was forked from it
_inherited: dict[int, bool] = {}  # forked processes: whether OpenVINO was loaded before
_lock = threading.Lock()
_REMEDY = (
    "For all threads and devices, load the encoder in each process: start processes with "
    "multiprocessing's 'spawn' method, or load after the fork (gunicorn without --preload)."
)
