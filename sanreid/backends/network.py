"""The whole network as every backend runs it: ``uint8`` crops in, embeddings out.

It is a copy: batch-norm folded into the convolutions, convolutions in the asked precision, the
normalisation of the pixels and the head in float32. The module it was made of stays plain.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sanreid.config import EncoderConfig
from sanreid.models import ResNetTrunk, SAEnc

__all__ = ["CropNetwork"]


class CropNetwork(nn.Module):
    """Maps crops (N, H, W, 3) ``uint8`` to embeddings (N, D) float32, not normalised.

    Args:
        module: SA-Enc, or any module that maps normalised crops (N, 3, H, W) to embeddings
            (N, D) or to a result with ``.embedding``. It is copied.
        config: For the normalisation.
        dtype: Precision of the convolutions; pooling's result and the head are in float32.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, module: nn.Module, config: EncoderConfig, *, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.dtype = dtype
        network = copy.deepcopy(module).float().eval().requires_grad_(requires_grad=False)
        if isinstance(network, SAEnc):
            if isinstance(network.trunk, ResNetTrunk):  # in others bn1 may come before conv1
                for parent in network.trunk.modules():
                    _fold(parent)
            self.features: nn.Module = _LastMap(network.trunk).to(dtype)
            self.pooling = network.pooling
            self.head = network.head
        else:
            self.features = _Embedding(network).to(dtype)
            self.pooling = self.head = nn.Identity()
        # (x / 255 - mean) / std as x * scale + shift.
        mean = torch.tensor(config.mean, dtype=torch.float32)
        std = torch.tensor(config.std, dtype=torch.float32)
        self.register_buffer("scale", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, 3, 1, 1))
        self.eval()

    def forward(self, crops: Tensor) -> Tensor:
        """Embed crops."""
        return self.embed(self.normalize(crops.permute(0, 3, 1, 2).float()))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalise pixels (N, 3, H, W), float from 0 to 255."""
        return torch.addcmul(self.shift, pixels, self.scale)

    def embed(self, normalized: Tensor) -> Tensor:
        """Embed normalised crops (N, 3, H, W)."""
        features = self.features(normalized.to(self.dtype))
        embeddings: Tensor = self.head(self.pooling(features).float())
        return embeddings


class _LastMap(nn.Module):
    """A trunk that returns only the map of its last stage."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, crops: Tensor) -> Tensor:
        last: Tensor = self.trunk(crops)[-1]
        return last


class _Embedding(nn.Module):
    """A network of any kind that returns only its embedding."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        output = self.network(crops)
        return output if isinstance(output, Tensor) else output.embedding


def _fold(parent: nn.Module) -> None:
    """Fold ``bnK`` into ``convK``, and the pairs of a Sequential, as torchvision's ResNet has."""
    children = dict(parent.named_children())
    for name, child in children.items():
        if not isinstance(child, nn.Conv2d):
            continue
        partner = f"bn{name.removeprefix('conv')}" if name.startswith("conv") else "1"
        norm = children.get(partner)
        if isinstance(norm, nn.BatchNorm2d):
            setattr(parent, name, fuse_conv_bn_eval(child, norm))
            setattr(parent, partner, nn.Identity())
