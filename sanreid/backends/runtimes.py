"""The backends, one row each: what runs the network, in which precision, from which file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sanreid.backends.cuda import CudaBackend
from sanreid.backends.device import compute_dtype, resolve_device, resolve_dtype
from sanreid.backends.exports.description import Description
from sanreid.backends.exports.graphs import to_onnx, to_openvino
from sanreid.backends.interface import Backend
from sanreid.backends.network import TorchBackend
from sanreid.backends.onnx_runtime import OnnxBackend
from sanreid.backends.open_vino import OpenVinoBackend
from sanreid.errors import InputError
from sanreid.utils.arguments import check_choice

__all__ = ["RUNTIMES", "Runtime", "resolve"]

Describe = Callable[[], Description]  # costs the fingerprint of the weights


@dataclass(frozen=True, slots=True)
class Runtime:
    """One backend.

    Args:
        title: For messages.
        dtypes: The precisions that it computes in.
        suffix: Of the exported files that it runs; None where there are none.
        load: Make the backend of an exported file, in a precision.
        convert: Make the backend of a module in memory, on a device and in a precision.
    """

    title: str
    dtypes: tuple[str, ...]
    suffix: str | None
    load: Callable[[Path, torch.dtype], Any] | None
    convert: Callable[[nn.Module, Describe, torch.device, torch.dtype], Backend]


def _torch(
    module: nn.Module, describe: Describe, device: torch.device, dtype: torch.dtype
) -> Backend:
    kind = CudaBackend if device.type == "cuda" else TorchBackend
    return kind(module, describe().config, device=device, dtype=compute_dtype(dtype, device))


def _onnx(module: nn.Module, describe: Describe, _: torch.device, __: torch.dtype) -> Backend:
    return OnnxBackend(to_onnx(module, describe()))


def _openvino(
    module: nn.Module, describe: Describe, _: torch.device, dtype: torch.dtype
) -> Backend:
    description = describe()
    model = to_openvino(to_onnx(module, description), description)
    return OpenVinoBackend(model, dtype=dtype)


RUNTIMES = {
    "torch": Runtime("torch", ("float32", "float16", "bfloat16"), None, None, _torch),
    "onnx": Runtime(
        "ONNX Runtime", ("float32",), ".onnx", lambda path, _: OnnxBackend(path), _onnx
    ),
    "openvino": Runtime(
        "OpenVINO",
        ("float32", "bfloat16"),
        ".xml",
        lambda path, dtype: OpenVinoBackend(path, dtype=dtype),
        _openvino,
    ),
}


def resolve(
    backend: str, device: str | int | torch.device, dtype: str | torch.dtype
) -> tuple[torch.device, torch.dtype]:
    """Return the device and the precision that ``backend`` computes on and in.

    Raises:
        InputError: There is no such backend, or it cannot have them.
    """
    check_choice(backend, "backend", RUNTIMES)
    if backend == "torch":
        resolved = resolve_device(device)
        return resolved, resolve_dtype(dtype, resolved)
    is_auto = isinstance(device, str) and device == "auto"
    resolved = torch.device("cpu") if is_auto else resolve_device(device)
    if resolved.type != "cpu":
        raise InputError(
            f"The backend {backend!r} runs on the CPU; got the device '{resolved}'. "
            "backend='torch' runs on CUDA."
        )
    runtime = RUNTIMES[backend]
    if isinstance(dtype, str) and dtype == "auto" and runtime.dtypes == ("float32",):
        dtype = "float32"
    precision = resolve_dtype(dtype, resolved)
    if str(precision).removeprefix("torch.") not in runtime.dtypes:
        raise InputError(
            f"{runtime.title} computes in {' or '.join(runtime.dtypes)} here; got {dtype!r}."
        )
    return resolved, precision
