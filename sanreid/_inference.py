"""The network as it runs at inference: batch-norm folded, channels last, in the asked precision.

A backend is any callable ``(N, H, W, 3) uint8 -> (N, D) float32``; :class:`TorchBackend` is the
one that is always there. It works on a private copy, so the module it was made from stays plain.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sanreid.config import EncoderConfig
from sanreid.errors import InputError
from sanreid.models import SAEnc

__all__ = [
    "LOADED_IN",
    "Backend",
    "TorchBackend",
    "compute_dtype",
    "resolve_device",
    "resolve_dtype",
    "warn_of_fork",
]

logger = logging.getLogger(__name__)

LOADED_IN = os.getpid()  # the process that loaded torch; another one was forked from it

Backend: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

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


def resolve_device(device: str | int | torch.device) -> torch.device:
    """Give the device; ``"auto"`` is CUDA if there is one, else the CPU.

    Raises:
        InputError: Torch knows no such device, or this machine has none.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.zeros(0, device=resolved).cpu()  # "meta" makes tensors, but has no values
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(
            f"The device {device!r} cannot be used here ({first_line}); "
            "give 'auto', 'cpu', 'cuda' or 'cuda:N'."
        ) from error
    return resolved


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Give the precision; ``"auto"`` is bfloat16 where the device is fast at it, else float32.

    Raises:
        InputError: ``dtype`` is none of float32, float16, bfloat16.
    """
    if isinstance(dtype, str) and dtype == "auto":
        return torch.bfloat16 if _has_native_bfloat16(device) else torch.float32
    resolved = _DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if resolved is None or resolved not in _DTYPES.values():
        raise InputError(
            f"dtype must be 'auto', 'float32', 'float16' or 'bfloat16'; got {dtype!r}."
        )
    return resolved


def compute_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The precision the network runs in: float16 on a CPU runs in float32, which is faster."""
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


def warn_of_fork(device: torch.device) -> None:
    """Say, before it happens, why a forked process may hang."""
    if device.type == "cpu" and torch.get_num_threads() > 1:
        logger.warning(
            "This process was forked after torch was loaded. PyTorch's threads do not survive a "
            "fork, so encoding may wait for ever: start processes with multiprocessing's 'spawn' "
            "method, or call torch.set_num_threads(1) in the forked process first."
        )


class TorchBackend:
    """Runs a copy of the network, faster than the module itself and with the same result.

    Args:
        module: SA-Enc, or any module that maps normalised crops (N, 3, H, W) to embeddings
            (N, D) or to a result with ``.embedding``.
        config: For the normalisation.
        device: Where to run.
        dtype: Precision of the convolutions; pooling's result and the head are in float32.
    """

    def __init__(
        self, module: nn.Module, config: EncoderConfig, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.device = device
        self.dtype = dtype
        self._network = _inference_copy(module).to(device=device, dtype=dtype)
        self._network.to(memory_format=torch.channels_last)
        self._head: nn.Module | None = None
        if isinstance(self._network, SAEnc):
            self._head = self._network.head.float()
        # (x / 255 - mean) / std as x * scale + shift, on the device.
        mean, std = torch.tensor(config.mean), torch.tensor(config.std)
        self._scale = (1 / (255 * std)).to(device).view(1, 3, 1, 1)
        self._shift = (-mean / std).to(device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map crops (N, H, W, 3) to embeddings (N, D), not normalised."""
        pixels = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2)  # channels last
        normalised = torch.addcmul(self._shift, pixels.float(), self._scale)
        embeddings = self._forward(normalised.to(self.dtype))
        result: NDArray[np.float32] = embeddings.float().cpu().numpy()
        return result

    def _forward(self, crops: Tensor) -> Tensor:
        network = self._network
        if isinstance(network, SAEnc):
            pooled = network.pooling(network.trunk(crops)[-1])
            embeddings: Tensor = network.head(pooled.float())
            return embeddings
        output = network(crops)
        return output if isinstance(output, Tensor) else output.embedding


def _inference_copy(module: nn.Module) -> nn.Module:
    """Copy ``module``; each batch-norm that directly follows a convolution goes into it."""
    network = copy.deepcopy(module).eval().requires_grad_(requires_grad=False)
    if isinstance(network, SAEnc):
        for parent in network.trunk.modules():
            _fold(parent)
    return network


def _fold(parent: nn.Module) -> None:
    """Fold ``bnK`` into ``convK``, and the pairs of a Sequential, as torchvision's ResNet has."""
    children = dict(parent.named_children())
    for name, child in children.items():
        if not isinstance(child, nn.Conv2d):
            continue
        partner = f"bn{name.removeprefix('conv')}" if name.startswith("conv") else "1"
        norm = children.get(partner)
        if isinstance(norm, nn.BatchNorm2d):
            setattr(parent, name, fuse_conv_bn_eval(child, norm))
            setattr(parent, partner, nn.Identity())
