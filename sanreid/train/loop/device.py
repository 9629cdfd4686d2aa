"""Which device and which precision a run uses."""

from __future__ import annotations

import torch
from torch import Tensor

from sanreid.backends.device import parse_device
from sanreid.errors import ConfigError, InputError
from sanreid.train.config import TrainConfig
from sanreid.train.loop import distributed

__all__ = ["autocast_dtype", "resolve_device", "sent"]


def resolve_device(name: str) -> torch.device:
    """Return the device; ``"auto"`` is CUDA if there is one, else the CPU.

    Without a number ``"cuda"`` is this process's own of several, as ``torchrun`` counts them.

    Raises:
        ConfigError: There is no such device.
    """
    try:
        device = parse_device(name)
    except InputError:
        raise ConfigError(f"run.device must be auto, cpu or cuda; got {name!r}.") from None
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError(f"run.device must be auto, cpu or cuda; got {name!r}.")
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        raise ConfigError("run.device is 'cuda', but torch finds no CUDA device here.")
    number = distributed.local_rank() if ":" not in str(device) else device.index
    if number >= torch.cuda.device_count():
        raise ConfigError(
            f"There is no CUDA device {number}: torch finds {torch.cuda.device_count()}, "
            "counted from 0. Give run.device another number, or torchrun fewer processes."
        )
    return torch.device("cuda", number)


def autocast_dtype(config: TrainConfig) -> torch.dtype | None:
    """Give the dtype of autocast; None for plain float32."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[config.run.precision]


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Give ``x`` on the device; nobody waits for the copy to a GPU to be done."""
    if device.type != "cuda" or x.is_cuda:
        return x.to(device)
    return (x if x.is_pinned() else x.pin_memory()).to(device, non_blocking=True)
