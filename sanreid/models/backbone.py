"""The trunk: a ResNet without its classifier, giving the map of every stage.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, in torchvision's
form: the stride of a bottleneck is on its 3x3 convolution, and the keys are torchvision's, so
its weight files fit. It is written out because ``import torchvision`` also loads torch's
compiler, which takes longer than loading the weights. ``last_stride=1`` keeps layer4 at the
resolution of layer3, as the SAN paper and most reID work since Sun et al. (PCB, ECCV 2018) do.

Shapes for a crop of 3 x 256 x 128 (channels, height, width), ResNet-50, last stride 1:
256 x 64 x 32, 512 x 32 x 16, 1024 x 16 x 8, 2048 x 16 x 8.
"""

from __future__ import annotations

from torch import Tensor, nn

from sanreid.config import BACKBONES

__all__ = ["ResNetTrunk"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, C_in, H, W) to (N, width, H', W')."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, kernel=3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, kernel=3)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(in_channels, width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual to the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        output: Tensor = self.relu(residual.add_(shortcut))
        return output


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 beside a shortcut: (N, C_in, H, W) to (N, 4 width, H', W')."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = _conv(in_channels, width, kernel=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, kernel=3, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, out_channels, kernel=1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _downsample(in_channels, out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual to the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        output: Tensor = self.relu(residual.add_(shortcut))
        return output


class ResNetTrunk(nn.Module):
    """Stem and four stages; its keys are torchvision's names without ``fc``.

    Args:
        name: ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, or ``"resnet50-c4"``: ResNet-50
            without layer4, a third of its weights, whose last two stage maps are the same (the
            C4 features of He et al., "Mask R-CNN", ICCV 2017).
        last_stride: Stride of layer4, 1 or 2.
    """

    def __init__(self, name: str, *, last_stride: int = 1) -> None:
        super().__init__()
        row = BACKBONES[name]
        depths = row.depths
        block: type[BasicBlock | Bottleneck] = Bottleneck if row.bottleneck else BasicBlock
        self.conv1 = _conv(3, 64, kernel=7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        wide = block.expansion
        self.layer1 = _stage(block, 64, 64, depth=depths[0], stride=1)
        self.layer2 = _stage(block, 64 * wide, 128, depth=depths[1], stride=2)
        self.layer3 = _stage(block, 128 * wide, 256, depth=depths[2], stride=2)
        self.layer4 = _stage(block, 256 * wide, 512, depth=depths[3], stride=last_stride)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map normalised crops (N, 3, H, W) to the four stage maps, fine to coarse."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(crops))))
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        return stage1, stage2, stage3, self.layer4(stage3)


def _stage(
    block: type[BasicBlock | Bottleneck], in_channels: int, width: int, *, depth: int, stride: int
) -> nn.Sequential:
    if depth == 0:
        return nn.Sequential()  # passes its input on
    first = block(in_channels, width, stride=stride)
    out_channels = width * block.expansion
    return nn.Sequential(first, *(block(out_channels, width, stride=1) for _ in range(depth - 1)))


def _downsample(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential | None:
    """Return the shortcut's projection, where the block changes the shape of the map."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        _conv(in_channels, out_channels, kernel=1, stride=stride), nn.BatchNorm2d(out_channels)
    )


def _conv(in_channels: int, out_channels: int, *, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias, initialised for a ReLU behind (He et al., ICCV 2015)."""
    conv = nn.Conv2d(
        in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )
    if not conv.weight.is_meta:  # no values there, and drawing them would load torch's compiler
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
