"""SA-Enc, the encoder of the Semantics Aligning Network (SAN).

Source: Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification",
AAAI 2020, arXiv:1905.13143. The decoder that shapes these features during training is
``sanreid.train.networks.sa_dec``; nothing in this file needs it.

Shapes: N crops, D embedding dimensions, C channels of the last stage. A crop is 3 x 256 x 128
(channels, height, width) unless configured otherwise; the last map is then C x 16 x 8.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sanreid.config import BACKBONES, EncoderConfig
from sanreid.errors import ConfigError
from sanreid.models.backbone import ResNetTrunk

__all__ = ["EncoderOutput", "SAEnc", "build_sa_enc"]


class EncoderOutput(NamedTuple):
    """The result of a forward pass, the same in ``train()`` and in ``eval()``."""

    embedding: Tensor  # (N, D), not normalised
    stages: tuple[Tensor, ...]  # four of a ResNet, fine to coarse; SA-Dec reads all of them
    pooled: Tensor  # (N, C), before the head; the triplet loss of a BNNeck model acts here


class AveragePooling(nn.Module):
    """Mean over positions: (N, C, H, W) to (N, C)."""

    def forward(self, feature_map: Tensor) -> Tensor:
        """Pool a map, (N, C, H, W), to (N, C)."""
        return feature_map.mean(dim=(2, 3))


class GeMPooling(nn.Module):
    """Generalised mean over positions with a learned exponent: (N, C, H, W) to (N, C).

    Source: Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation",
    TPAMI 2018. The exponent 1 is the average, infinity the maximum.
    """

    def __init__(self, *, exponent: float = 3.0, floor: float = 1e-6) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor([exponent]))
        self.floor = floor

    def forward(self, feature_map: Tensor) -> Tensor:
        """Pool a map, (N, C, H, W), to (N, C); computed in float32."""
        powers = feature_map.float().clamp(min=self.floor).pow(self.exponent.float())
        pooled: Tensor = powers.mean(dim=(2, 3)).pow(1.0 / self.exponent.float())
        return pooled.to(feature_map.dtype)


class FCHead(nn.Module):
    """Linear, BatchNorm, ReLU: (N, C) to (N, D); the head of the authors' released code."""

    def __init__(self, in_channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(in_channels, embedding_dim)
        self.bn = nn.BatchNorm1d(embedding_dim)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map pooled features (N, C) to embeddings (N, D), all at least 0."""
        activated: Tensor = self.bn(self.reduction(pooled)).relu()
        return activated


class BNNeckHead(nn.Module):
    """Linear without bias, BatchNorm: (N, C) to (N, D).

    Source: the BNNeck of Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person
    Re-identification", CVPRW 2019, behind a linear reduction.
    """

    def __init__(self, in_channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(in_channels, embedding_dim, bias=False)
        self.bn = nn.BatchNorm1d(embedding_dim)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map pooled features (N, C) to embeddings (N, D)."""
        normalised: Tensor = self.bn(self.reduction(pooled))
        return normalised


class SAEnc(nn.Module):
    """Trunk, global pooling, embedding head.

    Args:
        trunk: Maps (N, 3, H, W) to the maps of its stages, fine to coarse.
        pooling: Maps the last stage's map (N, C, H, W) to (N, C).
        head: Maps (N, C) to (N, D).
    """

    def __init__(self, *, trunk: nn.Module, pooling: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.pooling = pooling
        self.head = head

    def forward(self, crops: Tensor) -> EncoderOutput:
        """Encode normalised crops, (N, 3, H, W)."""
        stages = self.trunk(crops)
        pooled = self.pooling(stages[-1])
        return EncoderOutput(embedding=self.head(pooled), stages=stages, pooled=pooled)


def build_sa_enc(config: EncoderConfig) -> SAEnc:
    """Build the SA-Enc that ``config`` describes, freshly initialised, in ``train()`` mode.

    Raises:
        ConfigError: ``config`` is no configuration.
    """
    if not isinstance(config, EncoderConfig):
        raise ConfigError(f"An encoder is built from an EncoderConfig; got {config!r}."[:300])
    return SAEnc(
        trunk=_trunk(config),
        pooling=AveragePooling() if config.pooling == "avg" else GeMPooling(),
        head=_head(config),
    )


def _trunk(config: EncoderConfig) -> nn.Module:
    build = BACKBONES[config.backbone].build
    if build is None:
        return ResNetTrunk(config.backbone, last_stride=config.last_stride)
    trunk = build(last_stride=config.last_stride)
    if not isinstance(trunk, nn.Module):
        raise ConfigError(
            f"The backbone {config.backbone!r} must be an nn.Module; its build() gave "
            f"{type(trunk).__name__}."
        )
    return trunk


def _head(config: EncoderConfig) -> nn.Module:
    if config.head == "pool":
        return nn.Identity()
    kind = FCHead if config.head == "fc" else BNNeckHead
    return kind(config.trunk_channels, config.embedding_dim)
