"""Checkpoints of other code into weights directories.

Known layouts, told apart by their keys:

- torchreid's ``resnet50_fc512``, which the authors' released code of SAN trains too: a ResNet-50
  with last stride 1 and ``fc`` = Linear, BatchNorm1d, ReLU. Becomes head ``fc``.
- torchvision's ResNet-50, with or without its classifier. Becomes head ``pool``, last stride 1 as
  reID work uses it; torchreid's plain ``resnet50``, known by its ``classifier``, was trained with
  last stride 2 and keeps it.

A pickled checkpoint is read by ``torch.load(weights_only=True)`` and in no other way.

Sources: KaiyangZhou/deep-person-reid, ``torchreid/models/resnet.py``;
microsoft/Semantics-Aligned-Representation-Learning-for-Person-Re-identification, ``main.py``.
"""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.config import EncoderConfig
from sanreid.errors import WeightsError
from sanreid.weights.storage import (
    check_keys,
    encoder_shapes,
    expanded,
    listed,
    read_state_dict,
    save_directory,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["convert"]

logger = logging.getLogger(__name__)

_CLASSIFIERS = ("classifier.", "fc.weight", "fc.bias")  # torchreid's, torchvision's
_KNOWN = (
    "known: torchreid's resnet50 and resnet50_fc512, the checkpoints of SAN's released code, "
    "torchvision's ResNet-50"
)


def convert(
    source: str | Path,
    out_dir: str | Path,
    *,
    last_stride: int | None = None,
    input_size: tuple[int, int] = (256, 128),
) -> Path:
    """Turn a checkpoint of other code into a weights directory.

    Args:
        source: ``.pth``, ``.pth.tar`` or ``.safetensors``; the state dict itself or under
            ``state_dict``, with or without ``module.`` before its keys. Classifiers are dropped.
        out_dir: The directory to write; must not exist yet, or be empty.
        last_stride: 1 or 2; what the layout was trained with (see above) when None.
        input_size: (height, width) in pixels the encoder will resize crops to.

    Returns:
        ``out_dir``.

    Raises:
        WeightsError: The file cannot be read without running code, its keys are not those of a
            known layout (the message lists them), or ``out_dir`` is not free. Nothing is written.
        ConfigError: ``last_stride`` or ``input_size`` is out of range.
    """
    source, out_dir = expanded(source), expanded(out_dir)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise WeightsError(f"{out_dir} is there already; give a new or an empty directory.")

    found = _read(source)
    if all(key.startswith("module.") for key in found):
        found = {key.removeprefix("module."): value for key, value in found.items()}
    layout, config = _recognised(found, last_stride=last_stride, input_size=input_size)
    kept = {
        key: value.reshape(()).long() if _is_counter(key, value) else value
        for key, value in found.items()
        if not key.startswith(_CLASSIFIERS)
    }
    shapes = encoder_shapes(config)
    theirs = {_their_key(key): key for key in shapes}
    check_keys(
        {key: shapes[ours] for key, ours in theirs.items()},
        kept,
        origin=source,
        network=f"{layout}, which its keys are nearest to ({_KNOWN})",
    )
    tensors = {ours: kept[key] if key in kept else _zero() for key, ours in theirs.items()}
    logger.info("Read %s as %s: head %r.", source, layout, config.head)
    return save_directory(out_dir, state_dict=tensors, config=config)


def _recognised(
    found: Mapping[str, Tensor], *, last_stride: int | None, input_size: tuple[int, int]
) -> tuple[str, EncoderConfig]:
    """Tell the layout by its keys; give its name and the encoder's configuration."""
    classifier = found.get("classifier.weight")
    behind_fc = classifier is not None and tuple(classifier.shape[1:]) != (2048,)
    if behind_fc or any(re.match(r"fc\.\d", key) for key in found):
        weight = found.get("fc.0.weight")
        dim = 512 if weight is None or weight.ndim == 0 else int(weight.shape[0])
        config = EncoderConfig(
            head="fc",
            embedding_dim=max(dim, 1),
            last_stride=_or(last_stride, 1),
            input_size=input_size,
        )
        return "torchreid's resnet50_fc512", config
    name, stride = (
        ("torchvision's ResNet-50", 1) if classifier is None else ("torchreid's resnet50", 2)
    )
    config = EncoderConfig(
        head="pool",
        embedding_dim=2048,
        last_stride=_or(last_stride, stride),
        input_size=input_size,
    )
    return name, config


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _their_key(key: str) -> str:
    """Give the key that the known layouts have for a key of SA-Enc."""
    for ours, theirs in (("trunk.", ""), ("head.reduction.", "fc.0."), ("head.bn.", "fc.1.")):
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    raise AssertionError(key)


def _read(source: Path) -> dict[str, Tensor]:
    if not source.is_file():
        raise WeightsError(f"There is no checkpoint {source}.")
    if source.suffix == ".safetensors":
        return read_state_dict(source)
    return _state_dict_of(_unpickled(source), source)


def _unpickled(source: Path) -> object:
    """Read a pickled checkpoint without running any code of it."""
    import torch  # noqa: PLC0415 - listing weights needs no torch

    # Trainers of reID store the rank-1 reached as a NumPy scalar beside the weights, which
    # weights_only refuses. These stand-ins take its place; no function of NumPy is called.
    stand_ins: list[Any] = [
        (_ignored, "numpy.core.multiarray.scalar"),
        (_ignored, "numpy._core.multiarray.scalar"),
        (_IgnoredDtype, "numpy.dtype"),
    ]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{source} holds more than tensors and plain values, or is no checkpoint, and was not "
            f"read further: {_reason(error)} Save the state dict alone, with the code that wrote "
            "it, and convert that."
        ) from None  # torch's own message advises to run the file's code
    except Exception as error:  # a damaged pickle fails in every way there is
        raise WeightsError(
            f"{source} cannot be read as a checkpoint; it is damaged or something else "
            f"({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})."
        ) from error


def _reason(error: Exception) -> str:
    """The line of torch's long message that names what was refused."""
    lines = [line.strip() for line in str(error).splitlines()]
    named = [line for line in lines if "GLOBAL" in line or "Unsupported" in line]
    reason = (named or lines or [type(error).__name__])[0].partition(" Please use")[0]
    return reason.rstrip(".") + "."


def _state_dict_of(content: object, source: Path) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415 - listing weights needs no torch

    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{source} holds {type(content).__name__}, not a state dict; {_KNOWN}.")
    if foreign := [str(key) for key, v in content.items() if not isinstance(v, torch.Tensor)]:
        raise WeightsError(
            f"{source} is not a state dict: no tensor under {listed(foreign)}; {_KNOWN}."
        )
    return {str(key): value.detach() for key, value in content.items()}


def _is_counter(key: str, value: Tensor) -> bool:
    """Tell a batch counter; some writers give it the shape [1]."""
    return key.endswith(".num_batches_tracked") and value.numel() == 1


def _ignored(*_args: object) -> None:
    """Stand in for a NumPy scalar."""


class _IgnoredDtype:
    """Stand in for a NumPy dtype."""

    def __init__(self, *_args: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def _zero() -> Tensor:
    import torch  # noqa: PLC0415 - listing weights needs no torch

    return torch.zeros((), dtype=torch.int64)
