"""Networks as plain ``torch.nn.Module``; nothing here reads or writes files."""

from __future__ import annotations

from sanreid.config import register_backbone
from sanreid.models.backbone import ResNetTrunk
from sanreid.models.sa_enc import EncoderOutput, SAEnc, build_sa_enc

__all__ = ["EncoderOutput", "ResNetTrunk", "SAEnc", "build_sa_enc", "register_backbone"]
