"""A ResNet so thin that a training run takes a second; importing this registers it.

It has the stages and the names of a ResNet-18's weights, one block in each stage, an eighth of the
channels: 80 thousand weights in place of 11 million.
"""

from __future__ import annotations

from torch import nn

from sanreid.config import BACKBONES, register_backbone
from sanreid.models import ResNetTrunk
from sanreid.models.backbone import BasicBlock, _conv, _stage

__all__ = ["THIN", "ThinTrunk"]

THIN = "resnet-thin"
WIDTHS = (8, 16, 32, 64)


class ThinTrunk(ResNetTrunk):
    """Map normalised crops to four stage maps, as its base does."""

    def __init__(self, *, last_stride: int = 1) -> None:
        nn.Module.__init__(self)
        self.conv1 = _conv(3, WIDTHS[0], kernel=7, stride=2)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        below = WIDTHS[0]
        for number, (width, stride) in enumerate(
            zip(WIDTHS, (1, 2, 2, last_stride), strict=True), 1
        ):
            stage = _stage(BasicBlock, below, width, depth=1, stride=stride)
            self.add_module(f"layer{number}", stage)
            below = width


if THIN not in BACKBONES:
    register_backbone(THIN, channels=WIDTHS, build=ThinTrunk)
