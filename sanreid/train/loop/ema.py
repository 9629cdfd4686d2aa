"""An exponential moving average of a network's weights.

Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, in
the exponential form of Tarvainen and Valpola, "Mean teachers", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["WeightAverage"]


class WeightAverage(AveragedModel):
    """A copy of a module that follows its weights; BatchNorm statistics are averaged too.

    Args:
        model: The module to follow; the average starts at its present state.
        decay: Weight of the past at each step, in [0, 1).
        warmup: Let the decay grow as (1 + step) / (10 + step) until it reaches ``decay``, so
            that the start is soon forgotten.

    Attributes:
        module: The module with the averaged weights.
        step: Updates since the start, or since :meth:`restart`.
    """

    module: nn.Module

    def __init__(self, model: nn.Module, *, decay: float, warmup: bool = True) -> None:
        super().__init__(model, use_buffers=True)
        self.requires_grad_(requires_grad=False)
        self.decay = decay
        self.warmup = warmup
        self.step = 0

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take one step towards ``model``'s state.

        The method of the base class copies its step counter to the device in every call, which
        makes the host wait for a GPU, and copies the first model it sees; so this replaces it.
        """
        self.step += 1
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.step) / (10 + self.step))
        average, state = self.module.state_dict(), model.state_dict()
        floats = [name for name, x in state.items() if x.is_floating_point()]
        torch._foreach_lerp_(
            [average[name] for name in floats], [state[name] for name in floats], 1 - decay
        )
        for name in state.keys() - set(floats):
            average[name].copy_(state[name])

    def restart(self) -> None:
        """Begin the warm-up again, so that what came before is soon forgotten."""
        self.step = 0

    def checkpoint(self) -> dict[str, Any]:
        """Return the state of the average as a checkpoint holds it; see :meth:`restore`."""
        return {"step": self.step, "average": self.module.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load what :meth:`checkpoint` returned for another average of the same module."""
        self.step = state["step"]
        self.module.load_state_dict(state["average"])
