"""The trunk on a CPU by oneDNN's fused convolutions, weights in the layout its kernels read.

Three things are saved against the same network in plain torch: the weights are laid out once
rather than at every call, which is a third of the time of a single crop; ReLU, and the sum with
the shortcut, are done while a convolution's result is still in the cache.

The operators are those that torch's own compiler emits for frozen convolutions. Torch promises
nothing about them, so :func:`is_usable` tries them before they are relied on; where it says no,
the plain network runs.
"""

from __future__ import annotations

import functools
import logging
from typing import cast

import torch
from torch import Tensor, nn

from sanreid.models.backbone import BasicBlock, Bottleneck, ResNetTrunk

__all__ = ["PackedTrunk", "is_usable"]

logger = logging.getLogger(__name__)


@functools.cache
def is_usable(dtype: torch.dtype) -> bool:
    """Return whether this torch on this CPU has the operators with correct results."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # untyped in torch
        return False
    rng = torch.Generator().manual_seed(0)  # the caller's random numbers stay as they are
    with torch.device("meta"):  # skip_init would import sympy, for half a second
        conv = nn.Conv2d(8, 8, 3, padding=1)
    for name in ("weight", "bias"):
        shape = getattr(conv, name).shape
        values = torch.rand(shape, generator=rng, dtype=torch.float32, device="cpu") - 0.5
        setattr(conv, name, nn.Parameter(values, requires_grad=False))
    crops = torch.rand(2, 8, 6, 4, generator=rng, dtype=torch.float32) - 0.5
    wanted = conv(crops)
    low = crops.to(dtype, memory_format=torch.channels_last)
    try:
        packed = PackedConv(conv, dtype=dtype, input_shape=crops.shape)
        got = packed(low), packed.relu(low), packed.add_relu(low, low.clone())
    except (AttributeError, RuntimeError, TypeError) as error:
        logger.info("Convolutions are not packed: %s", error)
        return False
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    pairs = zip(got, (wanted, wanted.relu(), (wanted + crops).relu()), strict=True)
    return all(torch.allclose(a.float(), b, atol=tolerance) for a, b in pairs)


class PackedConv:
    """A convolution with bias, its weights laid out for inputs of about ``input_shape``.

    Args:
        conv: The convolution, float32, on the CPU.
        dtype: Precision to compute in; inputs have it too.
        input_shape: (N, C, H, W) to choose the layout for; other shapes work as well.

    Attributes:
        output_shape: Shape of the output for such an input.
    """

    def __init__(self, conv: nn.Conv2d, *, dtype: torch.dtype, input_shape: torch.Size) -> None:
        geometry = [list(cast("tuple[int, int]", n)) for n in (conv.padding, conv.stride)]
        self._geometry = (*geometry, list(conv.dilation), conv.groups)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(  # noqa: SLF001 - see above
            conv.weight.detach().to(dtype), *self._geometry, list(input_shape)
        )
        self._bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        sides = zip(input_shape[2:], conv.kernel_size, *geometry, strict=True)
        height, width = ((size + 2 * pad - k) // step + 1 for size, k, pad, step in sides)
        self.output_shape = torch.Size((input_shape[0], conv.out_channels, height, width))

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self._convolve(x, "none")

    def relu(self, x: Tensor) -> Tensor:
        """Convolve, then ReLU."""
        return self._convolve(x, "relu")

    def add_relu(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Convolve, add ``shortcut``, then ReLU; the result takes the shortcut's memory."""
        output: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            shortcut, x, self._weight, self._bias, *self._geometry, "add", 1.0, "relu", [], None
        )
        return output

    def _convolve(self, x: Tensor, activation: str) -> Tensor:
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001 - see above
            x, self._weight, self._bias, *self._geometry, activation, [], None
        )
        return output


class PackedTrunk(nn.Module):
    """Computes the last stage map of a ResNet trunk.

    Args:
        trunk: The trunk, float32, on the CPU, its batch-norms folded.
        dtype: Precision to compute in.
        crops: (N, H, W) of the batches to choose the layouts for.
    """

    def __init__(
        self, trunk: ResNetTrunk, *, dtype: torch.dtype, crops: tuple[int, int, int]
    ) -> None:
        super().__init__()
        count, *size = crops
        self._stem = PackedConv(
            trunk.conv1, dtype=dtype, input_shape=torch.Size((count, 3, *size))
        )
        self._maxpool = trunk.maxpool
        count, channels, height, width = self._stem.output_shape
        shape = torch.Size((count, channels, (height + 1) // 2, (width + 1) // 2))
        self._blocks = []
        for stage in (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4):
            for block in stage:
                kind = cast("BasicBlock | Bottleneck", block)
                self._blocks.append(PackedBlock(kind, dtype=dtype, input_shape=shape))
                shape = self._blocks[-1].output_shape

    def forward(self, crops: Tensor) -> Tensor:
        """Map normalised crops (N, 3, H, W), channels last, to the last map (N, C, H', W')."""
        x: Tensor = self._maxpool(self._stem.relu(crops))
        for block in self._blocks:
            x = block(x)
        return x


class PackedBlock:
    """A residual block; see :class:`PackedConv` for the arguments."""

    def __init__(
        self, block: BasicBlock | Bottleneck, *, dtype: torch.dtype, input_shape: torch.Size
    ) -> None:
        self._downsample = None
        if block.downsample is not None:
            conv = cast("nn.Conv2d", block.downsample[0])
            self._downsample = PackedConv(conv, dtype=dtype, input_shape=input_shape)
        self._convs = []
        self.output_shape = input_shape
        for child in block.children():
            if isinstance(child, nn.Conv2d):
                packed = PackedConv(child, dtype=dtype, input_shape=self.output_shape)
                self._convs.append(packed)
                self.output_shape = packed.output_shape

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the block; ``x`` is overwritten."""
        # The block's input is not needed after the block, so its memory may hold the sum.
        shortcut = x if self._downsample is None else self._downsample(x)
        for conv in self._convs[:-1]:
            x = conv.relu(x)
        return self._convs[-1].add_relu(x, shortcut)
