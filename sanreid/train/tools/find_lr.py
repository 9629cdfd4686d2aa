"""Try rising learning rates on a few batches and suggest one.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, the range test:
the rate rises geometrically, one step at a time; the loss falls, then diverges.
"""

from __future__ import annotations

import math
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from sanreid.errors import ConfigError, InputError, TrainingError
from sanreid.train.config import TrainConfig
from sanreid.train.data.prefetch import Prefetcher
from sanreid.train.loop.engine import Engine

__all__ = ["FoundRate", "find_lr"]

_SMOOTHING = 0.9  # weight of the past in the loss that is judged
_DIVERGED = 2.0  # stop when the loss is this many times its best


@dataclass(frozen=True, slots=True)
class FoundRate:
    """The result of the range test.

    Args:
        curve: (learning rate, smoothed loss) at each step.
        suggestion: The rate where the loss fell fastest.
    """

    curve: tuple[tuple[float, float], ...]
    suggestion: float


def find_lr(
    config: TrainConfig, *, steps: int = 100, low: float = 1e-6, high: float = 1e-1
) -> FoundRate:
    """Run the range test; nothing is kept on disk.

    Args:
        config: The run the rate is for.
        steps: Batches to try, at least 10.
        low: The first learning rate.
        high: The last one, unless the loss diverges before.

    Raises:
        InputError: There are too few steps, or the rates do not increase.
        TrainingError: The loss is not finite from the start.
    """
    if steps < 10 or not 0 < low < high:
        raise InputError(
            f"find_lr() needs at least 10 steps and 0 < low < high; got {steps} steps, "
            f"{low:g} and {high:g}."
        )
    if config.clusters.enabled:
        raise ConfigError("find-lr is for runs with labels; this configuration has clusters.")
    with tempfile.TemporaryDirectory(prefix="find-lr-") as folder:
        quiet = replace(
            config,
            run=replace(config.run, output=folder, tensorboard=False),
            evaluation=replace(config.evaluation, sets=()),
            loss=replace(config.loss, decoder_every=1),  # steps are compared with one another
        )
        engine = Engine(quiet)
        engine.learner.begin_epoch(0)
        curve: list[tuple[float, float]] = []
        smoothed, best = 0.0, math.inf
        epoch = engine.batches.epoch(0)
        for step in range(steps):
            lr = low * (high / low) ** (step / (steps - 1))
            loss = _step(engine, epoch, step, lr)
            smoothed = _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss
            unbiased = smoothed / (1 - _SMOOTHING ** (step + 1))
            if not math.isfinite(loss):
                break
            curve.append((lr, unbiased))
            best = min(best, unbiased)
            if unbiased > _DIVERGED * best and step > steps // 4:
                break
    if not curve:
        raise TrainingError(
            f"The loss is not finite even at the first learning rate, {low:g}: check the first "
            "weights (init.weights) and the weights of the losses."
        )
    return FoundRate(tuple(curve), _steepest(curve))


def _step(engine: Engine, epoch: list[torch.Tensor], step: int, lr: float) -> float:
    chunk = [epoch[step % len(epoch)]]
    with closing(Prefetcher(engine.batches, chunk, first=step, begin=0)) as prefetcher:
        batch = engine.batches.batch(prefetcher.take(step), number=step, epoch=0)
    return engine.learner.step([batch], 1, lr=lr).read()["total"]


def _steepest(curve: list[tuple[float, float]]) -> float:
    """Return the rate at which the loss falls fastest over the logarithm of the rate."""
    if len(curve) < 3:
        return curve[0][0]
    slopes = [
        (curve[n + 1][1] - curve[n - 1][1]) / math.log(curve[n + 1][0] / curve[n - 1][0])
        for n in range(1, len(curve) - 1)
    ]
    return curve[1 + slopes.index(min(slopes))][0]
