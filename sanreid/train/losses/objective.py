"""The sum that one joint step minimizes: registered terms, each with its weight.

A term is one entry: its name in the log, its weight, and the function that computes it from the
inputs of a step. :func:`register_loss` adds one, from any module; the entries of this package
stand below their formulas in this folder.

The weights select the paper's ablation rows: only identity and triplet are the baseline; with
reconstruction it is the paper's "SAN-basic"; with the TR constraint SAN; with synthetic pairs in
each batch the full row. One backward pass and one optimizer serve all terms. Departure: the
released code steps twice per batch with three optimizers; its second backward runs through a
graph whose weights the first step has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sanreid.errors import ConfigError
from sanreid.train import runtime
from sanreid.train.config import LossConfig
from sanreid.train.networks.san import SANOutput
from sanreid.train.networks.surface import Surface

__all__ = ["LossContext", "LossInputs", "Objective", "Targets", "loss_heads", "register_loss"]

_T = TypeVar("_T", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Targets:
    """The labels and textures of one batch.

    Args:
        labels: (N,) int64, contiguous identities.
        textures: (N, 3, 256, 256) in [-1, 1], or None.
        mask: (N, 1, 256, 256) weights in [0, 1]; None weighs every texel equally.
        pit_textures: (M, 3, 256, 256) of the synthetic pairs, or None.
        pit_mask: As ``mask``, for the synthetic pairs.
        pit_texels: (M, H / 2, W / 2) int64, the texel that each pixel of the synthetic crops
            shows, row * 256 + column; -1 off the body. Or None.
        proxies: (N,) int64, the proxy of each crop's person under its camera, or None.
        taught: (N, T) float, the teacher's embeddings of the clean crops, or None.
    """

    labels: Tensor
    textures: Tensor | None = None
    mask: Tensor | None = None
    pit_textures: Tensor | None = None
    pit_mask: Tensor | None = None
    pit_texels: Tensor | None = None
    proxies: Tensor | None = None
    taught: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossContext:
    """What the terms of a run are built from.

    Args:
        config: Weights and margins.
        pit_weight: Weight of the synthetic pairs' reconstruction relative to the crops'.
        embedding_dim: D of the embeddings.
        num_classes: Identities.
        proxy_pids: (M,) int64, the person of each proxy of the cross-camera loss, or None.
        teacher_dim: T of the teacher's embeddings; 0 without a teacher.
        device: Where the terms are computed.
    """

    config: LossConfig
    pit_weight: float = 1.0
    embedding_dim: int = 0
    num_classes: int = 0
    proxy_pids: Tensor | None = None
    teacher_dim: int = 0
    device: torch.device | None = None


@dataclass(frozen=True)
class LossInputs:
    """What a term may be computed from. N crops of this process, J of all processes together.

    Args:
        output: What the network returned for the crops; None for SAN-PG, which has none.
        targets: Labels and textures of the batch.
        pit_textures: (M, 3, 256, 256), painted for the synthetic pairs, or None.
        config: Weights and margins.
        pit_surface: What SAN-PG says the pixels show, or None.
    """

    output: SANOutput | None
    targets: Targets
    pit_textures: Tensor | None
    config: LossConfig
    pit_surface: Surface | None = None

    @cached_property
    def pids(self) -> Tensor:
        """(J,) int64, the identities of the joint batch."""
        return runtime.gather(self.targets.labels)

    @cached_property
    def embeddings(self) -> Tensor:
        """(J, D) the embeddings of the joint batch, not normalized."""
        assert self.output is not None  # noqa: S101 - terms of crops are not computed without them
        return runtime.gather(self.output.embedding)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    weight: Callable[[LossContext], float]
    build: Callable[[LossContext], Callable[[LossInputs], Tensor | None]]
    of_decoder: bool
    head: Callable[[LossContext], nn.Module] | None
    is_custom: bool  # weighed by loss.custom


_ENTRIES: dict[str, _Entry] = {}


def register_loss(
    name: str,
    *,
    weight: str | Callable[[LossContext], float] | None = None,
    of_decoder: bool = False,
    head: Callable[[LossContext], nn.Module] | None = None,
) -> Callable[[_T], _T]:
    """Register a loss term; used as a decorator of a function or of a class.

    A function takes :class:`LossInputs` and returns a scalar, or None if it does not apply to the
    batch. A class is built once per run with :class:`LossContext`, then called like a function;
    if it keeps a state between steps, it has ``state_dict`` and ``load_state_dict``.

    Args:
        name: The name of the term in the log; registering a name again replaces the term.
        weight: The key in the ``[loss]`` section that holds the weight, or a function of the
            context; None: ``loss.custom``, under ``name``. The term is left out if it is 0.
        of_decoder: The term is computed from SA-Dec: its weight warms up with SA-Dec's, and it
            is left out of the steps without SA-Dec.
        head: Builds a module with learned parameters on the embedding; its output is
            ``inputs.output.heads[name]``. Like the classifier, it is not exported.
    """

    def custom(context: LossContext) -> float:
        return context.config.custom.get(name, 0.0)

    def from_key(context: LossContext) -> float:
        return float(getattr(context.config, str(weight)))

    weigh = custom if weight is None else from_key if isinstance(weight, str) else weight

    def register(term: _T) -> _T:
        def build(context: LossContext) -> Callable[[LossInputs], Tensor | None]:
            return term(context) if isinstance(term, type) else term

        _ENTRIES[name] = _Entry(name, weigh, build, of_decoder, head, weight is None)
        return term

    return register


def _active(context: LossContext) -> list[tuple[_Entry, float]]:
    if unknown := context.config.custom.keys() - _ENTRIES.keys():
        raise ConfigError(
            f"loss.custom: no loss is registered as {min(unknown)!r}; registered are "
            f"{', '.join(_ENTRIES)}. Is the module that registers it in run.imports?"
        )
    for name in context.config.custom:
        if not _ENTRIES[name].is_custom:
            raise ConfigError(
                f"loss.custom takes no weight of {name!r}, which has a setting of its own."
            )
    weighted = ((entry, entry.weight(context)) for entry in _ENTRIES.values())
    return [(entry, weight) for entry, weight in weighted if weight > 0]


def loss_heads(context: LossContext) -> dict[str, Callable[[], nn.Module]]:
    """Return the builders of the modules on the embedding that the active terms learn, by name."""

    def builder(head: Callable[[LossContext], nn.Module]) -> Callable[[], nn.Module]:
        return lambda: head(context)

    return {one.name: builder(one.head) for one, _ in _active(context) if one.head is not None}


class Objective:
    """Compute the active terms and their weighted sum.

    Args:
        context: What the terms are built from; its weights choose the terms.

    Raises:
        ConfigError: ``loss.custom`` names a term that is not registered or has a weight of its
            own.
    """

    def __init__(self, context: LossContext) -> None:
        self.config = context.config
        self._terms = [
            (entry.name, entry.build(context), weight, entry.of_decoder)
            for entry, weight in _active(context)
        ]

    def __call__(
        self,
        output: SANOutput | None,
        targets: Targets,
        pit_textures: Tensor | None = None,
        pit_surface: Surface | None = None,
        *,
        decoder_share: float = 1.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum, and the unweighted terms by name.

        Across processes, triplets are mined in the joint batch; the gradient of the sum, averaged
        over the processes, is that of one process with the joint batch.

        Args:
            output: What the network returned for the crops; None for SAN-PG.
            targets: Labels and textures.
            pit_textures: (M, 3, 256, 256), painted for the synthetic pairs, or None.
            pit_surface: What SAN-PG says the pixels show, or None.
            decoder_share: Factor of the weights of SA-Dec's terms, while they warm up; 0 leaves
                these terms out.

        Raises:
            ConfigError: No term is left to learn from.
        """
        inputs = LossInputs(output, targets, pit_textures, self.config, pit_surface)
        terms: dict[str, Tensor] = {}
        weighted = []
        for name, compute, weight, of_decoder in self._terms:
            term = None if of_decoder and not decoder_share else compute(inputs)
            if term is not None:
                terms[name] = term
                weighted.append(term * (weight * decoder_share if of_decoder else weight))
        if not weighted:
            raise ConfigError(
                "No loss applies to this batch, so nothing can be learned from it: each weight in "
                "[loss] is 0, or those above 0 are of SA-Dec, and the batch has no textures or is "
                "a step without SA-Dec (loss.decoder_every, loss.decoder_warmup_epochs)."
            )
        return torch.stack(weighted).sum(), terms

    def restart(self, proxy_pids: Tensor, vectors: Tensor) -> None:
        """Replace the people that the terms with a memory remember.

        Args:
            proxy_pids: (M,) int64, the person of each proxy.
            vectors: (M, D) float, its embedding.
        """
        for _, compute, *_ in self._terms:
            if hasattr(compute, "restart"):
                compute.restart(proxy_pids, vectors)

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return the states of the terms that keep one, by name."""
        return {
            name: compute.state_dict()
            for name, compute, *_ in self._terms
            if hasattr(compute, "state_dict")
        }

    def load_state_dict(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Load the states of the terms; one that is missing leaves its term as it is."""
        for name, compute, *_ in self._terms:
            if name in states and hasattr(compute, "load_state_dict"):
                compute.load_state_dict(states[name])
