"""SAN, the network that is trained, and SAN-PG, the one that makes its target textures.

Source: Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification",
AAAI 2020, arXiv:1905.13143. SAN is SA-Enc with an identity classifier and SA-Dec; SAN-PG is
SA-Enc with SA-Dec, trained by reconstruction alone on synthetic pairs. Only SA-Enc is exported.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from sanreid.config import EncoderConfig
from sanreid.models import SAEnc, build_sa_enc
from sanreid.train.config import DecoderConfig
from sanreid.train.networks.sa_dec import STAGE_CHANNELS, DecoderOutput, SADec

__all__ = ["SAN", "SANPG", "SANOutput", "build_san", "build_san_pg"]


class SANOutput(NamedTuple):
    """What SAN gives, the same in ``train()`` and in ``eval()``."""

    embedding: Tensor  # (N, D), not normalised
    pooled: Tensor  # (N, C), before the head
    logits: Tensor  # (N, identities)
    texture: Tensor | None  # (N, 3, 256, 256) in [-1, 1]; None without a decoder
    block_maps: tuple[Tensor, ...]  # SA-Dec's four maps, coarse to fine; empty without one


class SAN(nn.Module):
    """SA-Enc, identity classifier and, where given, SA-Dec.

    Args:
        encoder: SA-Enc.
        embedding_dim: D of the encoder.
        num_classes: Identities the classifier tells apart.
        decoder: SA-Dec; None for the plain baseline.
    """

    def __init__(
        self, encoder: SAEnc, *, embedding_dim: int, num_classes: int, decoder: SADec | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(embedding_dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)
        self.decoder = decoder

    def forward(self, crops: Tensor) -> SANOutput:
        """Run on normalised crops, (N, 3, H, W)."""
        encoded = self.encoder(crops)
        texture, block_maps = None, ()
        if self.decoder is not None:
            texture, block_maps = self.decoder(encoded.stages)
        return SANOutput(
            embedding=encoded.embedding,
            pooled=encoded.pooled,
            logits=self.classifier(encoded.embedding),
            texture=texture,
            block_maps=block_maps,
        )

    def paint(self, crops: Tensor) -> Tensor:
        """Give the textures alone, (N, 3, 256, 256), for crops that have no identity."""
        if self.decoder is None:
            raise AttributeError("this SAN has no decoder")
        painted: DecoderOutput = self.decoder(self.encoder.trunk(crops))
        return painted.texture


class SANPG(nn.Module):
    """SA-Enc and SA-Dec: crop in, texture out.

    Args:
        encoder: SA-Enc; its head takes no part in painting.
        decoder: SA-Dec.
    """

    def __init__(self, encoder: SAEnc, decoder: SADec) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, crops: Tensor) -> DecoderOutput:
        """Run on normalised crops, (N, 3, H, W)."""
        painted: DecoderOutput = self.decoder(self.encoder.trunk(crops))
        return painted

    def paint(self, crops: Tensor) -> Tensor:
        """Give the textures alone, (N, 3, 256, 256)."""
        return self.forward(crops).texture


def build_san(
    config: EncoderConfig, *, num_classes: int, decoder: DecoderConfig | None = None
) -> SAN:
    """Build a freshly initialised SAN; without ``decoder`` the plain baseline."""
    return SAN(
        build_sa_enc(config),
        embedding_dim=config.embedding_dim,
        num_classes=num_classes,
        decoder=None if decoder is None else _decoder(config, decoder),
    )


def build_san_pg(config: EncoderConfig, decoder: DecoderConfig | None = None) -> SANPG:
    """Build a freshly initialised SAN-PG."""
    return SANPG(build_sa_enc(config), _decoder(config, decoder or DecoderConfig()))


def _decoder(config: EncoderConfig, decoder: DecoderConfig) -> SADec:
    channels = STAGE_CHANNELS[config.backbone]
    return SADec(channels, width=decoder.width, output=decoder.output)
