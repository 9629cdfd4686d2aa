r"""A linear map on the embeddings of a finished encoder, and how it becomes part of that encoder.

Learning the map takes each crop's embedding, which is computed once, in place of its pixels, so an
epoch takes seconds. Afterwards the map is multiplied into the encoder's head: a head that ends
with BatchNorm is affine, :math:`y = a \circ R x + b`, and so :math:`W y` is the head with
:math:`W (a \circ R)` and :math:`W b`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sanreid.models.sa_enc import EncoderOutput, SAEnc

__all__ = ["EmbeddingMap", "with_map"]

_EPS = 1e-5  # of torch's BatchNorm, which sa_enc leaves as it is


class EmbeddingMap(SAEnc):
    """Stand in for an encoder: embeddings (N, D) in, mapped embeddings out; begins as identity.

    Args:
        dim: D.
    """

    def __init__(self, dim: int) -> None:
        matrix = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(matrix.weight)
        super().__init__(trunk=nn.Identity(), pooling=nn.Identity(), head=matrix)

    def forward(self, crops: Tensor) -> EncoderOutput:
        """Map embeddings of crops, (N, D)."""
        return EncoderOutput(embedding=self.head(crops), stages=(), pooled=crops)


def with_map(state: Mapping[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
    """Multiply a map into the head of an encoder that ends with BatchNorm.

    Args:
        state: The state of an encoder with the head ``"bnneck"``.
        weight: (D, D) float, the map.

    Returns:
        The state of the encoder whose embeddings are the mapped ones.
    """
    reduction, bn = "head.reduction.weight", "head.bn."
    mean, var = state[f"{bn}running_mean"].double(), state[f"{bn}running_var"].double()
    scale = state[f"{bn}weight"].double() / (var + _EPS).sqrt()
    shift = state[f"{bn}bias"].double() - scale * mean
    matrix = weight.double() @ (scale[:, None] * state[reduction].double())
    found = {
        reduction: matrix,
        f"{bn}bias": weight.double() @ shift,
        f"{bn}weight": torch.full_like(mean, (1 + _EPS) ** 0.5),
        f"{bn}running_mean": torch.zeros_like(mean),
        f"{bn}running_var": torch.ones_like(var),
    }
    return {**state, **{key: x.to(state[key].dtype) for key, x in found.items()}}
