"""Convolutions for training on a CPU in bfloat16, with gradients that are matrix products.

On a core with AMX the weight gradient that oneDNN computes for a 3 x 3 convolution over the small
maps of a person crop takes several times as long as a matrix product of the same size; a 1 x 1
convolution is just a matrix product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["use_matrix_products"]

_ROWS = 1024  # positions of the maps per product, for small maps: their windows stay in the cache


def use_matrix_products(network: nn.Module) -> None:
    """Let the 1 x 1 and 3 x 3 convolutions without bias of a network use matrix products.

    It changes them only where they are trained under bfloat16 autocast on the CPU; parameters,
    state and the function computed stay the same. The maps should be in channels-last order.

    Args:
        network: Changed in place.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_simple(module):
            module.__class__ = _Convolution


def _is_simple(conv: nn.Conv2d) -> bool:
    return (
        (conv.kernel_size, conv.padding) in (((1, 1), (0, 0)), ((3, 3), (1, 1)))
        and conv.bias is None
        and conv.groups == 1
        and conv.dilation == (1, 1)
        and conv.stride[0] == conv.stride[1]
        and conv.padding_mode == "zeros"
    )


class _Convolution(nn.Conv2d):
    """A convolution with kernel 1 or 3, its padding 0 or 1, without bias or groups."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name of it
        if torch.compiler.is_compiling() or not self._is_trained(input):
            return super().forward(input)
        stride = self.stride[0]
        if self.kernel_size == (3, 3):
            convolved: Tensor = _Convolution3x3.apply(input, self.weight, stride)
            return convolved
        rows = input[:, :, ::stride, ::stride].permute(0, 2, 3, 1)
        weight = self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, self.in_channels)
        return functional.linear(rows, weight).permute(0, 3, 1, 2)

    def _is_trained(self, x: Tensor) -> bool:
        return (
            self.weight.requires_grad
            and torch.is_grad_enabled()
            and self.bias is None  # one may have been folded in since
            and x.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.bfloat16
        )


class _Convolution3x3(torch.autograd.Function):
    """A 3 x 3 convolution, padded by one; its weight gradient by products in bfloat16.

    The products of a few crops each are summed in float32.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator] # torch's
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return functional.conv2d(x, weight, stride=stride, padding=1)

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator] # torch's
    def backward(  # type: ignore[override] # the decorators take the signature away
        ctx: Any,  # noqa: ANN401 - as above
        gradient: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_input, needs_weight, _ = ctx.needs_input_grad
        of_input = of_weight = None
        if needs_input:
            of_input = torch.ops.aten.convolution_backward(
                gradient, x, weight, None, [ctx.stride] * 2, [1, 1], [1, 1],
                False, [0, 0], 1, [True, False, False],
            )[0]  # fmt: skip
        if needs_weight:
            of_weight = _weight_gradient(x, gradient, ctx.stride)
        return of_input, of_weight, None


def _weight_gradient(x: Tensor, gradient: Tensor, stride: int) -> Tensor:
    """Return the (O, C, 3, 3) float32 gradient for (N, C, H, W) and (N, O, H', W')."""
    channels, out_channels = x.shape[1], gradient.shape[1]
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    gradients = gradient.permute(0, 2, 3, 1)
    count = max(1, _ROWS // (gradients.shape[1] * gradients.shape[2]))
    total = x.new_zeros(out_channels, 9 * channels, dtype=torch.float32)
    for crops, theirs in zip(
        torch.split(padded, count), torch.split(gradients, count), strict=True
    ):
        windows = crops.unfold(1, 3, stride).unfold(2, 3, stride)  # (n, H', W', C, 3, 3)
        columns = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 9 * channels)
        total += theirs.reshape(-1, out_channels).T @ columns
    return total.view(out_channels, 3, 3, channels).permute(0, 3, 1, 2)
