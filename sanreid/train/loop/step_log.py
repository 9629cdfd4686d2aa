"""Optimizer steps that wait to be reported: each is checked, timed and logged, in order.

Reading the values of a step waits for the device, so the last steps taken may be left for later.
"""

from __future__ import annotations

import json
import logging
import math
import statistics
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from sanreid.errors import TrainingError
from sanreid.train import runtime
from sanreid.train.config import RunConfig
from sanreid.train.data.batches import Batches
from sanreid.train.loop.journal import Journal, Meter, Stopwatch
from sanreid.train.loop.learner import Learner, StepResult
from sanreid.train.loop.progress import Progress
from sanreid.utils.files import atomic_write_text
from sanreid.utils.words import duration

__all__ = ["StepLog", "TakenStep"]

logger = logging.getLogger(__name__)

_TIMED_STEPS = 10  # before the remaining time is estimated


class TakenStep(NamedTuple):
    """One optimizer step, as it is logged."""

    result: StepResult
    number: int  # steps of the run taken until then, this one included
    epoch: float  # epochs done, with the fraction of the present one
    crops: int  # of all processes together
    lr: float
    started: float  # by time.perf_counter()


class StepLog:
    """Check steps, measure their pace and log their means.

    Args:
        config: The run's settings: its folder, and how often a line is logged.
        learner: Says whether the values of a step are sound.
        batches: Names the crops of a step that is not.
        journal: Where the lines go.
        watch: The shares of the time.
        progress: Its ``seconds`` grow by those of each step.
        last_step: The step that the run ends with.
        total_steps: Steps of all epochs, which a line counts by.
    """

    def __init__(
        self,
        config: RunConfig,
        learner: Learner,
        batches: Batches,
        journal: Journal,
        watch: Stopwatch,
        progress: Progress,
        *,
        last_step: int,
        total_steps: int,
    ) -> None:
        self._config = config
        self._learner = learner
        self._batches = batches
        self._journal = journal
        self._watch = watch
        self._progress = progress
        self._last_step = last_step
        self._total_steps = total_steps
        self._pending: deque[TakenStep] = deque()
        self._paces: list[float] = []  # seconds of the first steps of this process
        self._meter = Meter()
        self._reported_at = 0.0

    def begin_epoch(self) -> None:
        """Start the means again."""
        self._meter = Meter()

    def shown(self) -> dict[str, str]:
        """Return the means since the last line, as a progress bar shows them."""
        return self._meter.shown()

    def add(self, step: TakenStep) -> None:
        """Remember a step until :meth:`settle` reports it."""
        self._pending.append(step)

    def settle(self, *, keep: int = 0) -> None:
        """Check and log the steps taken, except the last ``keep``.

        Raises:
            TrainingError: A loss or a gradient is not finite; no weight was changed by it.
        """
        while len(self._pending) > keep:
            step = self._pending.popleft()
            values = step.result.read()
            if not self._learner.is_sound(values):
                raise self._not_finite(values, step)
            now = time.perf_counter()
            seconds = now - max(step.started, self._reported_at)
            self._reported_at = now
            self._progress.seconds += seconds
            self._tell_the_time_to_come(seconds, step.number)
            del values["gradient"]
            self._meter.add({**values, "lr": step.lr}, crops=step.crops, seconds=seconds)
            if step.number % self._config.log_every == 0:
                self._log(step)
                self._meter = Meter()

    def _tell_the_time_to_come(self, seconds: float, number: int) -> None:
        """Log once, after some steps, how long the others will take at this pace."""
        if len(self._paces) < _TIMED_STEPS:
            self._paces.append(seconds)
            if len(self._paces) == _TIMED_STEPS and number < self._last_step:
                to_come = (self._last_step - number) * statistics.median(self._paces)
                logger.info(
                    "%.3g s a step: about %s to come, evaluations aside",
                    statistics.median(self._paces),
                    duration(to_come),
                )

    def _log(self, step: TakenStep) -> None:
        means = self._meter.means()
        row = {
            "epoch": step.epoch,
            **means,
            "seconds": round(self._progress.seconds, 1),
            **{f"share_{name}": share for name, share in self._watch.shares().items()},
        }
        self._journal.write("train", step.number, row)
        logger.info(
            "epoch %.2f step %d/%d: %s", step.epoch, step.number, self._total_steps,
            ", ".join(f"{k} {v:.4g}" for k, v in means.items()),
        )  # fmt: skip

    def _not_finite(self, values: dict[str, float], step: TakenStep) -> TrainingError:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        terms = [name for name in bad if name not in {"total", "gradient"}]
        what = "the gradient"
        if "total" in bad:
            what = f"the loss ({', '.join(terms) or 'their sum'})"
        names = self._batches.names(step.result.indices)
        path = Path(self._config.output) / f"not-finite-rank{runtime.rank()}.json"
        record = {"step": step.number - 1, "what": what, "crops": names}
        atomic_write_text(path, json.dumps(record, indent=2) + "\n")
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return TrainingError(
            f"At step {step.number - 1} {what} is NaN or infinite; the last checkpoint is "
            f"not affected. Crops of the batch: {shown}, listed in {path}. "
            "Inspect them, lower optimizer.lr or set optimizer.clip_norm."
        )
