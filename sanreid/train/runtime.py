"""Where a run computes: its device, its precision, and the processes it is shared among.

Several processes are started by ``torchrun``, by Slurm's ``srun`` or by Ray Train, see
:mod:`sanreid.train.launcher`. Without these there is one process, and every collective function
here is the identity.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sanreid.backends.device import parse_device, resolve_dtype
from sanreid.errors import ConfigError, InputError
from sanreid.train.config import TrainConfig
from sanreid.train.config.run import Precision, RunConfig
from sanreid.train.launcher import launched
from sanreid.train.memory import keep_freed_memory

__all__ = [
    "all_sum",
    "autocast_dtype",
    "gather",
    "is_main",
    "join_group",
    "leave_group",
    "local_rank",
    "prepare_process",
    "rank",
    "resolve_device",
    "to_device",
    "with_precision",
    "world_size",
]

_LONGEST_WAIT = timedelta(hours=6)  # of the others, while the main process evaluates


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; ``"auto"`` is CUDA if available, else the CPU.

    ``"cuda"`` without a number is the device of this process, as ``torchrun`` numbers them.

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
    number = device.index
    if ":" not in str(device):  # srun may lend each process one GPU, which is all that it sees
        is_own = launched().by_slurm and torch.cuda.device_count() == 1
        number = 0 if is_own else local_rank()
    if number >= torch.cuda.device_count():
        raise ConfigError(
            f"There is no CUDA device {number}: torch finds {torch.cuda.device_count()}, "
            "counted from 0. Give run.device another number, or torchrun fewer processes."
        )
    return torch.device("cuda", number)


def prepare_process(run: RunConfig) -> torch.device:
    """Set how many threads this process computes with, and on a CPU let it keep freed memory.

    Both last as long as the process, so this is for commands, not for a library.

    Returns:
        The device that ``run.device`` names.

    Raises:
        ConfigError: There is no such device.
    """
    if run.threads:
        torch.set_num_threads(run.threads)
    device = resolve_device(run.device)
    if device.type == "cpu":
        keep_freed_memory()
    return device


def with_precision(
    config: TrainConfig, device: torch.device, *, recorded: Precision = "auto"
) -> TrainConfig:
    """Return the settings with the precision that ``"auto"`` stands for.

    With several processes it is bf16 if the device of each computes that natively; all of them
    must call this together.

    Args:
        config: The settings; a precision that they name stays.
        device: The device of this process.
        recorded: The precision of the run that is resumed, which a machine does not change.
    """
    if config.run.precision != "auto":
        return config
    precision = recorded
    if precision == "auto":
        lacking = torch.tensor(float(autocast_dtype(config, device) is None), device=device)
        precision = "fp32" if bool(all_sum(lacking)) else "bf16"
    return replace(config, run=replace(config.run, precision=precision))


def autocast_dtype(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """Return the dtype of autocast; None for plain float32."""
    dtype = resolve_dtype(config.run.precision, device)
    return None if dtype == torch.float32 else dtype


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """Return ``x`` on the device, without waiting for a copy to a GPU to finish."""
    if device.type != "cuda" or x.is_cuda:
        return x.to(device)
    return (x if x.is_pinned() else x.pin_memory()).to(device, non_blocking=True)


def local_rank() -> int:
    """Return the rank of this process on its machine, which is the number of its CUDA device."""
    return launched().local_rank


def join_group(device: torch.device) -> bool:
    """Join the process group that the environment announces, if any.

    A group that this process is in already, such as that of Ray Train, is used as it is.

    Returns:
        Whether this call joined it: who joins it leaves it.

    Raises:
        ConfigError: A variable of the environment is no number.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what asks for no device in particular asks for this one
    launch = launched()
    if _is_in_group() or launch.world_size < 2:
        return False
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=launch.init_method,
        rank=launch.rank,
        world_size=launch.world_size,
        timeout=_LONGEST_WAIT,
    )
    return True


def leave_group() -> None:
    """Leave the process group."""
    if _is_in_group():
        dist.destroy_process_group()


def rank() -> int:
    """Return the rank of this process, from 0."""
    return dist.get_rank() if _is_in_group() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if _is_in_group() else 1


def is_main() -> bool:
    """Return whether this process writes the files."""
    return rank() == 0


def gather(x: Tensor) -> Tensor:
    """Concatenate every process's ``x`` (N, ...) in rank order, differentiable in one's own part.

    Meant for a loss that every process computes alike from the joint batch. Each process keeps
    the gradient of its own part, times the number of processes; the average that
    DistributedDataParallel takes afterwards makes that exactly the gradient of the joint loss.
    """
    if world_size() == 1:
        return x
    gathered: Tensor = _Gather.apply(x)
    return gathered


def all_sum(x: Tensor) -> Tensor:
    """Sum a tensor over the processes, without gradient."""
    if world_size() == 1:
        return x
    total = x.detach().clone()
    dist.all_reduce(total)
    return total


def _is_in_group() -> bool:
    return dist.is_available() and dist.is_initialized()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - torch's own context
        ctx.rows = x.shape[0]
        # One memory order on both sides: maps may be channels_last, and what is sent is bytes.
        own = x.contiguous()
        parts = [torch.empty_like(own) for _ in range(world_size())]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        first = rank() * ctx.rows
        return gradient[first : first + ctx.rows] * world_size()
