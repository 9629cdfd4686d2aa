"""ResNet-50 with instance normalisation in half of its early channels, a row of the ablation.

Source: Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net",
ECCV 2018, variant a: the first norm of each block of layer1 to layer3. The keys are those of the
plain ResNet-50, whose ImageNet weights it starts from; a run asks for it by
``--set 'run.imports=["tests.benchmarks.ibn_a"]' --set 'encoder.backbone="resnet50-ibn-a"'``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.config import BACKBONES
from sanreid.models import register_backbone
from sanreid.models.backbone import ResNetTrunk

NAME = "resnet50-ibn-a"


class HalfInstanceNorm2d(nn.BatchNorm2d):
    """Instance normalisation of the first half of the channels, BatchNorm of the second."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        half = self.num_features // 2
        ours, theirs = slice(half), slice(half, None)
        instance = F.instance_norm(
            x[:, ours], weight=self.weight[ours], bias=self.bias[ours], eps=self.eps
        )
        batch = F.batch_norm(
            x[:, theirs],
            self.running_mean[theirs],
            self.running_var[theirs],
            self.weight[theirs],
            self.bias[theirs],
            self.training,
            self.momentum,
            self.eps,
        )
        return torch.cat([instance, batch], 1)


def build(*, last_stride: int = 1) -> ResNetTrunk:
    """Build the trunk."""
    trunk = ResNetTrunk("resnet50", last_stride=last_stride)
    for stage in (trunk.layer1, trunk.layer2, trunk.layer3):
        for block in stage:
            block.bn1 = HalfInstanceNorm2d(block.bn1.num_features)
    return trunk


if NAME not in BACKBONES:
    register_backbone(NAME, channels=BACKBONES["resnet50"].channels, build=build)
