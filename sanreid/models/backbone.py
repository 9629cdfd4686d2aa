"""The trunk: a torchvision ResNet without its classifier, giving the map of every stage.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, in torchvision's
form (the stride of a bottleneck on its 3x3 convolution). ``last_stride=1`` keeps layer4 at the
resolution of layer3, as the SAN paper and most reID work since Sun et al. (PCB, ECCV 2018) do.

Shapes for a crop of 3 x 256 x 128 (channels, height, width), ResNet-50, last stride 1:
256 x 64 x 32, 512 x 32 x 16, 1024 x 16 x 8, 2048 x 16 x 8.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.resnet import BasicBlock

__all__ = ["ResNetTrunk"]


class ResNetTrunk(nn.Module):
    """Stem and four stages; its keys are torchvision's names without ``fc``.

    Args:
        name: ``"resnet18"``, ``"resnet34"`` or ``"resnet50"``.
        last_stride: Stride of layer4, 1 or 2.
    """

    def __init__(self, name: str, *, last_stride: int = 1) -> None:
        super().__init__()
        network = getattr(resnet, name)(weights=None)
        if last_stride == 1:
            first = network.layer4[0]
            strided = first.conv1 if isinstance(first, BasicBlock) else first.conv2
            strided.stride = first.downsample[0].stride = (1, 1)
        self.conv1 = network.conv1
        self.bn1 = network.bn1
        self.relu = network.relu
        self.maxpool = network.maxpool
        self.layer1 = network.layer1
        self.layer2 = network.layer2
        self.layer3 = network.layer3
        self.layer4 = network.layer4

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map normalised crops (N, 3, H, W) to the four stage maps, fine to coarse."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(crops))))
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        return stage1, stage2, stage3, self.layer4(stage3)
