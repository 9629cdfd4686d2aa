"""SAN, the network that is trained, and SAN-PG, the one that makes its target textures.

Source: Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification",
AAAI 2020, arXiv:1905.13143. SAN is SA-Enc with an identity classifier and SA-Dec; SAN-PG is
SA-Enc with SA-Dec, trained by reconstruction on synthetic pairs. Beyond the paper, it may also
learn which texel each pixel shows, and copy the pixels. Of SAN only SA-Enc is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sanreid.config import BACKBONES, EncoderConfig
from sanreid.models import SAEnc, build_sa_enc
from sanreid.train.config import DecoderConfig
from sanreid.train.networks.copying import TextureCopier
from sanreid.train.networks.cosine_classifier import CosineClassifier
from sanreid.train.networks.sa_dec import DecoderOutput, SADec
from sanreid.train.networks.surface import Surface

__all__ = [
    "SAN",
    "SANPG",
    "JointForward",
    "PaintedPairs",
    "SANOutput",
    "build_san",
    "build_san_pg",
]


class SANOutput(NamedTuple):
    """The output of SAN, the same in ``train()`` and in ``eval()``."""

    embedding: Tensor  # (N, D), not normalized
    pooled: Tensor  # (N, C), before the head
    logits: Tensor  # (N, identities); cosines where a margin softmax learns
    texture: Tensor | None  # (N, 3, 256, 256) in [-1, 1]; None without a decoder
    block_maps: tuple[Tensor, ...]  # SA-Dec's four maps, coarse to fine; empty without one
    heads: Mapping[str, Tensor] = MappingProxyType({})  # what each further head returned


class PaintedPairs(NamedTuple):
    """What was painted for the crops of synthetic pairs."""

    texture: Tensor  # (N, 3, 256, 256)
    surface: Surface | None = None  # what a SAN-PG that copies predicts that the pixels show


class SAN(nn.Module):
    """SA-Enc, identity classifier and, where given, SA-Dec.

    Args:
        encoder: SA-Enc.
        embedding_dim: D of the encoder.
        num_classes: Identities that the classifier distinguishes.
        decoder: SA-Dec; None for the plain baseline.
        cosine: Let the classifier return cosines, as a margin softmax needs them.

    Attributes:
        heads: Further modules on the embedding, by name, which losses learn from; none at first.
    """

    def __init__(
        self,
        encoder: SAEnc,
        *,
        embedding_dim: int,
        num_classes: int,
        decoder: SADec | None = None,
        cosine: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        classifier = CosineClassifier if cosine else nn.Linear
        self.classifier = classifier(embedding_dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)
        self.decoder = decoder
        self.heads = nn.ModuleDict()

    def forward(self, crops: Tensor, *, with_decoder: bool = True) -> SANOutput:
        """Run on normalized crops, (N, 3, H, W), through SA-Dec too unless it is left out."""
        encoded = self.encoder(crops)
        texture, block_maps = None, ()
        if with_decoder and self.decoder is not None:
            texture, block_maps = self.decoder(encoded.stages)
        return SANOutput(
            embedding=encoded.embedding,
            pooled=encoded.pooled,
            logits=self.classifier(encoded.embedding),
            texture=texture,
            block_maps=block_maps,
            heads={name: head(encoded.embedding) for name, head in self.heads.items()},
        )

    def paint(self, crops: Tensor) -> Tensor:
        """Return only the textures, (N, 3, 256, 256), for crops that have no identity."""
        return self.paint_pairs(crops).texture

    def paint_pairs(self, crops: Tensor) -> PaintedPairs:
        """Run on the crops of synthetic pairs, (N, 3, H, W)."""
        if self.decoder is None:
            raise AttributeError("this SAN has no decoder")
        decoded: DecoderOutput = self.decoder(self.encoder.trunk(crops))
        return PaintedPairs(decoded.texture)


class SANPG(nn.Module):
    """SA-Enc and SA-Dec: crop in, texture out.

    Args:
        encoder: SA-Enc; its head takes no part in painting.
        decoder: SA-Dec.
        copier: Corrects what SA-Dec painted by the crop's pixels; None leaves it as it is.
    """

    def __init__(
        self, encoder: SAEnc, decoder: SADec, copier: TextureCopier | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.copier = copier

    def forward(self, crops: Tensor) -> DecoderOutput:
        """Run on normalized crops, (N, 3, H, W)."""
        return self._decode(crops)[0]

    def paint(self, crops: Tensor) -> Tensor:
        """Return only the textures, (N, 3, 256, 256)."""
        return self.forward(crops).texture

    def paint_pairs(self, crops: Tensor) -> PaintedPairs:
        """Run on the normalized crops of synthetic pairs, (N, 3, H, W)."""
        decoded, surface = self._decode(crops)
        return PaintedPairs(decoded.texture, surface)

    def _decode(self, crops: Tensor) -> tuple[DecoderOutput, Surface | None]:
        stages = self.encoder.trunk(crops)
        decoded: DecoderOutput = self.decoder(stages)
        if self.copier is None:
            return decoded, None
        surface = self.copier.surface(crops, stages)
        texture = self.copier(crops, stages[3], surface, decoded.texture, decoded.block_maps[3])
        return decoded._replace(texture=texture), surface


class JointForward(nn.Module):
    """One forward pass over the real crops and, if given, the synthetic ones.

    It is one module, so that DistributedDataParallel wraps the whole pass.

    Args:
        network: SAN, or SAN-PG for only synthetic crops.
        separate_batch_norm: Normalize the synthetic crops by their own batch statistics and
            leave the running statistics to the real crops; otherwise both form one batch.
    """

    def __init__(self, network: SAN | SANPG, *, separate_batch_norm: bool) -> None:
        super().__init__()
        self.network = network
        self.separate_batch_norm = separate_batch_norm

    def forward(
        self, crops: Tensor | None, pit_crops: Tensor | None = None, *, with_decoder: bool = True
    ) -> tuple[SANOutput | None, PaintedPairs | None]:
        """Return the output for the real crops and what was painted for the synthetic ones."""
        if crops is None:
            return None, None if pit_crops is None else self.network.paint_pairs(pit_crops)
        if pit_crops is None:
            return self.network(crops, with_decoder=with_decoder), None
        if self.separate_batch_norm:
            output = self.network(crops)
            with _running_statistics_kept(self.network):
                return output, self.network.paint_pairs(pit_crops)
        n = len(crops)
        both: SANOutput = self.network(torch.cat([crops, pit_crops]))
        real = SANOutput(
            embedding=both.embedding[:n],
            pooled=both.pooled[:n],
            logits=both.logits[:n],
            texture=None if both.texture is None else both.texture[:n],
            block_maps=tuple(one[:n] for one in both.block_maps),
            heads={name: one[:n] for name, one in both.heads.items()},
        )
        return real, None if both.texture is None else PaintedPairs(both.texture[n:])


def build_san(
    config: EncoderConfig,
    *,
    num_classes: int,
    decoder: DecoderConfig | None = None,
    heads: Mapping[str, Callable[[], nn.Module]] | None = None,
    cosine: bool = False,
) -> SAN:
    """Build a freshly initialized SAN; without ``decoder`` the plain baseline.

    Args:
        config: The encoder.
        num_classes: Identities that the classifier distinguishes.
        decoder: SA-Dec, or None.
        heads: What builds each further head, called last, so that a head changes no other weight.
        cosine: Let the classifier return cosines, as a margin softmax needs them.
    """
    network = SAN(
        build_sa_enc(config),
        embedding_dim=config.embedding_dim,
        num_classes=num_classes,
        decoder=None if decoder is None else _decoder(config, decoder),
        cosine=cosine,
    )
    network.heads.update({name: build() for name, build in (heads or {}).items()})
    return network


def build_san_pg(config: EncoderConfig, decoder: DecoderConfig | None = None) -> SANPG:
    """Build a freshly initialized SAN-PG."""
    settings = decoder or DecoderConfig()
    painter, channels = _decoder(config, settings), BACKBONES[config.backbone].channels
    copier = None
    if settings.copy:
        features = painter.paint.in_channels
        copier = TextureCopier(channels, features, mean=config.mean, std=config.std)
    return SANPG(build_sa_enc(config), painter, copier)


def _decoder(config: EncoderConfig, decoder: DecoderConfig) -> SADec:
    channels = BACKBONES[config.backbone].channels
    return SADec(channels, width=decoder.width, output=decoder.output)


@contextmanager
def _running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm layers normalize by the batch without updating their running statistics."""
    layers = [
        (layer, layer.momentum, layer.num_batches_tracked)
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and layer.training
    ]
    counts = [None if count is None else count.clone() for _, _, count in layers]
    for layer, _, _ in layers:
        layer.momentum = 0.0  # running = (1 - 0) * running + 0 * batch
    try:
        yield
    finally:
        for (layer, momentum, counter), count in zip(layers, counts, strict=True):
            layer.momentum = momentum
            if counter is not None and count is not None:
                counter.copy_(count)
