"""SA-Dec, the decoder that paints the whole body's texture; it exists in training only.

Source: Jin et al., "Semantics-Aligned Representation Learning for Person Re-identification",
AAAI 2020, arXiv:1905.13143, with the sizes of the authors' released code: a 1x1 reduction of the
last map, skips from the three finer ones, four residual blocks that each double the map, a 7x7
convolution to three channels and a stretch to the texture's square.

Departures from the released code, each with its reason:

- Every block grows to the size of the skip it meets next (twice for the usual inputs), so that
  any input size of the encoder works, and either stride of layer4.
- The texture ends in tanh (``output="tanh"``): the released code left it out (commented), so
  its textures could leave [-1, 1]; ``output="linear"`` is that.
- Weights start as He et al. (ICCV 2015) scale them, with a small last layer, instead of Xavier
  with gain 0.02, which makes the signal vanish in the layers without normalization.

Shapes for crops of 3 x 256 x 128 and width 512: blocks 256 x 32 x 16, 64 x 64 x 32,
32 x 128 x 64, 16 x 256 x 128; texture 3 x 256 x 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.config import BACKBONES
from sanreid.errors import InputError
from sanreid.utils.arguments import check_choice

__all__ = ["TEXTURE_SIZE", "DecoderOutput", "SADec"]

TEXTURE_SIZE = 256


class DecoderOutput(NamedTuple):
    """The output of SA-Dec, the same in ``train()`` and in ``eval()``."""

    texture: Tensor  # (N, 3, 256, 256), in [-1, 1] with output="tanh"
    block_maps: tuple[
        Tensor, Tensor, Tensor, Tensor
    ]  # coarse to fine; the TR constraint reads all


class UpBlock(nn.Module):
    """Two 3x3 convolutions with a skip, then bilinear growth and a 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(in_channels),
        )
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect")

    def forward(self, feature_map: Tensor, size: tuple[int, int]) -> Tensor:
        """Map (N, C_in, h, w) to (N, C_out, *size)."""
        activated = F.relu(self.residual(feature_map) + feature_map)
        grown = F.interpolate(activated, size=size, mode="bilinear", align_corners=False)
        result: Tensor = self.conv(grown)
        return result


class SADec(nn.Module):
    """Paint the texture from the encoder's four stage maps.

    Args:
        channels: Channels of the encoder's stages, fine to coarse;
            ``BACKBONES["resnet50"].channels`` of ``sanreid.config``.
        width: Channels after the reduction, a multiple of 32.
        output: ``"tanh"`` or ``"linear"``.

    Raises:
        InputError: ``channels`` are not four, or ``width`` or ``output`` is wrong.
    """

    def __init__(
        self,
        channels: Sequence[int] = BACKBONES["resnet50"].channels,
        *,
        width: int = 512,
        output: str = "tanh",
    ) -> None:
        super().__init__()
        if len(channels) != 4:
            raise InputError(f"SA-Dec reads four stages; got channels {list(channels)}.")
        if width < 32 or width % 32:
            raise InputError(f"width must be a multiple of 32; got {width}.")
        check_choice(output, "output", ("tanh", "linear"))
        widths = (width, width // 2, width // 8, width // 16, width // 32)
        self.output = output
        self.reduction = _squeeze(channels[3], width)
        self.skip3 = _squeeze(channels[2], widths[0])
        self.skip2 = _squeeze(channels[1], widths[1])
        self.skip1 = _squeeze(channels[0], widths[2])
        self.blocks = nn.ModuleList(
            UpBlock(widths[n], widths[n + 1]) for n in range(len(widths) - 1)
        )
        self.paint = nn.Conv2d(widths[4], 3, 7, padding=3, padding_mode="reflect")
        self.apply(_initialize)
        nn.init.normal_(self.paint.weight, std=0.01)

    def forward(self, stages: Sequence[Tensor]) -> DecoderOutput:
        """Decode the encoder's stage maps, fine to coarse.

        Args:
            stages: Four maps (N, C_l, H_l, W_l), as ``SAEnc`` returns them.
        """
        stage1, stage2, stage3, stage4 = stages
        size1, size2, size3 = (_size(one) for one in (stage1, stage2, stage3))
        reduced = _fit(self.reduction(stage4), size3)
        block1 = self.blocks[0](self.skip3(stage3) + reduced, size2)
        block2 = self.blocks[1](self.skip2(stage2) + block1, size1)
        block3 = self.blocks[2](self.skip1(stage1) + block2, _doubled(size1))
        block4 = self.blocks[3](block3, _doubled(_doubled(size1)))
        painted = _fit(self.paint(block4), (TEXTURE_SIZE, TEXTURE_SIZE))
        texture = torch.tanh(painted) if self.output == "tanh" else painted
        return DecoderOutput(texture=texture, block_maps=(block1, block2, block3, block4))


def _squeeze(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _size(feature_map: Tensor) -> tuple[int, int]:
    return feature_map.shape[2], feature_map.shape[3]


def _doubled(size: tuple[int, int]) -> tuple[int, int]:
    return 2 * size[0], 2 * size[1]


def _fit(feature_map: Tensor, size: tuple[int, int]) -> Tensor:
    if _size(feature_map) == size:
        return feature_map
    return F.interpolate(feature_map, size=size, mode="bilinear", align_corners=False)
