r"""The cross-camera loss: the same person under another camera ranks before everyone else.

The gallery that users search holds other people seen by the query's own camera, who share its
light, its background and its height, while the person searched for was seen by another camera. A
batch of 64 crops holds few such negatives. A memory holds them all: one proxy for each person
under each camera, the running mean of the embeddings of those crops. Each crop must be more
similar to its person's proxies under *other* cameras than to the nearest proxies of other people
under *all* cameras, including its own.

Source: the inter-camera loss of Wang et al., "Camera-aware Proxies for Unsupervised Person
Re-Identification", AAAI 2021, arXiv:2012.10674, here with the known identities in place of
clusters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.errors import InputError
from sanreid.train import runtime
from sanreid.train.losses.objective import LossContext, LossInputs, register_loss
from sanreid.train.losses.terms import unit_rows

__all__ = ["CameraProxies"]

_NONE = -1e4  # the logarithm of a sum over no proxies: far below any similarity


class CameraProxies:
    r"""A memory of one embedding for each person under each camera, and the loss against it.

    .. math::
        L = \frac{1}{N} \sum_a \frac{1}{|P_a|} \sum_{p \in P_a}
            -\log \frac{e^{s(a, p) / \tau}}{e^{s(a, p) / \tau} + \sum_n e^{s(a, n) / \tau}}

    s is the cosine, P the proxies of the crop's person under cameras that did not take the crop,
    n the nearest proxies of other people. Proxies that no crop has reached yet are
    ignored, and so are crops of people whom only one camera has seen.

    Args:
        pids: (M,) int, the person of each proxy.
        dim: D of the embeddings.
        temperature: :math:`\tau`, above 0. Source: 0.07.
        negatives: How many of the nearest proxies of other people each crop is compared with;
            all if there are fewer. Among thousands of far ones the near ones would not count.
            Source: 50.
        momentum: Weight of a batch's crops in their proxies, in (0, 1]. Source: 0.2.
        device: Where the memory is kept.
    """

    def __init__(
        self,
        pids: Tensor,
        dim: int,
        *,
        temperature: float = 0.07,
        negatives: int = 50,
        momentum: float = 0.2,
        device: torch.device | None = None,
    ) -> None:
        self.temperature = temperature
        self.negatives = negatives
        self.momentum = momentum
        self._device = device
        self.pids = pids.to(device)
        self.vectors = torch.zeros(len(pids), dim, device=device)
        self.seen = torch.zeros(len(pids), dtype=torch.bool, device=device)
        self._indices = torch.arange(len(pids), device=device)

    def restart(self, pids: Tensor, vectors: Tensor) -> None:
        """Forget everybody and remember other people.

        Args:
            pids: (M,) int, the person of each proxy.
            vectors: (M, D) float, its embedding; a row of zeros: not seen yet.
        """
        self.pids = pids.to(self._device)
        self.vectors = F.normalize(vectors.to(self.vectors), dim=1)
        self.seen = self.vectors.any(1)
        self._indices = torch.arange(len(pids), device=self._device)

    def loss(self, embeddings: Tensor, pids: Tensor, own: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            embeddings: (N, D) float, not necessarily normalized.
            pids: (N,) int.
            own: (N,) int64, the index of each crop's own proxy.

        Returns:
            A scalar, at least 0; 0 if no crop has a positive yet.

        Raises:
            InputError: The shapes do not fit.
        """
        self._check(embeddings, own)
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = unit_rows(embeddings)
            similar = unit @ self.vectors.T.to(unit.dtype) / self.temperature
            same = pids[:, None] == self.pids[None]
            positive = same & self.seen & (own[:, None] != self._indices)
            negatives = similar.masked_fill(same | ~self.seen, _NONE)
            nearest = negatives.topk(min(self.negatives, len(self.pids)), dim=1).values
            others = nearest.logsumexp(1, keepdim=True)
            each = F.softplus(others - similar).masked_fill(~positive, 0.0)
            count = positive.sum(1)
            means = each.sum(1) / count.clamp_min(1)
            return means.sum() / (count > 0).sum().clamp_min(1)

    @torch.no_grad()
    def update(self, embeddings: Tensor, own: Tensor) -> None:
        """Move the proxies of a batch's crops towards the mean of their embeddings.

        A row that is not finite leaves its proxy as it was.
        """
        self._check(embeddings, own)
        unit = unit_rows(embeddings).to(self.vectors.dtype)
        together = (own[:, None] == own[None]).to(unit.dtype)
        with torch.autocast(embeddings.device.type, enabled=False):
            means = F.normalize(together @ unit, dim=1)
        old = self.vectors[own]
        moved = F.normalize(torch.lerp(old, means, self.momentum), dim=1)
        rows = torch.where(self.seen[own, None], moved, means)
        sound = rows.isfinite().all(1)
        # Not in place: the loss's backward pass still needs the memory as it was.
        self.vectors = self.vectors.index_copy(0, own, torch.where(sound[:, None], rows, old))
        self.seen = self.seen.index_copy(0, own, self.seen[own] | sound)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what :meth:`load_state_dict` takes."""
        return {"vectors": self.vectors, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the state of another memory of the same people and cameras."""
        self.vectors = state["vectors"].to(self.vectors.device)
        self.seen = state["seen"].to(self.seen.device)

    def _check(self, embeddings: Tensor, own: Tensor) -> None:
        if embeddings.dim() != 2 or embeddings.shape[1] != self.vectors.shape[1]:
            raise InputError(
                f"The memory holds embeddings of {self.vectors.shape[1]} numbers; "
                f"got the shape {tuple(embeddings.shape)}."
            )
        if own.shape != embeddings.shape[:1]:
            raise InputError(
                f"There are {len(embeddings)} embeddings but proxy indices of shape "
                f"{tuple(own.shape)}; one per row is needed."
            )


@register_loss("cross_camera", weight="cross_camera")
class _CrossCamera:
    """The memory of a run, which follows each batch."""

    def __init__(self, context: LossContext) -> None:
        c = context.config
        self._proxies: CameraProxies | None = None
        if context.proxy_pids is not None:
            self._proxies = CameraProxies(
                context.proxy_pids,
                context.embedding_dim,
                temperature=c.cross_camera_temperature,
                negatives=c.cross_camera_negatives,
                momentum=c.cross_camera_momentum,
                device=context.device,
            )

    def __call__(self, inputs: LossInputs) -> Tensor | None:
        if self._proxies is None or inputs.targets.proxies is None:
            return None
        own = runtime.gather(inputs.targets.proxies)
        loss = self._proxies.loss(inputs.embeddings, inputs.pids, own)
        self._proxies.update(inputs.embeddings, own)
        return loss

    def restart(self, pids: Tensor, vectors: Tensor) -> None:
        if self._proxies is not None:
            self._proxies.restart(pids, vectors)

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self._proxies is None else self._proxies.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if self._proxies is not None and state:
            self._proxies.load_state_dict(state)
