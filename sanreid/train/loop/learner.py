"""The learner: the network, its optimizer and its average; and one optimizer step.

A step queues its work on the device and returns a :class:`StepResult`; only reading it waits. So
the host can stay a step ahead of a GPU. A step whose loss or gradient is NaN or infinite changes
no weight: the optimizer itself checks the flag, on the device.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sanreid.train import runtime
from sanreid.train.config import TrainConfig
from sanreid.train.data.batches import Batch
from sanreid.train.loop.ema import WeightAverage
from sanreid.train.loop.journal import Stopwatch
from sanreid.train.loop.optimizer import build_optimizer
from sanreid.train.losses.objective import LossContext, Objective, loss_heads
from sanreid.train.networks.initialization import build_network, freeze, keep_frozen_in_eval
from sanreid.train.networks.san import SAN, SANPG, JointForward

__all__ = ["Learner", "StepResult"]


class StepResult:
    """The values of one step, perhaps still on their way from the device.

    Args:
        names: The names of the values.
        values: (len(names),) float32 on the device.
        indices: (N,) int64, the crops (or pairs) of the step.
    """

    def __init__(self, names: Iterable[str], values: Tensor, indices: Tensor) -> None:
        self.indices = indices
        self._names = tuple(names)
        self._values = values
        self._arrived: torch.cuda.Event | None = None
        if values.is_cuda:
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call] # torch's
            self._arrived.record()

    def read(self) -> dict[str, float]:
        """Wait for the values: ``total``, each term, and ``gradient``, the gradient's norm."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return dict(zip(self._names, self._values.tolist(), strict=True))


class Learner:
    """What is trained, on its device.

    Args:
        config: The run's configuration.
        num_classes: Identities; 0 for SAN-PG.
        device: Where it is trained.
        proxy_pids: (M,) int64, the person of each proxy of the cross-camera loss, or None.
        teacher_dim: T of the teacher's embeddings; 0 without a teacher.
        load_start: Load the first weights that ``config.init`` names; not needed if
            :meth:`load_state_dict` follows.

    Raises:
        ConfigError: ``loss.custom`` names a term that is not registered.
        WeightsError: The first weights are missing or do not fit.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        num_classes: int,
        device: torch.device,
        proxy_pids: Tensor | None = None,
        teacher_dim: int = 0,
        load_start: bool = True,
    ) -> None:
        self.config = config
        self.device = device
        context = LossContext(
            config=config.loss,
            pit_weight=config.pit.weight,
            embedding_dim=config.encoder.embedding_dim,
            num_classes=num_classes,
            proxy_pids=proxy_pids,
            teacher_dim=teacher_dim,
            device=device,
        )
        self.objective = Objective(context)
        self.network = build_network(
            config, num_classes, device, heads=loss_heads(context), load_start=load_start
        )
        self._trunk = self.network.encoder.trunk
        self._frozen: tuple[str, ...] = ()
        if not config.init.freeze_epochs:  # for good, so the optimizer need not know of them
            freeze(self._trunk, config.init.freeze)
        self.optimizer = build_optimizer(self.network, config.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.run.precision == "fp16")
        self.ema: WeightAverage | None = None
        if config.ema.decay:
            self.ema = WeightAverage(
                self.network, decay=config.ema.decay, warmup=config.ema.warmup
            )
        self._autocast = runtime.autocast_dtype(config, device)
        self.forward: nn.Module | None = None

    @property
    def averaged(self) -> SAN | SANPG:
        """The network with the averaged weights; the trained one if no average is kept."""
        return self.network if self.ema is None else self.ema.module  # type: ignore[return-value] # a copy of the network

    def begin_epoch(self, epoch: int) -> None:
        """Put the network in ``train()``, except for what is frozen in this epoch."""
        init = self.config.init
        frozen = init.freeze if not init.freeze_epochs or epoch < init.freeze_epochs else ()
        if frozen != self._frozen or self.forward is None:
            freeze(self._trunk, self._frozen, frozen=False)
            freeze(self._trunk, frozen)
            self._frozen = frozen
            self.forward = self._wrapped()  # it records which parameters have a gradient
        self.network.train()
        keep_frozen_in_eval(self._trunk, frozen)

    def loss(
        self, batch: Batch, *, decoder_share: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and its terms, under the run's autocast.

        Args:
            batch: On the device.
            decoder_share: Factor of the weights of the decoder's terms, while they warm up.
        """
        assert self.forward is not None  # noqa: S101 - begin_epoch() comes first
        with torch.autocast(
            self.device.type, dtype=self._autocast, enabled=self._autocast is not None
        ):
            output, painted = self.forward(
                batch.crops, batch.pit_crops, with_decoder=batch.with_decoder
            )
            share = decoder_share if batch.with_decoder else 0.0
            textures, surface = (None, None) if painted is None else painted
            return self.objective(output, batch.targets, textures, surface, decoder_share=share)

    def step(
        self,
        batches: Iterable[Batch],
        count: int,
        *,
        lr: float,
        decoder_share: float = 1.0,
        watch: Stopwatch | None = None,
    ) -> StepResult:
        """Take one optimizer step over ``count`` batches; return the means of the terms.

        Args:
            batches: At least one; drawn one after the other.
            count: How many there are.
            lr: The learning rate.
            decoder_share: As in :meth:`loss`.
            watch: Measures how long each part takes; None: nothing is measured.
        """
        part = _untimed if watch is None else watch.part
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        sums: dict[str, Tensor] = {}
        indices = []
        for number, batch in enumerate(batches, start=1):
            with nullcontext() if number == count else self._no_sync():
                with part("forward"):
                    total, terms = self.loss(batch, decoder_share=decoder_share)
                with part("backward"):
                    torch.autograd.backward(self.scaler.scale(total / count))
            for name, term in {"total": total, **terms}.items():
                mean = term.detach().float() / count
                sums[name] = sums[name] + mean if name in sums else mean
            indices.append(batch.indices)
        with part("optimizer"):
            norm = self._apply(sums["total"])
        values = torch.stack([*sums.values(), norm.float()])
        return StepResult((*sums, "gradient"), values, torch.cat(indices))

    def _apply(self, total: Tensor) -> Tensor:
        """Change the weights by the gradient, unless it is not finite; return its norm."""
        self.scaler.unscale_(self.optimizer)
        learned = [p for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in learned if p.grad is not None])
        if self.config.optimizer.clip_norm:
            nn.utils.clip_grads_with_norm_(learned, self.config.optimizer.clip_norm, norm)
        if self.scaler.is_enabled():  # it checks for values that are not finite itself
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            guarded_step(self.optimizer, skip=~(norm + total).isfinite())
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update_parameters(self.network)
        return norm

    def is_sound(self, values: Mapping[str, float]) -> bool:
        """Return whether the loss and the gradient of a step are finite.

        With fp16 the gradient may not be: the scaler has skipped that step.
        """
        names = ("total",) if self.scaler.is_enabled() else ("total", "gradient")
        return all(math.isfinite(values[name]) for name in names)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs; the tensors are the learner's own, not copies."""
        return {
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else self.ema.checkpoint(),
            "losses": self.objective.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the state of another learner of the same configuration."""
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.restore(state["ema"])
        self.load_losses(state)

    def load_losses(self, state: Mapping[str, Any]) -> None:
        """Load the states of the loss terms from a checkpoint."""
        before = {
            "cross_camera": state.get("proxies") or {}
        }  # of checkpoints from before terms kept their own states
        self.objective.load_state_dict(state.get("losses", before))

    def _wrapped(self) -> nn.Module:
        run, loss = self.config.run, self.config.loss
        if run.sync_bn and runtime.world_size() > 1:
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call] # torch's
        separate = self.config.pit.batch_norm == "separate"
        forward: nn.Module = JointForward(self.network, separate_batch_norm=separate)
        if run.compile:
            forward = torch.compile(forward)  # type: ignore[assignment] # it stays callable
        if runtime.world_size() > 1:
            some_idle = (
                loss.identity == 0
                or (loss.tr > 0 and loss.reconstruction == 0)
                or (loss.needs_decoder and loss.decoder_every > 1)
            )
            forward = nn.parallel.DistributedDataParallel(
                forward, find_unused_parameters=some_idle, **_own_statistics()
            )
        return forward

    def _no_sync(self) -> AbstractContextManager[None]:
        if isinstance(self.forward, nn.parallel.DistributedDataParallel):
            return self.forward.no_sync()
        return nullcontext()


def guarded_step(optimizer: torch.optim.Optimizer, *, skip: Tensor) -> None:
    """Take a step unless ``skip`` is true, without waiting for the device to find out.

    Args:
        optimizer: As :func:`sanreid.train.loop.optimizer.build_optimizer` returns it. Its fused
            kernels read the flag from where torch's own ``GradScaler`` leaves it.
        skip: () bool on the parameters' device.
    """
    optimizer.grad_scale, optimizer.found_inf = None, skip.float()  # type: ignore[attr-defined] # as GradScaler does
    try:
        optimizer.step()
    finally:
        del optimizer.grad_scale, optimizer.found_inf  # type: ignore[attr-defined] # as above


def _untimed(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def _own_statistics() -> dict[str, Any]:
    """Return the option by which each process keeps the BatchNorm statistics of its own part."""
    known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    new = "forward_sync_buffers"  # of newer versions, which deprecate the old one
    return {new if new in known else "broadcast_buffers": False}
