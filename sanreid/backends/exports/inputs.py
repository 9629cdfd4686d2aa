"""The forms in which an exported network takes its crops, and crops in each form."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sanreid.backends.network import CropNetwork
from sanreid.config import EncoderConfig

__all__ = ["INPUT_FORMS", "InputForm", "InputNetwork", "input_shape", "prepare"]

InputForm = Literal["uint8-nhwc", "normalized", "unit"]
INPUT_FORMS: tuple[InputForm, ...] = get_args(InputForm)


class InputNetwork(nn.Module):
    """A network that takes crops in one of the forms.

    Args:
        network: The network.
        form: ``"uint8-nhwc"``: (N, H, W, 3) ``uint8``. ``"unit"``: (N, 3, H, W) float in [0, 1],
            normalised inside. ``"normalized"``: (N, 3, H, W) float, mean and std of the
            configuration already applied.
    """

    def __init__(self, network: CropNetwork, form: InputForm) -> None:
        super().__init__()
        self.network = network
        self.form = form

    def forward(self, crops: Tensor) -> Tensor:
        """Embed crops, (N, D) float32, not normalised."""
        if self.form == "uint8-nhwc":
            embeddings: Tensor = self.network(crops)
            return embeddings
        return self.network.embed(
            self.network.normalize(crops * 255) if self.form == "unit" else crops
        )


def input_shape(form: InputForm, config: EncoderConfig) -> tuple[int, int, int]:
    """Return the shape of one crop in ``form``."""
    height, width = config.input_size
    return (height, width, 3) if form == "uint8-nhwc" else (3, height, width)


def prepare(
    crops: NDArray[np.uint8], form: InputForm, config: EncoderConfig
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return crops (N, H, W, 3) in ``form``."""
    if form == "uint8-nhwc":
        return crops
    unit = np.ascontiguousarray(crops.transpose(0, 3, 1, 2)).astype(np.float32)
    unit /= 255
    if form == "normalized":
        unit -= np.array(config.mean, dtype=np.float32)[:, None, None]
        unit /= np.array(config.std, dtype=np.float32)[:, None, None]
    return unit


def example(form: InputForm, config: EncoderConfig) -> Tensor:
    """Return a batch of two black crops in ``form``, for tracing."""
    height, width = config.input_size
    return torch.from_numpy(prepare(np.zeros((2, height, width, 3), np.uint8), form, config))
