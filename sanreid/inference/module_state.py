"""The weights of a module: loading, comparing, fingerprint, compact storage."""

from __future__ import annotations

import hashlib
import json

import torch
from torch import Tensor, nn

from sanreid.config import EncoderConfig
from sanreid.weights.storage import check_keys

__all__ = ["assign", "compact", "fingerprint", "weights_state"]


def weights_state(module: nn.Module) -> object:
    """Return a value that changes when a weight is replaced, converted or changed in place.

    It is taken at every call of an encoder. The walk over ``module.parameters()`` takes four
    times as long, since it makes the name of each.
    """
    state: list[tuple[int, int, int]] = []
    waiting, seen = [module], set()
    while waiting:
        part = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        for members in (part._parameters, part._buffers):  # noqa: SLF001 - as torch's own walks
            for _, tensor in members.items():  # noqa: PERF102 - a scripted module has no values()
                if tensor is not None:
                    version = 0 if tensor.is_inference() else tensor._version  # noqa: SLF001 - torch's only such count
                    state.append((id(tensor), tensor.data_ptr(), version))
        waiting += [child for _, child in part._modules.items() if child is not None]  # noqa: SLF001 - as above
    return tuple(state)


def fingerprint(module: nn.Module, config: EncoderConfig) -> str:
    """Return the hex digest over weights and preprocessing, the same on every device."""
    preprocessing = {"resize": "PIL bilinear", "exif": True} | config.to_dict()
    digest = hashlib.sha256(json.dumps(preprocessing, sort_keys=True).encode())
    for key, value in sorted(module.state_dict().items()):
        if value.is_floating_point():  # not the counters of batch-norm, which decide nothing
            values = value.detach().to("cpu", torch.float32).contiguous().numpy()
            digest.update(f"\n{key} {list(value.shape)}\n".encode())
            digest.update(values.astype("<f4", copy=False).data)
    return digest.hexdigest()


def assign(module: nn.Module, state_dict: dict[str, Tensor], *, origin: str) -> None:
    """Set the weights of a module built on the meta device, every key and no other."""
    wanted = module.state_dict()
    check_keys(
        {key: tuple(value.shape) for key, value in wanted.items()}, state_dict, origin=origin
    )
    values = {
        # A copy, so that nothing stays tied to the file; the counters may be missing.
        key: torch.zeros(like.shape, dtype=like.dtype, device="cpu")
        if key not in state_dict
        else state_dict[key].to("cpu", like.dtype, copy=True)
        for key, like in wanted.items()
    }
    module.load_state_dict(values, strict=True, assign=True)


def compact(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """float16 for the tensors that lose nothing by it, such as those loaded from float16."""
    stored = {}
    for key, value in state_dict.items():
        half = value.half()
        lossless = value.is_floating_point() and torch.equal(half.float(), value)
        stored[key] = (half if lossless else value).detach().cpu().contiguous()
    return stored
