"""The engine: steps, checkpoints, measurements, and a clean stop.

A run is a pure function of its configuration and its data: every batch, and what the network draws
in its step, depends only on its number, and a checkpoint holds the rest (weights, optimizer,
average, position in the epoch). So a run that was interrupted, even by ``kill -9``, and resumed
from its last checkpoint ends with the same weights as an uninterrupted one, on the CPU bit for bit
(same machine, same number of threads).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sanreid.errors import ConfigError, TrainingError
from sanreid.train import runtime
from sanreid.train.checkpoint import save_checkpoint
from sanreid.train.claim import claimed, last_written
from sanreid.train.config import TrainConfig
from sanreid.train.config.loader import config_to_dict
from sanreid.train.data.batches import Batch, Batches
from sanreid.train.data.building import build_batches
from sanreid.train.data.cluster_batches import ClusterBatches
from sanreid.train.data.pairs import Pairs
from sanreid.train.data.prefetch import Prefetcher
from sanreid.train.draws import own_draws
from sanreid.train.evaluation.sets import EvaluationSet, load_sets
from sanreid.train.loop.journal import Journal, Stopwatch
from sanreid.train.loop.learner import Learner
from sanreid.train.loop.optimizer import learning_rate
from sanreid.train.loop.pictures import write_sheet
from sanreid.train.loop.progress import Progress, have_one_judge, state_to_resume
from sanreid.train.loop.provenance import commit, inherited_training_data
from sanreid.train.loop.pseudo_labels import PseudoLabels
from sanreid.train.loop.reports import beginning, describe, draw, figures
from sanreid.train.loop.step_log import StepLog, TakenStep
from sanreid.train.loop.stopping import StopRequest
from sanreid.train.networks.initialization import start_size
from sanreid.train.runtime import resolve_device
from sanreid.utils.progress import progress_bar

__all__ = ["Engine", "Outcome"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        step: Optimizer steps taken in all.
        stopped_by: The signal that stopped it; None if it ran to its end.
        metrics: The last evaluation, by evaluation set.
        clusters: Of a run without labels: the figures of its clusters, epoch by epoch, see
            :class:`~sanreid.train.loop.pseudo_labels.PseudoLabels`.
    """

    step: int
    stopped_by: int | None
    metrics: dict[str, dict[str, float]]
    clusters: list[dict[str, float]]


class Engine:
    """One training run.

    Args:
        config: What to train.
        resume: Continue from the last checkpoint in ``config.run.output``, if there is one.

    Raises:
        ConfigError: Settings do not fit each other or this machine.
        TrainingError: The folder holds another run, or a checkpoint that does not fit.
        DatasetError: Crops are missing.
        WeightsError: The first weights are missing or do not fit.
    """

    def __init__(self, config: TrainConfig, *, resume: bool = False) -> None:
        if not config.data.sources and not config.is_san_pg:
            raise ConfigError(
                "data.sources is empty: name at least one folder of crops, "
                "[[data.sources]] folder = ..., or pairs alone for SAN-PG, pit.folder = ..."
            )
        self.folder = Path(config.run.output)
        self.device = resolve_device(config.run.device)
        if config.run.sync_bn and self.device.type == "cpu" and runtime.world_size() > 1:
            raise ConfigError(
                "run.sync_bn is for CUDA devices: leave it out on the CPU, where BatchNorm "
                "normalizes by each process's own part of the batch."
            )
        self._written = last_written(self.folder)
        state = state_to_resume(config, resume=resume)
        recorded = state["config"]["run"] if state is not None else {}
        self.config = config = runtime.with_precision(
            config, self.device, recorded=recorded.get("precision", "auto")
        )
        is_main = runtime.is_main()
        self.sets: list[EvaluationSet] = (
            load_sets(config.evaluation.sets, config.encoder.input_size) if is_main else []
        )
        self.held_out: Pairs | None = None
        if config.pit.held_out and config.loss.reconstruction > 0 and is_main:
            self.held_out = Pairs(config.pit, size=config.encoder.input_size, split="val")
        self.batches: Batches = build_batches(config, self.device)
        self.learner = Learner(
            config,
            num_classes=self.batches.num_classes,
            device=self.device,
            proxy_pids=self.batches.proxy_pids,
            teacher_dim=self.batches.teacher_dim,
            load_start=state is None,
        )
        self.clusters: PseudoLabels | None = None
        if isinstance(self.batches, ClusterBatches):
            self.clusters = PseudoLabels(config, self.batches, self.learner)
        self.progress = Progress()
        self.commit = commit()
        if state is not None:
            self._restore(state)
        else:  # what the first weights were trained on, these are
            own = self.batches.training_data
            own += [one for one in inherited_training_data(config.init) if one not in own]
        self.stop_request = StopRequest()
        self.lag = 1 if self.device.type == "cuda" else 0  # steps that are reported later
        self._saved_at = time.monotonic()
        self._resumed = state is not None

    # --- the run -------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch."""
        return math.ceil(len(self.batches) / self.config.run.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in the whole run."""
        return self.steps_per_epoch * self.config.run.epochs

    @property
    def last_step(self) -> int:
        """The optimizer step that the run ends with."""
        return min(self.total_steps, self.config.run.max_steps or self.total_steps)

    def run(self) -> Outcome:
        """Train to the end, or until a signal; checkpoints are in the run's folder.

        Raises:
            TrainingError: Another run writes there, or has since this one was prepared; the loss
                or gradient is not finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with claimed(self.folder, self.device, written=self._written):
            try:
                return self._run_alone()
            finally:
                self._written = last_written(self.folder)

    def _run_alone(self) -> Outcome:
        if runtime.is_main():
            describe(self.folder, self.config, self.batches, self.device,
                     {"commit": self.commit, "total_steps": self.total_steps})  # fmt: skip
            logger.info("%s", beginning(self.config, self.batches, self.device, self.last_step))
        self.journal = Journal(
            self.folder,
            resume_step=self.progress.step if self._resumed else None,
            repeated=self._repeated(),
            tensorboard=self.config.run.tensorboard,
            enabled=runtime.is_main(),
        )
        self.watch = Stopwatch(self.device, every=10 if self.device.type == "cuda" else 1)
        self.steps = StepLog(
            self.config.run, self.learner, self.batches, self.journal, self.watch, self.progress,
            last_step=self.last_step, total_steps=self.total_steps,
        )  # fmt: skip
        try:
            with self.stop_request.recorded():
                self._run()
        finally:
            self.journal.close()
        history = [] if self.clusters is None else self.clusters.history
        return Outcome(
            self.progress.step, self.stop_request.signal, self.progress.metrics, history
        )

    def _run(self) -> None:
        config, progress = self.config, self.progress
        if config.evaluation.at_start and progress.step == 0 and progress.measured_step != 0:
            self._measure()
        while self.progress.epoch < config.run.epochs and not self._is_over():
            if self._is_due():  # a signal or a crash came between the epoch and its evaluation
                self._measure()
                continue
            if self.clusters is not None and self.clusters.epoch < self.progress.epoch:
                self._cluster(self.clusters)
                continue
            if self._epoch():
                self.progress.epoch += 1
                self.progress.position = 0
                self._save()
                self._draw_if_due()
            if self._is_due() and not self._is_over():
                self._measure()
        if not self.stop_request.is_set() and self.progress.measured_step != self.progress.step:
            self._measure()
        self._save()

    def _repeated(self) -> set[str]:
        """Return the kinds of log lines that a checkpoint came too early for."""
        kinds = set()
        if self.progress.measured_step != self.progress.step:
            kinds.add("evaluation")
        if self.clusters is not None and self.clusters.epoch < self.progress.epoch:
            kinds.add("clusters")
        return kinds

    def _cluster(self, clusters: PseudoLabels) -> None:
        """Make the clusters of the epoch; they say whether it is worth taking."""
        if clusters.make(self.progress.epoch, self.stop_request.is_set):
            self.journal.write("clusters", self.progress.step, clusters.history[-1])

    def _epoch(self) -> bool:
        """Take the remaining steps of the epoch; return whether it was finished."""
        progress, config = self.progress, self.config
        self.learner.begin_epoch(progress.epoch)
        grows = any(step.until_epoch == progress.epoch for step in config.run.sizes)
        if grows and not progress.position and self.learner.ema is not None:
            self.learner.ema.restart()  # weights and statistics of smaller crops are in it
        batches = self.batches.epoch(progress.epoch)
        first = progress.epoch * len(self.batches)
        self.steps.begin_epoch()
        with (
            progress_bar(
                None if runtime.is_main() else False,
                total=len(batches),
                initial=progress.position,
                doing=f"epoch {progress.epoch + 1}/{config.run.epochs}",
                unit="batch",
                leave=False,
            ) as bar,
            closing(
                Prefetcher(self.batches, batches, first=first, begin=progress.position)
            ) as prefetcher,
        ):
            while progress.position < len(batches):
                if self._is_over():
                    self.steps.settle()
                    return False
                chunk = batches[progress.position : progress.position + config.run.accumulate]
                self._step(prefetcher, first + progress.position, len(chunk))
                bar.set_postfix(self.steps.shown(), refresh=False)
                bar.update(len(chunk))
                if time.monotonic() - self._saved_at > config.run.checkpoint_every_s:
                    self._save()
            self.steps.settle()
        return True

    def _step(self, prefetcher: Prefetcher, first: int, count: int) -> None:
        """Take one optimizer step over ``count`` batches from number ``first``."""
        progress = self.progress
        started = time.perf_counter()
        self.watch.next_step()
        lr = learning_rate(
            progress.step,
            self.config.optimizer,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )
        with own_draws(self.config.run.seed, first, self.device):
            result = self.learner.step(
                self._drawn(prefetcher, range(first, first + count)),
                count,
                lr=lr,
                decoder_share=self._decoder_share(),
                watch=self.watch,
            )
        progress.step += 1
        progress.position += count
        epoch = progress.epoch + progress.position / len(self.batches)
        crops = len(result.indices) * runtime.world_size()
        self.steps.add(TakenStep(result, progress.step, round(epoch, 4), crops, lr, started))
        self.steps.settle(keep=self.lag)

    def _drawn(self, prefetcher: Prefetcher, numbers: range) -> Iterator[Batch]:
        for number in numbers:
            with self.watch.part("data"):
                batch = self.batches.batch(
                    prefetcher.take(number), number=number, epoch=self.progress.epoch
                )
            yield batch

    def _decoder_share(self) -> float:
        steps = self.config.loss.decoder_warmup_epochs * self.steps_per_epoch
        return min(1.0, (self.progress.step + 1) / steps) if steps else 1.0

    # --- evaluation ----------------------------------------------------------------------

    def _is_due(self) -> bool:
        every = self.config.evaluation.every
        is_whole = self.progress.position == 0 and self.progress.epoch > 0
        return (
            is_whole
            and bool(every)
            and self.progress.epoch % every == 0
            and self.progress.measured_step != self.progress.step
        )

    def _measure(self) -> None:
        """Evaluate the network, or its average if there is one, and keep the best.

        It reads crops of the size that it was trained on last.
        """
        self.progress.measured_step = self.progress.step
        if not self.sets and self.held_out is None:
            return
        started, size = time.perf_counter(), self._trained_size()
        found = figures(
            self.learner.averaged, self.config.at_size(size), self.sets, self.held_out,
            device=self.device, stop=self.stop_request.is_set,
        )  # fmt: skip
        if found is None:  # a signal came; after resuming it is evaluated again
            self.progress.measured_step = -1
            return
        self.progress.metrics = found
        self._keep_if_best(next(iter(found.values())))
        epoch: float = self.progress.epoch
        if self.progress.position:  # run.max_steps ends a run within an epoch
            epoch = round(epoch + self.progress.position / len(self.batches), 4)
        for name, one in found.items():
            row = {"set": name, "epoch": epoch, "input_size": list(size), **one}
            self.journal.write("evaluation", self.progress.step, row)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in one.items())
            logger.info("epoch %g, %s, crops of %d x %d: %s", epoch, name, *size, shown)
        logger.info("evaluated in %.1f s", time.perf_counter() - started)

    def _keep_if_best(self, figures: dict[str, float]) -> None:
        """Keep the weights with the best figures so far.

        Figures from before the first step never count; those of smaller crops count only until
        there are some of larger ones.
        """
        progress, size = self.progress, self._trained_size()
        before = progress.best_size or self.config.size_after(max(progress.best_epoch, 1))
        if progress.step and size != tuple(before):
            progress.best = -math.inf
        merit = figures["mAP"] if "mAP" in figures else -figures["l1_seen"]
        if progress.step and merit > progress.best:
            progress.best, progress.best_epoch = merit, progress.epoch
            progress.best_size = size
            self._save_best()

    def _draw_if_due(self) -> None:
        every, epoch = self.config.run.pictures_every, self.progress.epoch
        if not every or epoch % every or not runtime.is_main():
            return
        pixels = draw(
            self.learner.network, self.config, self.batches, epoch - 1, device=self.device
        )
        if pixels is not None:
            write_sheet(self.folder / "pictures" / f"epoch-{epoch:04d}.png", pixels)
            self.journal.picture("textures", self.progress.step, pixels)

    # --- state ---------------------------------------------------------------------------

    def _save(self) -> None:
        self.steps.settle()  # what is not finite must not be saved
        self._saved_at = time.monotonic()
        if runtime.is_main():
            state = {**self.learner.state_dict(), "progress": asdict(self.progress)}
            if self.clusters is not None:
                state["clusters"] = self.clusters.state_dict()
            save_checkpoint(self.folder / "last.ckpt", {**self._about(), **state})

    def _save_best(self) -> None:
        if runtime.is_main():
            model = {key: x.detach() for key, x in self.learner.averaged.state_dict().items()}
            save_checkpoint(self.folder / "best.ckpt", {**self._about(), "model": model})

    def _about(self) -> dict[str, Any]:
        is_measured = self.progress.measured_step == self.progress.step
        return {
            "config": config_to_dict(self.config),
            "commit": self.commit,
            "data_digest": self.batches.digest,
            "training_data": self.batches.training_data,
            "num_classes": self.batches.num_classes,
            "metrics": self.progress.metrics if is_measured else {},  # of these very weights
            "step": self.progress.step,
            "input_size": self._trained_size(),
        }

    def _trained_size(self) -> tuple[int, int]:
        """Return the size of the crops of the last step; before it, what the network reads."""
        if not self.progress.step:
            return start_size(self.config)
        return self.config.size_after(self.progress.epoch + bool(self.progress.position))

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data_digest"] != self.batches.digest:
            embeds = "init.weights" if self.config.clusters.learn == "map" else "loss.teacher"
            raise TrainingError(
                f"The crops are not those that the run in {self.folder} started with, or their "
                f"textures, the rendered pairs or the encoder {embeds} are others; check these, "
                "or start another run."
            )
        own = self.batches.training_data  # as the sources are called now
        self.batches.training_data = own + state["training_data"][len(own) :]
        if self.clusters is not None:
            self.clusters.load_state_dict(state["clusters"])
        self.learner.load_state_dict(state)
        self.progress = Progress(**state["progress"])
        if not have_one_judge(state["config"], self.config):
            self.progress.best = -math.inf

    def _is_over(self) -> bool:
        limit = self.config.run.max_steps
        if limit and self.progress.step >= limit:
            return True
        if self.clusters is not None and self.clusters.settled:
            return True
        return self.stop_request.is_set_anywhere(self.device)
