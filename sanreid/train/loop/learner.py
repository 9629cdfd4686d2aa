"""What learns: the network, its optimizer and its average; and one optimizer step.

A step queues its work on the device and gives a :class:`Receipt`; only who reads it waits. The
host can so stay a step ahead of a GPU. A step whose loss or gradient is NaN or infinite changes
no weight: the flag is looked at on the device, by the optimizer itself.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sanreid.train.config import TrainConfig
from sanreid.train.data.batches import Batch
from sanreid.train.loop import distributed
from sanreid.train.loop.device import autocast_dtype
from sanreid.train.loop.ema import WeightAverage
from sanreid.train.loop.journal import Stopwatch
from sanreid.train.loop.optimizer import build_optimizer, guarded_step, set_learning_rate
from sanreid.train.losses.camera_proxies import CameraProxies
from sanreid.train.losses.objective import Objective
from sanreid.train.networks.initialization import freeze, keep_frozen_in_eval
from sanreid.train.networks.training_network import JointForward, build_network

__all__ = ["Learner", "Receipt"]


class Receipt:
    """What one step gave, perhaps still on its way from the device.

    Args:
        names: Of the values.
        values: (len(names),) float32 on the device.
        places: (N,) int64, the crops (or pairs) of the step.
    """

    def __init__(self, names: Iterable[str], values: Tensor, places: Tensor) -> None:
        self.places = places
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
        device: Where it learns.
        proxy_pids: (M,) whose each proxy of the cross-camera loss is; None without that loss.
        load_start: Load the first weights that ``config.init`` names; not needed where
            :meth:`load_state_dict` follows.

    Raises:
        WeightsError: The first weights are missing or do not fit.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        num_classes: int,
        device: torch.device,
        proxy_pids: Tensor | None = None,
        load_start: bool = True,
    ) -> None:
        self.config = config
        self.device = device
        self.network = build_network(config, num_classes, device, load_start=load_start)
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
        self.proxies: CameraProxies | None = None
        if config.loss.cross_camera and proxy_pids is not None:
            self.proxies = CameraProxies(
                proxy_pids,
                config.encoder.embedding_dim,
                temperature=config.loss.cross_camera_temperature,
                negatives=config.loss.cross_camera_negatives,
                momentum=config.loss.cross_camera_momentum,
                device=device,
            )
        self.objective = Objective(config.loss, pit_weight=config.pit.weight, proxies=self.proxies)
        self._autocast = autocast_dtype(config)
        self.forward: nn.Module | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Put the network in ``train()``, but for what is frozen in this epoch."""
        init = self.config.init
        frozen = init.freeze if not init.freeze_epochs or epoch < init.freeze_epochs else ()
        if frozen != self._frozen or self.forward is None:
            freeze(self._trunk, self._frozen, frozen=False)
            freeze(self._trunk, frozen)
            self._frozen = frozen
            self.forward = self._wrapped()  # it notes which parameters have a gradient
        self.network.train()
        keep_frozen_in_eval(self._trunk, frozen)

    def loss(
        self, batch: Batch, *, decoder_share: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the weighted sum and its terms, under the run's autocast.

        Args:
            batch: On the device.
            decoder_share: Of the weights of the decoder's terms, while they are warming up.
        """
        assert self.forward is not None  # noqa: S101 - begin_epoch() comes first
        with torch.autocast(
            self.device.type, dtype=self._autocast, enabled=self._autocast is not None
        ):
            output, pit_textures = self.forward(batch.crops, batch.pit_crops)
            return self.objective(output, batch.targets, pit_textures, decoder_share=decoder_share)

    def step(
        self,
        batches: Iterable[Batch],
        count: int,
        *,
        lr: float,
        decoder_share: float = 1.0,
        watch: Stopwatch | None = None,
    ) -> Receipt:
        """Take one optimizer step over ``count`` batches; gives the terms' means.

        Args:
            batches: At least one; asked for one after the other.
            count: How many there are.
            lr: The learning rate.
            decoder_share: As in :meth:`loss`.
            watch: Told how long the parts take.
        """
        watch = watch or Stopwatch(torch.device("cpu"))
        set_learning_rate(self.optimizer, lr)
        sums: dict[str, Tensor] = {}
        places = []
        for number, batch in enumerate(batches, start=1):
            with nullcontext() if number == count else self._no_sync():
                with watch.part("forward"):
                    total, terms = self.loss(batch, decoder_share=decoder_share)
                with watch.part("backward"):
                    torch.autograd.backward(self.scaler.scale(total / count))
            for name, term in {"total": total, **terms}.items():
                mean = term.detach().float() / count
                sums[name] = sums[name] + mean if name in sums else mean
            places.append(batch.places)
        with watch.part("optimizer"):
            norm = self._apply(sums["total"])
        values = torch.stack([*sums.values(), norm.float()])
        return Receipt((*sums, "gradient"), values, torch.cat(places))

    def _apply(self, total: Tensor) -> Tensor:
        """Change the weights by the gradient, unless it is not finite; give its norm."""
        self.scaler.unscale_(self.optimizer)
        learned = [p for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in learned if p.grad is not None])
        if self.config.optimizer.clip_norm:
            nn.utils.clip_grads_with_norm_(learned, self.config.optimizer.clip_norm, norm)
        if self.scaler.is_enabled():  # it looks for what is not finite itself
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            guarded_step(self.optimizer, skip=~(norm + total).isfinite())
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.network)
        return norm

    def is_sound(self, values: Mapping[str, float]) -> bool:
        """Whether a receipt's loss and gradient are finite.

        With fp16 the gradient may not be: the scaler has passed over that step.
        """
        names = ("total",) if self.scaler.is_enabled() else ("total", "gradient")
        return all(math.isfinite(values[name]) for name in names)

    def averaged(self) -> AbstractContextManager[None]:
        """Give the network its averaged weights inside the block, where there is an average."""
        return nullcontext() if self.ema is None else self.ema.swapped_into(self.network)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint needs; the tensors are the learner's own."""
        return {
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "proxies": None if self.proxies is None else self.proxies.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of another learner of the same configuration."""
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        if self.proxies is not None:
            self.proxies.load_state_dict(state["proxies"])

    def _wrapped(self) -> nn.Module:
        run, loss = self.config.run, self.config.loss
        if run.sync_bn and distributed.world_size() > 1:
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call] # torch's
        separate = self.config.pit.batch_norm == "separate"
        forward: nn.Module = JointForward(self.network, separate_batch_norm=separate)
        if run.compile:
            forward = torch.compile(forward)  # type: ignore[assignment] # it stays callable
        if distributed.world_size() > 1:
            some_idle = loss.identity == 0 or (loss.tr > 0 and loss.reconstruction == 0)
            forward = nn.parallel.DistributedDataParallel(
                forward, find_unused_parameters=some_idle, **_own_statistics()
            )
        return forward

    def _no_sync(self) -> AbstractContextManager[None]:
        if isinstance(self.forward, nn.parallel.DistributedDataParallel):
            return self.forward.no_sync()
        return nullcontext()


def _own_statistics() -> dict[str, Any]:
    """Say that each process keeps BatchNorm's statistics of its own part, in torch's words."""
    known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    new = "forward_sync_buffers"  # of newer versions, where the old one is deprecated
    return {new if new in known else "broadcast_buffers": False}
