"""The engine: steps, checkpoints, measurements, and a clean stop.

A run is a pure function of its configuration and its data: every batch depends on its number
alone, and a checkpoint holds the rest (weights, optimizer, average, place in the epoch). So a
run that was interrupted, even by ``kill -9``, and resumed from its last checkpoint ends with the
same weights as one that was not, on the CPU to the bit (same machine, same number of threads).
"""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from sanreid._files import write_whole
from sanreid.errors import ConfigError, TrainingError
from sanreid.train import distributed
from sanreid.train.batches import Batch, Batches, CropBatches, PairBatches, ReadAhead
from sanreid.train.checkpoint import save_checkpoint
from sanreid.train.config import TrainConfig
from sanreid.train.device import autocast_dtype, resolve_device
from sanreid.train.ema import WeightAverage
from sanreid.train.evaluate import EvaluationSet, load_sets
from sanreid.train.journal import Journal, Meter, Stopwatch, progress_bar
from sanreid.train.network import JointForward, build_network, train_mode
from sanreid.train.objective import Objective
from sanreid.train.optim import build_optimizer, learning_rate, set_learning_rate
from sanreid.train.pairs import Pairs
from sanreid.train.pictures import write_sheet
from sanreid.train.progress import Progress, state_to_resume
from sanreid.train.reports import describe, draw, figures
from sanreid.train.settings import config_to_dict
from sanreid.train.version import commit

__all__ = ["Engine", "Outcome"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        step: Optimizer steps taken in all.
        stopped_by: The signal that stopped it; None when it came to its end.
        metrics: The last measurement, by evaluation set.
    """

    step: int
    stopped_by: int | None
    metrics: dict[str, dict[str, float]]


class Engine:
    """One training run.

    Args:
        config: What to train.
        resume: Go on from the last checkpoint in ``config.run.output``, if there is one.

    Raises:
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
        self.config = config
        self.folder = Path(config.run.output)
        self.device = resolve_device(config.run.device)
        self.autocast = autocast_dtype(config)
        state = state_to_resume(config, resume=resume)
        self.batches: Batches = (PairBatches if config.is_san_pg else CropBatches)(
            config, self.device
        )
        self.network = build_network(config, self.batches.num_classes, self.device)
        self.optimizer = build_optimizer(self.network, config.optimizer)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=config.run.precision == "fp16"
        )
        self.ema: WeightAverage | None = None
        if config.ema.decay:
            self.ema = WeightAverage(
                self.network, decay=config.ema.decay, warmup=config.ema.warmup
            )
        self.progress = Progress()
        self.commit = commit()
        if state is not None:
            self._restore(state)
        self.objective = Objective(config.loss, pit_weight=config.pit.weight)
        self.forward = self._wrapped()
        self.sets: list[EvaluationSet] = (
            load_sets(config.evaluation.sets, config.encoder.input_size)
            if distributed.is_main()
            else []
        )
        self.held_out: Pairs | None = None
        if config.pit.held_out and config.loss.reconstruction > 0 and distributed.is_main():
            self.held_out = Pairs(config.pit, size=config.encoder.input_size, split="val")
        self.stopped_by: int | None = None
        self._saved_at = time.monotonic()
        self._resumed = state is not None

    # --- the run -------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return math.ceil(len(self.batches) / self.config.run.accumulate)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps_per_epoch * self.config.run.epochs

    def run(self) -> Outcome:
        """Train to the end, or until a signal; checkpoints lie in the run's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if distributed.is_main():
            describe(self.folder, self.config, self.batches, self.device,
                     {"commit": self.commit, "total_steps": self.total_steps})  # fmt: skip
        self.journal = Journal(
            self.folder,
            resume_step=self.progress.step if self._resumed else None,
            tensorboard=self.config.run.tensorboard,
            enabled=distributed.is_main(),
        )
        self.watch = Stopwatch(self.device, every=10 if self.device.type == "cuda" else 1)
        try:
            with self._signals():
                self._run()
        finally:
            self.journal.close()
        return Outcome(self.progress.step, self.stopped_by, self.progress.metrics)

    def _run(self) -> None:
        config = self.config
        if config.evaluation.at_start and self.progress.step == 0:
            self._measure()
        while self.progress.epoch < config.run.epochs and not self._is_over():
            if self._epoch():
                self.progress.epoch += 1
                self.progress.position = 0
                self._save()
                self._draw_if_due()
            if self._is_due() and not self._is_over():
                self._measure()
        if self.stopped_by is None and self.progress.measured_step != self.progress.step:
            self._measure()
        self._save()

    def _epoch(self) -> bool:
        """Take the epoch's steps that are left; whether it came to its end."""
        progress, config = self.progress, self.config
        train_mode(self.network, config)
        batches = self.batches.places(progress.epoch)
        first = progress.epoch * len(self.batches)
        bar = progress_bar(
            len(batches),
            done=progress.position,
            title=f"epoch {progress.epoch + 1}/{config.run.epochs}",
            enabled=distributed.is_main(),
        )
        meter = Meter()
        with (
            closing(bar),
            closing(
                ReadAhead(self.batches, batches, first=first, begin=progress.position)
            ) as ahead,
        ):
            while progress.position < len(batches):
                if self._is_over():
                    return False
                chunk = batches[progress.position : progress.position + config.run.accumulate]
                began = time.perf_counter()
                self.watch.next_step()
                terms = self._step(ahead, first + progress.position, len(chunk))
                seconds = time.perf_counter() - began
                progress.position += len(chunk)
                progress.step += 1
                progress.seconds += seconds
                crops = sum(len(places) for places in chunk) * distributed.world_size()
                meter.add(terms, crops=crops, seconds=seconds)
                bar.set_postfix(meter.shown(), refresh=False)
                bar.update(len(chunk))
                if progress.step % config.run.log_every == 0:
                    self._log(meter)
                    meter = Meter()
                if time.monotonic() - self._saved_at > config.run.checkpoint_every_s:
                    self._save()
        return True

    def _step(self, ahead: ReadAhead, first: int, count: int) -> dict[str, float]:
        """One optimizer step over ``count`` batches from number ``first``; the terms' means."""
        progress, config, watch = self.progress, self.config, self.watch
        lr = learning_rate(
            progress.step,
            config.optimizer,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )
        set_learning_rate(self.optimizer, lr)
        sums: dict[str, Tensor] = {}
        for number in range(first, first + count):
            with watch.part("data"):
                raw = ahead.take(number)
                batch = self.batches.batch(raw, number=number, epoch=progress.epoch)
            last = number == first + count - 1
            with nullcontext() if last else self._no_sync():
                with watch.part("forward"):
                    total, terms = self.loss(batch)
                self._check_finite(total, terms, batch)
                with watch.part("backward"):
                    torch.autograd.backward(self.scaler.scale(total / count))
            for name, term in {"total": total, **terms}.items():
                sums[name] = sums.get(name, 0) + term.detach() / count
        with watch.part("optimizer"):
            self.scaler.unscale_(self.optimizer)
            norm = nn.utils.clip_grad_norm_(
                [p for p in self.network.parameters() if p.grad is not None],
                config.optimizer.clip_norm or math.inf,
            )
            if not self.scaler.is_enabled() and not bool(norm.isfinite()):
                raise self._not_finite("the gradient", batch)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad(set_to_none=True)
            if self.ema is not None:
                self.ema.update(self.network)
        values = torch.stack([x.float() for x in sums.values()]).tolist()
        return {**dict(zip(sums, values, strict=True)), "lr": lr}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the weighted sum and its terms, under the run's autocast."""
        with torch.autocast(
            self.device.type, dtype=self.autocast, enabled=self.autocast is not None
        ):
            output, pit_textures = self.forward(batch.crops, batch.pit_crops)
            return self.objective(output, batch.targets, pit_textures)

    def _check_finite(self, total: Tensor, terms: dict[str, Tensor], batch: Batch) -> None:
        bad = distributed.all_sum((~total.detach().isfinite()).float())
        if bad:
            names = [name for name, term in terms.items() if not bool(term.isfinite())]
            raise self._not_finite(f"the loss ({', '.join(names) or 'of another rank'})", batch)

    def _not_finite(self, what: str, batch: Batch) -> TrainingError:
        names = self.batches.names(batch.places)
        path = self.folder / f"not-finite-rank{distributed.rank()}.json"
        record = {"step": self.progress.step, "what": what, "crops": names}
        write_whole(path, json.dumps(record, indent=2) + "\n")
        shown = ", ".join(names[:4])
        return TrainingError(
            f"At step {self.progress.step} {what} is NaN or infinite; the last checkpoint is "
            f"sound. Crops of the batch: {shown} and {len(names) - 4} more, listed in {path}. "
            "Look at them, lower optimizer.lr or set optimizer.clip_norm."
        )

    def _log(self, meter: Meter) -> None:
        row = {
            "epoch": round(self.progress.epoch + self.progress.position / len(self.batches), 4),
            **meter.means(),
            "seconds": round(self.progress.seconds, 1),
            **{f"share_{name}": share for name, share in self.watch.shares().items()},
        }
        self.journal.write("train", self.progress.step, row)
        logger.info(
            "epoch %.2f step %d/%d: %s", row["epoch"], self.progress.step, self.total_steps,
            ", ".join(f"{k} {v:.4g}" for k, v in meter.means().items()),
        )  # fmt: skip

    # --- measuring -----------------------------------------------------------------------

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
        """Evaluate the network, its average where there is one; keep the best."""
        self.progress.measured_step = self.progress.step
        if not self.sets and self.held_out is None:
            return
        began = time.perf_counter()
        swapped = self.ema.swapped_into(self.network) if self.ema else nullcontext()
        with swapped:
            found = figures(
                self.network, self.config, self.sets, self.held_out,
                device=self.device, stop=self._is_asked,
            )  # fmt: skip
            if found is None:  # a signal came; after a resume it is measured again
                self.progress.measured_step = -1
                return
            self.progress.metrics = found
            first = next(iter(found.values()))
            merit = first["mAP"] if "mAP" in first else -first["l1_seen"]
            if merit > self.progress.best:
                self.progress.best = merit
                self._save_best()
        for name, one in found.items():
            row = {"set": name, "epoch": self.progress.epoch, **one}
            self.journal.write("evaluation", self.progress.step, row)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in one.items())
            logger.info("epoch %d, %s: %s", self.progress.epoch, name, shown)
        logger.info("measured in %.1f s", time.perf_counter() - began)

    def _draw_if_due(self) -> None:
        every, epoch = self.config.run.pictures_every, self.progress.epoch
        if not every or epoch % every or not distributed.is_main():
            return
        pixels = draw(self.network, self.config, self.batches, device=self.device)
        if pixels is not None:
            write_sheet(self.folder / "pictures" / f"epoch-{epoch:04d}.png", pixels)
            self.journal.picture("textures", self.progress.step, pixels)

    def _is_asked(self) -> bool:
        """Whether a signal asked to stop."""
        return self.stopped_by is not None

    # --- state ---------------------------------------------------------------------------

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if not distributed.is_main():
            return
        p = self.progress
        save_checkpoint(
            self.folder / "last.ckpt",
            {
                **self._about(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "model": self.network.state_dict(),
                "ema": self.ema.state_dict() if self.ema else None,
                "progress": {
                    "epoch": p.epoch, "position": p.position, "step": p.step,
                    "measured_step": p.measured_step, "best": p.best, "metrics": p.metrics,
                    "seconds": p.seconds,
                },
            },
        )  # fmt: skip

    def _save_best(self) -> None:
        state = {key: x.detach().clone() for key, x in self.network.state_dict().items()}
        save_checkpoint(self.folder / "best.ckpt", {**self._about(), "model": state})

    def _about(self) -> dict[str, Any]:
        return {
            "config": config_to_dict(self.config),
            "commit": self.commit,
            "data_digest": self.batches.digest,
            "training_data": self.batches.training_data,
            "num_classes": self.batches.num_classes,
            "metrics": self.progress.metrics,
            "step": self.progress.step,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data_digest"] != self.batches.digest:
            raise TrainingError(
                f"The crops are not those the run in {self.folder} began with; check the data "
                "folders, or start another run."
            )
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.progress = Progress(**state["progress"])

    # --- small parts ---------------------------------------------------------------------

    def _wrapped(self) -> nn.Module:
        separate = self.config.pit.batch_norm == "separate"
        if self.config.run.sync_bn and distributed.world_size() > 1:
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call] # torch's
        forward: nn.Module = JointForward(self.network, separate_batch_norm=separate)
        if self.config.run.compile:
            forward = torch.compile(forward)  # type: ignore[assignment] # it stays callable
        if distributed.world_size() > 1:
            loss = self.config.loss
            some_idle = loss.identity == 0 or (loss.tr > 0 and loss.reconstruction == 0)
            forward = nn.parallel.DistributedDataParallel(
                forward, broadcast_buffers=False, find_unused_parameters=some_idle
            )
        return forward

    def _no_sync(self) -> Any:  # noqa: ANN401 - a context manager of torch's
        if isinstance(self.forward, nn.parallel.DistributedDataParallel):
            return self.forward.no_sync()
        return nullcontext()

    def _is_over(self) -> bool:
        limit = self.config.run.max_steps
        if limit and self.progress.step >= limit:
            return True
        flag = torch.tensor(float(self.stopped_by is not None), device=self.device)
        if bool(distributed.all_sum(flag)) and self.stopped_by is None:
            self.stopped_by = int(signal.SIGTERM)  # another process got it
        return self.stopped_by is not None

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Note SIGTERM and Ctrl-C; the run saves and stops after the step in hand."""

        def note(number: int, _: FrameType | None) -> None:
            if self.stopped_by is not None:  # the second time: at once
                raise KeyboardInterrupt
            self.stopped_by = number
            logger.warning("Signal %d: saving after this step. Once more stops at once.", number)

        try:
            before = {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: signals are the caller's business
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
