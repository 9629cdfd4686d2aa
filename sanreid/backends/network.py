"""The whole network as every backend runs it, ``uint8`` crops in, embeddings out; and in torch.

It is a copy: batch-norm folded into the convolutions, convolutions in the requested precision, the
normalisation of the pixels and the head in float32. The module it was made of stays plain.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sanreid.backends.packed import PackedTrunk, is_usable
from sanreid.config import EncoderConfig
from sanreid.errors import InputError
from sanreid.models import SAEnc
from sanreid.models.backbone import ResNetTrunk
from sanreid.utils.ambient import plain_torch

__all__ = ["CropNetwork", "TorchBackend"]


class CropNetwork(nn.Module):
    """Maps crops (N, H, W, 3) ``uint8`` to embeddings (N, D) float32, not normalised.

    Args:
        module: SA-Enc, or any module that maps normalised crops (N, 3, H, W) to embeddings
            (N, D) or to a result with ``.embedding``. It is copied.
        config: For the normalisation.
        dtype: Precision of the convolutions; pooling's result and the head are in float32.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, module: nn.Module, config: EncoderConfig, *, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.dtype = dtype
        network = copy.deepcopy(module).float().eval().requires_grad_(requires_grad=False)
        if isinstance(network, SAEnc):
            if isinstance(network.trunk, ResNetTrunk):  # in others bn1 may come before conv1
                for parent in network.trunk.modules():
                    _fold(parent)
            self.features: nn.Module = _LastMap(network.trunk).to(dtype)
            self.pooling = network.pooling
            self.head = network.head
        else:
            self.features = _Embedding(network).to(dtype)
            self.pooling = self.head = nn.Identity()
        # (x / 255 - mean) / std as x * scale + shift.
        mean = torch.tensor(config.mean, dtype=torch.float32)
        std = torch.tensor(config.std, dtype=torch.float32)
        self.register_buffer("scale", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, 3, 1, 1))
        self.eval()

    def forward(self, crops: Tensor) -> Tensor:
        """Embed crops."""
        return self.embed(self.normalize(crops.permute(0, 3, 1, 2).float()))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalise pixels (N, 3, H, W), float from 0 to 255."""
        return torch.addcmul(self.shift, pixels, self.scale)

    def embed(self, normalized: Tensor) -> Tensor:
        """Embed normalised crops (N, 3, H, W)."""
        features = self.features(normalized.to(self.dtype))
        embeddings: Tensor = self.head(self.pooling(features).float())
        return embeddings


class _LastMap(nn.Module):
    """A trunk that returns only the map of its last stage."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, crops: Tensor) -> Tensor:
        last: Tensor = self.trunk(crops)[-1]
        return last


class _Embedding(nn.Module):
    """A network of any kind that returns only its embedding."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        output = self.network(crops)
        return output if isinstance(output, Tensor) else output.embedding


def _fold(parent: nn.Module) -> None:
    """Fold ``bnK`` into ``convK``, and the pairs of a Sequential, as torchvision's ResNet has."""
    children = dict(parent.named_children())
    for name, child in children.items():
        if not isinstance(child, nn.Conv2d):
            continue
        partner = f"bn{name.removeprefix('conv')}" if name.startswith("conv") else "1"
        norm = children.get(partner)
        if type(norm) is nn.BatchNorm2d:  # what a subclass computes is not known here
            setattr(parent, name, fuse_conv_bn_eval(child, norm))
            setattr(parent, partner, nn.Identity())


def _is_folded(trunk: ResNetTrunk) -> bool:
    return not any(isinstance(one, nn.BatchNorm2d) for one in trunk.modules())


CROPS_AT_ONCE = 8  # on a CPU: the largest maps of more do not stay in the cache


class TorchBackend:
    """Runs a copy of the network, faster than the module itself and with the same result.

    Args:
        module: As :class:`~sanreid.backends.network.CropNetwork` takes it.
        config: For the normalisation and the size of the crops.
        device: Where to run.
        dtype: Precision of the convolutions.

    Raises:
        InputError: The module is no SA-Enc and does not map a crop to an embedding.
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
            if isinstance(trunk, ResNetTrunk) and _is_folded(trunk) and is_usable(dtype):
                shape = CROPS_AT_ONCE, *config.input_size
                network.features = PackedTrunk(trunk, dtype=dtype, crops=shape)
        self._network = network.to(memory_format=torch.channels_last)
        if not isinstance(module, SAEnc):
            self._try(type(module).__name__, config)

    def _try(self, name: str, config: EncoderConfig) -> None:
        """Embed one black crop by a module that may be of any kind."""
        wanted = (
            f"map normalised crops (N, 3, {config.input_size[0]}, {config.input_size[1]}) to "
            f"embeddings (N, {config.embedding_dim})"
        )
        try:
            shape = self(np.zeros((1, *config.input_size, 3), dtype=np.uint8)).shape
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever another's code raises
            raise InputError(f"The module, a {name}, must {wanted}; it raised: {error}") from error
        if shape != (1, config.embedding_dim):
            raise InputError(f"The module, a {name}, must {wanted}; for N = 1 it gave {shape}.")

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
