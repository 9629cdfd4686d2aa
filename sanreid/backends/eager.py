"""Plain torch, operator by operator; on a CPU with packed convolutions where they can be had."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sanreid.backends.network import CropNetwork
from sanreid.backends.packed import PackedTrunk, is_usable
from sanreid.config import EncoderConfig
from sanreid.models.backbone import ResNetTrunk
from sanreid.utils.ambient import plain_torch

__all__ = ["TorchBackend"]

CROPS_AT_ONCE = 8  # on a CPU: the largest maps of more do not stay in the cache


class TorchBackend:
    """Runs a copy of the network, faster than the module itself and with the same result.

    Args:
        module: As :class:`~sanreid.backends.network.CropNetwork` takes it.
        config: For the normalisation and the size of the crops.
        device: Where to run.
        dtype: Precision of the convolutions.
    """

    def __init__(
        self, module: nn.Module, config: EncoderConfig, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._device = device
        self._crops_at_once: int | None = None
        network = CropNetwork(module, config, dtype=dtype).to(device)
        if device.type == "cpu":
            self._crops_at_once = CROPS_AT_ONCE
            trunk = getattr(network.features, "trunk", None)
            if isinstance(trunk, ResNetTrunk) and is_usable(dtype):
                shape = CROPS_AT_ONCE, *config.input_size
                network.features = PackedTrunk(trunk, dtype=dtype, crops=shape)
        self._network = network.to(memory_format=torch.channels_last)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map crops (N, H, W, 3) to embeddings (N, D), not normalised."""
        with plain_torch(inference=True):
            return self._embed(crops)

    def _embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        at_once = self._crops_at_once or len(crops)
        parts = [crops[start : start + at_once] for start in range(0, len(crops), at_once)]
        rows = [self._network(torch.from_numpy(part).to(self._device)).cpu() for part in parts]
        result: NDArray[np.float32] = torch.cat(rows).numpy()
        return result
