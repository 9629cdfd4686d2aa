"""The optimizer, and its learning rate as a plain function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from sanreid.train.config import OptimizerConfig

__all__ = ["build_optimizer", "learning_rate"]


def build_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimizer over the parameters of a SAN that require a gradient.

    The groups are trunk, heads with classifier, and decoder, each split in two: matrices and
    convolutions, which are decayed, and vectors (BatchNorm, biases), which are not. Each group
    has an ``lr_factor``, its learning rate relative to the schedule's.
    """
    factors = {
        "decoder": config.decoder_lr_factor,
        "head": config.head_lr_factor,
        "trunk": 1.0,
    }
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_part(name), parameter.ndim > 1), []).append(parameter)
    parameters = [
        {
            "params": members,
            "name": f"{part}{'' if decayed else ', not decayed'}",
            "weight_decay": config.weight_decay if decayed else 0.0,
            "lr_factor": factors[part],
        }
        for (part, decayed), members in groups.items()
    ]
    return _optimizer(parameters, config)


def learning_rate(
    step: int, config: OptimizerConfig, *, steps_per_epoch: int, total_steps: int
) -> float:
    """Return the learning rate of the step that comes after ``step`` steps.

    Args:
        step: Steps taken so far, from 0.
        config: The schedule.
        steps_per_epoch: Optimizer steps of one epoch.
        total_steps: Steps of the whole run; one_cycle and cosine end there.
    """
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total_steps)
    if step < warmup:
        done = step / warmup
        if config.schedule == "one_cycle":
            done = (1 - math.cos(math.pi * done)) / 2
        return config.lr * (config.warmup_start + (1 - config.warmup_start) * done)
    if config.schedule in {"one_cycle", "cosine"}:
        done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        falling = (1 + math.cos(math.pi * done)) / 2
        return config.lr * (config.final + (1 - config.final) * falling)
    if config.schedule == "multi_step":
        passed = sum(step >= milestone * steps_per_epoch for milestone in config.milestones)
        return float(config.lr * config.gamma**passed)
    return config.lr


def _part(name: str) -> str:
    if name.startswith(("decoder.", "copier.")):
        return "decoder"
    if name.startswith(("classifier.", "heads.", "encoder.head.", "encoder.pooling.")):
        return "head"
    return "trunk"


def _optimizer(
    parameters: Iterable[dict[str, Any]], config: OptimizerConfig
) -> torch.optim.Optimizer:
    if config.kind == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, betas=config.betas, fused=True)
    if config.kind == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, momentum=0.9, nesterov=True, fused=True)
    amsgrad = config.kind == "amsgrad"
    return torch.optim.Adam(
        parameters, lr=config.lr, betas=config.betas, amsgrad=amsgrad, fused=True
    )
