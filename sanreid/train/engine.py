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
import platform
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sanreid
from sanreid.errors import ConfigError, TrainingError
from sanreid.train import distributed
from sanreid.train.batches import Batch, Batches, CropBatches, PairBatches, ReadAhead
from sanreid.train.checkpoint import load_checkpoint, save_checkpoint, write_atomically
from sanreid.train.config import TrainConfig
from sanreid.train.device import autocast_dtype, resolve_device
from sanreid.train.ema import WeightAverage
from sanreid.train.evaluate import EvaluationSet, load_sets, measure_all
from sanreid.train.journal import Journal, Stopwatch, progress_bar
from sanreid.train.network import JointForward, build_network, train_mode
from sanreid.train.objective import Objective
from sanreid.train.optim import build_optimizer, learning_rate, set_learning_rate
from sanreid.train.pair_quality import measure_pairs
from sanreid.train.pairs import Pairs
from sanreid.train.settings import config_to_dict
from sanreid.train.targets import open_atlas
from sanreid.train.version import commit

__all__ = ["Engine", "Outcome"]

logger = logging.getLogger(__name__)

# Settings that change what a run tells or where, not what it learns: they may differ on resume.
_FREE_SECTIONS = ("evaluation",)
_FREE_RUN_KEYS = ("output", "name", "max_steps", "threads", "checkpoint_every_s", "log_every",
                  "tensorboard", "pictures_every", "device")  # fmt: skip


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


@dataclass(slots=True)
class Progress:
    """Where a run stands; everything here is in a checkpoint."""

    epoch: int = 0
    position: int = 0  # batches done in this epoch
    step: int = 0  # optimizer steps done
    measured_step: int = -1  # the last step that was evaluated
    best: float = -math.inf  # mAP of the first evaluation set; for SAN-PG the negative L1
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0  # of training, measurements left out


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
        state = self._state_to_resume(resume=resume)
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
            self._describe()
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
                    total, terms = self._loss(batch)
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

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
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
        write_atomically(path, json.dumps(record, indent=2) + "\n")
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
            found = self._figures()
            if found is None:  # a signal came; after a resume it is measured again
                self.progress.measured_step = -1
                return
            self.progress.metrics = found
            first = next(iter(found.values()))
            merit = first["mAP"] if "mAP" in first else -first["l1_seen"]
            if merit > self.progress.best:
                self.progress.best = merit
                self._save_best()
        for name, figures in found.items():
            row = {"set": name, "epoch": self.progress.epoch, **figures}
            self.journal.write("evaluation", self.progress.step, row)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
            logger.info("epoch %d, %s: %s", self.progress.epoch, name, shown)
        logger.info("measured in %.1f s", time.perf_counter() - began)

    def _figures(self) -> dict[str, dict[str, float]] | None:
        found: dict[str, dict[str, float]] = {}
        measured = measure_all(
            self.network.encoder, self.sets, self.config, device=self.device, stop=self._is_asked
        )
        if measured is None:
            return None
        found.update({name: one.to_dict() for name, one in measured.items()})
        if self.held_out is not None:
            tables = open_atlas(self.config.data)
            quality = measure_pairs(
                self.network, self.held_out, tables, self.config,
                device=self.device, stop=self._is_asked,
            )  # fmt: skip
            if quality is None:
                return None
            found["pairs held out"] = quality
        return found

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

    def _state_to_resume(self, *, resume: bool) -> dict[str, Any] | None:
        path = self.folder / "last.ckpt"
        if not resume:
            if path.is_file():
                raise TrainingError(
                    f"{self.folder} holds a run already; add --resume to go on with it, or give "
                    "another folder with --set run.output=..."
                )
            return None
        if not path.is_file() and not (self.folder / "config.json").is_file():
            raise TrainingError(
                f"There is no run to resume in {self.folder}; start it without --resume."
            )
        if not path.is_file():
            return None  # killed before its first checkpoint: it starts anew
        state = load_checkpoint(path)
        differing = _differences(state["config"], config_to_dict(self.config))
        if differing:
            raise TrainingError(
                f"The run in {self.folder} has another configuration: {'; '.join(differing)}. "
                "Resume with its own, or start another run."
            )
        return state

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

    def _describe(self) -> None:
        write_atomically(
            self.folder / "config.json", json.dumps(config_to_dict(self.config), indent=2) + "\n"
        )
        about = {
            "commit": self.commit,
            "sanreid": sanreid.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "processes": distributed.world_size(),
            "training_data": self.batches.training_data,
            "total_steps": self.total_steps,
        }
        write_atomically(self.folder / "run.json", json.dumps(about, indent=2) + "\n")

    # --- small parts ---------------------------------------------------------------------

    def _wrapped(self) -> nn.Module:
        separate = self.config.pit.batch_norm == "separate"
        if self.config.run.sync_bn and distributed.world_size() > 1:
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call] # torch's
        forward: nn.Module = JointForward(self.network, separate_batch_norm=separate)
        if self.config.run.compile:
            forward = torch.compile(forward)  # type: ignore[assignment] # it stays callable
        if distributed.world_size() > 1:
            forward = nn.parallel.DistributedDataParallel(forward, broadcast_buffers=False)
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


class Meter:
    """Means of the terms since the last line of the log, and crops per second."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._crops = 0
        self._seconds = 0.0

    def add(self, terms: dict[str, float], *, crops: int, seconds: float) -> None:
        """Count one step."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1
        self._crops += crops
        self._seconds += seconds

    def means(self) -> dict[str, float]:
        """Give the means, ``lr`` among them, and ``images_per_s``."""
        means = {name: value / self._steps for name, value in self._sums.items()}
        return {**means, "images_per_s": self._crops / max(self._seconds, 1e-9)}

    def shown(self) -> dict[str, str]:
        """Give the means as a progress bar shows them."""
        return {name: f"{value:.3g}" for name, value in self.means().items() if name != "lr"}


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Name the settings that differ and may not."""
    found = []
    for section, settings in new.items():
        if section in _FREE_SECTIONS:
            continue
        for key, now in settings.items():
            if section == "run" and key in _FREE_RUN_KEYS:
                continue
            was = old.get(section, {}).get(key)
            if was != now:
                found.append(f"{section}.{key} was {was!r}, is {now!r}")
    return found
