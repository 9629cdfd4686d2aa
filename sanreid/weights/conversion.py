"""Checkpoints of other code into weights directories.

Known layouts, distinguished by their keys:

- torchreid's ``resnet50_fc512``, which the authors' released code of SAN trains too: a ResNet-50
  with last stride 1 and ``fc`` = Linear, BatchNorm1d, ReLU. Becomes head ``fc``.
- torchvision's ResNet-50, with or without its classifier. Becomes head ``pool``, last stride 1 as
  reID work uses it; torchreid's plain ``resnet50``, known by its ``classifier``, was trained with
  last stride 2 and keeps it.

Sources: KaiyangZhou/deep-person-reid, ``torchreid/models/resnet.py``;
microsoft/Semantics-Aligned-Representation-Learning-for-Person-Re-identification, ``main.py``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sanreid.config import EncoderConfig
from sanreid.errors import InputError, WeightsError
from sanreid.utils.paths import shorten
from sanreid.weights.checkpoints import read_checkpoint
from sanreid.weights.storage import check_keys, encoder_shapes, expanded, save_directory

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["convert"]

logger = logging.getLogger(__name__)

_CLASSIFIERS = ("classifier.", "fc.weight", "fc.bias")  # torchreid's, torchvision's
_KNOWN = (
    "known: torchreid's resnet50 and resnet50_fc512, the checkpoints of SAN's released code, "
    "torchvision's ResNet-50"
)
_FOREIGN = {  # what only these have among their keys
    "OSNet": r"conv2\.0\.(conv2[a-d]|gate)\.",
    "a vision transformer": r".*(patch_embed|visual\.class_embedding|blocks\.0\.attn)",
    "a SE-ResNet": r"layer1\.0\.se_module\.",
    "a ResNet with IBN": r"layer1\.0\.bn1\.IN\.",
    "a MobileNet": r"features\.\d+\.conv\.",
    "a HACNN": r"inception1\.",
    "an MLFN": r"feature\.\d+\.fm_conv1",
}


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
            ``state_dict``, ``model`` and the like, with or without ``module.``, ``_orig_mod.``,
            ``base.`` and the like before its keys. Classifiers are dropped.
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
    if not isinstance(input_size, tuple | list):
        raise InputError(f"input_size must be (height, width); got {input_size!r}.")
    try:
        taken = out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir()))
    except (OSError, ValueError) as error:  # a name too long, no permission
        raise WeightsError(f"{shorten(str(out_dir))} cannot be a directory: {error}") from error
    if taken:
        raise WeightsError(f"{out_dir} exists already; pass a new or an empty directory.")

    found = read_checkpoint(source)
    if foreign := _foreign_network(found):
        raise WeightsError(f"{source} holds {foreign}, which is not supported; {_KNOWN}.")
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


def _foreign_network(found: Mapping[str, Tensor]) -> str | None:
    """Name a network that is none of the known layouts; None if the keys do not show it."""
    return next(
        (name for name, key in _FOREIGN.items() if any(re.match(key, each) for each in found)),
        None,
    )


def _recognised(
    found: Mapping[str, Tensor], *, last_stride: int | None, input_size: tuple[int, int]
) -> tuple[str, EncoderConfig]:
    """Return the layout's name, by its keys, and the encoder's configuration."""
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
    """Return the key that the known layouts have for a key of SA-Enc."""
    for ours, theirs in (("trunk.", ""), ("head.reduction.", "fc.0."), ("head.bn.", "fc.1.")):
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    raise AssertionError(key)


def _is_counter(key: str, value: Tensor) -> bool:
    """Return whether it is a batch counter; some writers store it with shape [1]."""
    return key.endswith(".num_batches_tracked") and value.numel() == 1


def _zero() -> Tensor:
    import torch  # noqa: PLC0415 - listing weights needs no torch

    return torch.zeros((), dtype=torch.int64)
