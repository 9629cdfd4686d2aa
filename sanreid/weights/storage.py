"""Weights on disk: checksums, safetensors files, weights directories.

A weights directory holds ``config.json`` (:class:`~sanreid.config.EncoderConfig` as JSON),
``model.safetensors`` (the state dict of :class:`~sanreid.models.SAEnc`, and in its header what
is known of its training and its terms) and ``README.md``, its model card. Nothing here reads a
pickle.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sanreid.config import EncoderConfig
from sanreid.errors import ChecksumError, ConfigError, InputError, WeightsError
from sanreid.utils.arguments import check_kind
from sanreid.utils.arrays import shown
from sanreid.utils.files import make_folder, scratch_directory, sha256_of
from sanreid.utils.paths import is_encodable
from sanreid.utils.sniffing import describe_text
from sanreid.weights.card import model_card
from sanreid.weights.manifest import WeightsEntry, read_json
from sanreid.weights.record import to_metadata

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["check_file", "load_into", "read_config", "read_state_dict", "save_directory"]

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"

_COUNTER = "num_batches_tracked"  # of batch-norm, which decides nothing
_SHOWN = 8  # keys listed in a message before "and N more"


def check_file(path: Path, *, sha256: str, size_bytes: int | None = None, name: str = "") -> None:
    """Compare a file with what was released; return nothing when they agree.

    Raises:
        WeightsError: The file cannot be read.
        ChecksumError: They do not agree. The file is left in place for inspection.
    """
    try:
        actual_size, actual = path.stat().st_size, sha256_of(path)
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read: {error}.") from error
    if actual != sha256 or size_bytes not in (None, actual_size):
        wanted = "" if size_bytes is None else f" ({size_bytes:,} bytes)"
        described = describe_text(path)
        hint = f" It {described}." if described else ""
        raise ChecksumError(
            f"The weights file of {name or path.name!r} is not the released one; nothing of it "
            f"was parsed: {path} has sha256 {actual} ({actual_size:,} bytes), expected "
            f"{sha256}{wanted}.{hint}"
        )


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` with its ``~`` expanded; WeightsError where that is nobody's home."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise InputError(f"A path must be a str or a Path; got {type(path).__name__}.")
    if not os.fspath(path):
        raise InputError("A path is empty.")
    if not is_encodable(os.fspath(path)):
        raise InputError(f"A path has half a character: {shown(os.fspath(path))}.")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise WeightsError(f"{os.fspath(path)!r} cannot be expanded: {error}") from error


def read_config(path: Path) -> EncoderConfig:
    """Read a ``config.json``.

    Raises:
        WeightsError: It is missing, not JSON, or not an encoder's configuration.
    """
    values = read_json(path, "configuration")
    try:
        return EncoderConfig.from_dict(values)
    except ConfigError as error:
        raise WeightsError(f"{path} is not the configuration of an encoder: {error}") from error


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, by key, on the CPU.

    Raises:
        WeightsError: The file is missing, cut short, or not safetensors.
    """
    import safetensors  # noqa: PLC0415 - torch is loaded with it, and listing needs neither
    from safetensors.torch import load_file  # noqa: PLC0415 - as above

    path = expanded(path)
    if not is_file(path):
        raise WeightsError(f"There is no weights file {path}.")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read: {error}.") from error
    except (ValueError, safetensors.SafetensorError) as error:
        if described := describe_text(path):
            raise WeightsError(f"The weights file {path} {described}.") from error
        raise WeightsError(
            f"{path} is not a whole safetensors file ({error}). Pickled checkpoints (.pth, .pt, "
            ".bin) are converted first: sanreid weights convert IN OUT_DIR."
        ) from error
    return tensors


def load_into(
    module: nn.Module, state_dict: Mapping[str, Tensor], *, origin: str | os.PathLike[str]
) -> None:
    """Copy ``state_dict`` into ``module``, every key and no other, or change nothing.

    The counters ``num_batches_tracked`` of batch-norm layers may be missing, all of them:
    inference does not read them. Values are converted to the module's dtype and device.

    Args:
        module: The network.
        state_dict: Its tensors by key.
        origin: Where the tensors are from; for the message.

    Raises:
        WeightsError: A key is missing, unknown, of another shape, or holds NaN or infinity.
    """
    _check_mapping(state_dict)
    wanted = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    check_keys(wanted, state_dict, origin=origin)
    counters = {
        key: value
        for key, value in module.state_dict().items()
        if key not in state_dict  # check_keys lets the counters be missing
    }
    module.load_state_dict({**counters, **state_dict}, strict=True)


def check_keys(
    wanted: Mapping[str, tuple[int, ...]],
    state_dict: Mapping[str, Tensor],
    *,
    origin: str | os.PathLike[str],
    network: str = "the network of their configuration",
) -> None:
    """Compare a state dict with the wanted shapes by key; ``network`` is for the message.

    Batch-norm's counters are there all or none: they decide nothing.

    Raises:
        WeightsError: They differ, or a value is NaN, infinite or of a type that holds no weight
            (whole numbers, complex, 8 bits); the message lists the keys.
    """
    missing = [key for key in wanted if key not in state_dict]
    if not any(key in state_dict for key in wanted if key.endswith(_COUNTER)):
        missing = [key for key in missing if not key.endswith(_COUNTER)]  # old files have none
    unknown = [key for key in state_dict if key not in wanted]
    shapes = [
        f"{key} {list(value.shape)} instead of {list(wanted[key])}"
        for key, value in state_dict.items()
        if key in wanted and tuple(value.shape) != wanted[key]
    ]
    faults = [
        f"{kind}: {listed(keys)}"
        for kind, keys in (("missing", missing), ("unknown", unknown), ("wrong shape", shapes))
        if keys
    ]
    if faults:
        raise WeightsError(
            f"The weights of {os.fspath(origin)} do not fit {network}; {'; '.join(faults)}."
        )
    foreign = [
        f"{key} ({value.dtype})".replace("torch.", "")
        for key, value in state_dict.items()
        if not _is_weight(key, value)
    ]
    if foreign:
        raise WeightsError(
            f"The weights of {os.fspath(origin)} are float16, float32, float64 or bfloat16; "
            f"not so {listed(foreign)}."
        )
    broken = [key for key, value in state_dict.items() if not _is_finite(value)]
    if broken:
        raise WeightsError(
            f"The weights of {os.fspath(origin)} hold NaN or infinity in {listed(broken)}."
        )


def _is_finite(value: Tensor) -> bool:
    """Return whether no value is NaN or infinite; the sum is checked first, which is faster.

    NaN and infinity never leave a sum finite, but a sum of finite values may overflow.
    """
    return math.isfinite(value.sum()) or bool(value.isfinite().all())


def _is_weight(key: str, value: Tensor) -> bool:
    floating = value.dtype.is_floating_point and value.dtype.itemsize > 1
    return floating or (key.endswith(_COUNTER) and not value.dtype.is_complex)


def listed(keys: Iterable[str]) -> str:
    """List keys for a message, the first few in full."""
    keys = list(keys)
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def save_directory(
    directory: str | os.PathLike[str],
    *,
    state_dict: Mapping[str, Tensor],
    config: EncoderConfig,
    card: str | None = None,
    entry: WeightsEntry | None = None,
) -> Path:
    """Write a weights directory: ``config.json``, ``model.safetensors``, ``README.md``.

    A new directory is written under another name and renamed, so it is there whole or not at
    all; in an existing one each file is, and its other files stay.

    Args:
        directory: Created if missing, its parents too; its three files are replaced if there.
        state_dict: Tensors of the encoder by key, float16, float32, or bfloat16 (stored as
            float32, which holds the same values).
        config: The configuration of the encoder.
        card: The text of ``README.md``; one made from ``config`` and ``entry`` when None.
        entry: What is known of these weights, for the card and for the file's header.

    Returns:
        The directory.

    Raises:
        WeightsError: The state dict does not fit ``config``, holds NaN, infinity or another
            dtype, or the directory cannot be written. An existing directory is then unchanged.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 - as below
    from safetensors.torch import save_file  # noqa: PLC0415 - loads torch

    directory = expanded(directory)
    check_kind(config, "config", EncoderConfig, "an EncoderConfig")
    _check_mapping(state_dict)
    tensors = _storable(state_dict, directory)
    check_keys(encoder_shapes(config), tensors, origin=f"the encoder to save in {directory}")
    text = model_card(config, entry=entry) if card is None else card
    metadata = to_metadata(entry) if entry else {"format": "pt"}
    try:
        existed = directory.exists()
        for name in (CARD_NAME, CONFIG_NAME, WEIGHTS_NAME):
            if (directory / name).is_dir():  # before anything is replaced
                raise IsADirectoryError(f"{name} in it is a directory")
        make_folder(directory.parent)
        parent = directory if existed else directory.parent
        with scratch_directory(parent, "saving") as temporary:
            work = temporary / "weights"
            work.mkdir()
            settings = json.dumps(config.to_dict(), indent=2) + "\n"
            (work / CONFIG_NAME).write_text(settings, encoding="utf-8")
            (work / CARD_NAME).write_text(text, encoding="utf-8")
            save_file(tensors, work / WEIGHTS_NAME, metadata=metadata)
            (work / WEIGHTS_NAME).chmod((work / CONFIG_NAME).stat().st_mode)  # was owner only
            if not existed:
                try:
                    work.rename(directory)
                except OSError:
                    if not directory.is_dir():
                        raise
                    existed = True  # made by someone else meanwhile
            if existed:
                for name in (CARD_NAME, CONFIG_NAME, WEIGHTS_NAME):
                    (work / name).replace(directory / name)
    except (OSError, ValueError, SafetensorError) as error:  # a name with "\0" is a ValueError
        raise WeightsError(f"The weights cannot be saved in {directory}: {error}.") from error
    logger.info("Saved an encoder's weights in %s.", directory)
    return directory


def _check_mapping(state_dict: object) -> None:
    import torch  # noqa: PLC0415 - listing weights needs no torch

    check_kind(state_dict, "state_dict", Mapping, "a mapping of names to tensors")
    for key, value in cast("Mapping[object, object]", state_dict).items():
        check_kind(value, f"state_dict[{shown(key)}]", torch.Tensor, "a tensor")


def is_file(path: Path) -> bool:
    """Return whether a file exists; False for what cannot be a path, too."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long or with "\0"
        return False


def encoder_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the SA-Enc that ``config`` describes, by key."""
    import torch  # noqa: PLC0415 - listing weights needs no torch

    from sanreid.models import build_sa_enc  # noqa: PLC0415 - loads torch

    with torch.device("meta"):
        module = build_sa_enc(config)
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def _storable(state_dict: Mapping[str, Tensor], directory: Path) -> dict[str, Tensor]:
    import torch  # noqa: PLC0415 - listing weights needs no torch

    tensors = {}
    for key, value in state_dict.items():
        counter = key.endswith(_COUNTER) and value.dtype == torch.int64
        if value.dtype not in (torch.float16, torch.float32, torch.bfloat16) and not counter:
            raise WeightsError(
                f"The encoder to save in {directory} holds {key} in {value.dtype}; a weights "
                "file holds float16 or float32. Convert it first."
            )
        kept = value.float() if value.dtype == torch.bfloat16 else value
        tensors[key] = kept.detach().cpu().contiguous().clone()
    return tensors
