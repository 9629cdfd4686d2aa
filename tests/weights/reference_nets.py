"""An independent ResNet-50 with torchreid's key names, whose checkpoints are converted.

Written from the papers (He et al., CVPR 2016, stride on the 3x3 convolution) without code of the
package, so that agreement of embeddings is a real test.
"""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if inside != 4 * width or stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ReIDNet(nn.Module):
    """ResNet-50 for ``people`` identities; ``fc_dim=None`` omits the ``fc`` head."""

    def __init__(self, *, people, fc_dim, last_stride):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inside = 64
        for number, (width, depth) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
            stride = {1: 1, 2: 2, 3: 2, 4: last_stride}[number]
            blocks = []
            for index in range(depth):
                blocks.append(Block(inside, width, stride if index == 0 else 1))
                inside = 4 * width
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc = None
        if fc_dim:
            self.fc = nn.Sequential(nn.Linear(2048, fc_dim), nn.BatchNorm1d(fc_dim), nn.ReLU())
        self.classifier = nn.Linear(fc_dim or 2048, people)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = x.flatten(2).mean(dim=2)
        return x if self.fc is None else self.fc(x)


def trained_looking(net, *, seed=0):
    """Fill weights and running statistics with values that distinguish all layers."""
    rng = torch.Generator().manual_seed(seed)
    for key, value in net.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=rng)
        elif value.is_floating_point() and value.ndim == 1:
            value.uniform_(-0.2, 0.2, generator=rng)
            if key.endswith("weight"):
                value.add_(1.0)
        elif value.is_floating_point():
            fan = value[0].numel()
            value.normal_(std=fan**-0.5, generator=rng)
    return net.eval()
