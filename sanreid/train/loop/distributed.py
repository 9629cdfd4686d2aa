"""Several processes as one: joint batches for mining, sums for averages.

Started by ``torchrun``, which sets RANK, WORLD_SIZE and LOCAL_RANK; without it there is one
process and every function here is the identity.
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["all_sum", "gather", "is_main", "local_rank", "rank", "start", "stop", "world_size"]


def local_rank() -> int:
    """Give this process's number on its machine, which is its CUDA device's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def start(device: torch.device) -> None:
    """Join the group that ``torchrun`` announced in the environment, if it did."""
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what asks for no device in particular asks for this one
    if "WORLD_SIZE" in os.environ and int(os.environ["WORLD_SIZE"]) > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop() -> None:
    """Leave the group."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Give this process's number, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Give the number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes the files."""
    return rank() == 0


def gather(x: Tensor) -> Tensor:
    """Concatenate every process's ``x`` (N, ...) in rank order, with gradient to one's own part.

    Meant for a loss that every process computes alike from the joint batch. Each process keeps
    the gradient of its own part, times the number of processes; the average that
    DistributedDataParallel takes afterwards makes that the joint loss's gradient exactly.
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
