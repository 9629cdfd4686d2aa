"""The identity classifier of a margin softmax."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

__all__ = ["CosineClassifier"]


class CosineClassifier(nn.Linear):
    """Compare embeddings with the weights of each identity by direction alone."""

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the cosines, (N, D) to (N, identities), in at least float32.

        Under autocast too: half precisions have too few digits near 1, where the margin counts.
        """
        with torch.autocast(embedding.device.type, enabled=False):
            x = embedding if embedding.dtype == torch.float64 else embedding.float()
            return F.linear(F.normalize(x, dim=1), F.normalize(self.weight, dim=1))
