"""An exponential moving average of a network's weights.

Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, in
the exponential form of Tarvainen and Valpola, "Mean teachers", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Follow a module's floating-point state; BatchNorm statistics are averaged too.

    Args:
        module: What to follow; the average starts at its present state.
        decay: Weight of the past at each step, in [0, 1).
        warmup: Let the decay grow as (1 + step) / (10 + step) until it reaches ``decay``, so
            that the start is soon forgotten.
    """

    def __init__(self, module: nn.Module, *, decay: float, warmup: bool = True) -> None:
        self.decay = decay
        self.warmup = warmup
        self.step = 0
        self.average = {name: x.detach().clone() for name, x in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards ``module``'s state."""
        self.step += 1
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.step) / (10 + self.step))
        state = module.state_dict()
        floats = [name for name, x in state.items() if x.is_floating_point()]
        torch._foreach_lerp_(
            [self.average[name] for name in floats], [state[name] for name in floats], 1 - decay
        )
        for name in state.keys() - set(floats):
            self.average[name].copy_(state[name])

    def restart(self) -> None:
        """Begin the warm-up again, so that what came before is soon forgotten."""
        self.step = 0

    @contextmanager
    def swapped_into(self, module: nn.Module) -> Iterator[None]:
        """Give ``module`` the average inside the block, and its own state back after it."""
        own = {name: x.detach().clone() for name, x in module.state_dict().items()}
        module.load_state_dict(self.average)
        try:
            yield
        finally:
            module.load_state_dict(own)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """Give what :meth:`load_state_dict` takes."""
        return {"step": self.step, "average": self.average}

    def load_state_dict(self, state: dict[str, int | dict[str, Tensor]]) -> None:
        """Take up the state of another average of the same module."""
        step, average = state["step"], state["average"]
        assert isinstance(step, int)  # noqa: S101 - narrows the union for the type checker
        assert isinstance(average, dict)  # noqa: S101 - as above
        self.step = step
        for name, x in average.items():
            self.average[name].copy_(x)
