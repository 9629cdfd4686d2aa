"""What a backend is, which there are, and where and how precisely each can compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.backends.device import resolve_device, resolve_dtype
from sanreid.errors import InputError

__all__ = ["Backend", "BackendName", "resolve"]

Backend: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Crops (N, H, W, 3) RGB at the encoder's size to embeddings (N, D), not normalised."""

BackendName = Literal["torch", "onnx", "openvino"]

_DTYPES = {"onnx": ("float32",), "openvino": ("float32", "bfloat16")}
_RUNTIMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}


def resolve(
    backend: str, device: str | int | torch.device, dtype: str | torch.dtype
) -> tuple[torch.device, torch.dtype]:
    """Give the device and the precision that ``backend`` computes on and in.

    Raises:
        InputError: There is no such backend, or it cannot have them.
    """
    if backend not in get_args(BackendName):
        known = ", ".join(repr(name) for name in get_args(BackendName))
        raise InputError(f"backend must be one of {known}; got {backend!r}.")
    if backend == "torch":
        resolved = resolve_device(device)
        return resolved, resolve_dtype(dtype, resolved)
    resolved = torch.device("cpu") if device == "auto" else resolve_device(device)
    if resolved.type != "cpu":
        raise InputError(
            f"The backend {backend!r} runs on the CPU; got the device '{resolved}'. "
            "backend='torch' runs on CUDA."
        )
    allowed = _DTYPES[backend]
    if dtype == "auto" and allowed == ("float32",):
        dtype = "float32"
    precision = resolve_dtype(dtype, resolved)
    if str(precision).removeprefix("torch.") not in allowed:
        raise InputError(
            f"{_RUNTIMES[backend]} computes in {' or '.join(allowed)} here; got {dtype!r}."
        )
    return resolved, precision
