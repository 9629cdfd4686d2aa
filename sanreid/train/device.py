"""Which device and which precision a run uses."""

from __future__ import annotations

import torch

from sanreid.errors import ConfigError
from sanreid.train import distributed
from sanreid.train.config import TrainConfig

__all__ = ["autocast_dtype", "resolve_device"]


def resolve_device(name: str) -> torch.device:
    """Give the device; ``"auto"`` is this process's CUDA device if there is one, else the CPU.

    Raises:
        ConfigError: There is no such device.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", distributed.local_rank())
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"run.device must be auto, cpu or cuda; got {name!r}.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("run.device is 'cuda', but torch finds no CUDA device here.")
    return device


def autocast_dtype(config: TrainConfig) -> torch.dtype | None:
    """Give the dtype of autocast; None for plain float32."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[config.run.precision]
