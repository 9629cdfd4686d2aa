"""What the weights start from: ImageNet, an earlier encoder, a SAN-PG; and what stays frozen."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sanreid.errors import WeightsError
from sanreid.train.config import InitConfig
from sanreid.train.loop.checkpoint import load_checkpoint, network_state
from sanreid.train.networks.san import SAN, SANPG
from sanreid.train.tools.manifest_row import MANIFEST_ROW
from sanreid.utils.files import sha256_of
from sanreid.weights.record import find_entry

__all__ = ["freeze", "keep_frozen_in_eval", "learned_before", "load_first_weights"]

logger = logging.getLogger(__name__)


def load_first_weights(module: SAN | SANPG, config: InitConfig) -> None:
    """Load what ``config`` names into ``module``.

    Raises:
        WeightsError: A file is missing or unreadable, or does not hold a whole trunk or decoder.
    """
    if config.weights:
        state = _read(Path(config.weights))
        if any(key.startswith("encoder.") for key in state):  # a run's, or a SAN-PG's
            _load_encoder(module.encoder, _under(state, "encoder."), config.weights)
            painter = _under(state, "decoder.")
            if painter and module.decoder is not None and not config.decoder:
                _load_part(module.decoder, painter, config.weights)
        elif any(key.startswith("trunk.") for key in state):
            _load_encoder(module.encoder, state, config.weights)
        else:
            _load_part(module.encoder.trunk, _trunk_of(state, module.encoder), config.weights)
    if config.decoder:
        if module.decoder is None:
            raise WeightsError("init.decoder is given but no loss needs a decoder.")
        state = _under(_read(Path(config.decoder)), "decoder.")
        _load_part(module.decoder, state, config.decoder)


def learned_before(config: InitConfig) -> list[dict[str, Any]]:
    """Say what the first weights were trained on, as far as a run or the weights themselves tell.

    Returns:
        ``training_data`` of a run's checkpoint, of an encoder's file, of released weights, or of
        the manifest row that was exported beside them; nothing where nothing is known.
    """
    found: list[dict[str, Any]] = []
    for place in filter(None, (config.weights, config.decoder)):
        file = next((one for one in _files_of(Path(place)) if one.is_file()), None)
        if file is not None and file.suffix == ".ckpt":
            found += load_checkpoint(file).get("training_data", [])
        elif file is not None:
            entry = find_entry(file)
            found += [dict(one) for one in entry.training_data] if entry else _row_beside(file)
    return found


def _row_beside(file: Path) -> list[dict[str, Any]]:
    """Give the training data of the row that was exported with this very file."""
    place = file.parent / MANIFEST_ROW
    if not place.is_file():
        return []
    row = json.loads(place.read_text(encoding="utf-8"))
    return list(row["training_data"]) if row["sha256"] == sha256_of(file) else []


def freeze(trunk: nn.Module, parts: tuple[str, ...], *, frozen: bool = True) -> None:
    """Stop the gradient of the named parts, or let it flow; see :func:`keep_frozen_in_eval`."""
    for module in _parts(trunk, parts):
        module.requires_grad_(requires_grad=not frozen)


def keep_frozen_in_eval(trunk: nn.Module, parts: tuple[str, ...]) -> None:
    """Put the named parts in ``eval()``, so that their BatchNorm statistics stay too.

    To be called after every ``train()``.
    """
    for module in _parts(trunk, parts):
        module.eval()


def _parts(trunk: nn.Module, parts: tuple[str, ...]) -> Iterator[nn.Module]:
    for part in parts:
        if part == "stem":
            yield trunk.get_submodule("conv1")
            yield trunk.get_submodule("bn1")
        else:
            yield trunk.get_submodule(part)


def _files_of(path: Path) -> list[Path]:
    """Where weights may lie: a file itself; a weights directory's, then a run's."""
    known = ("model.safetensors", "last.ckpt")
    return [path / name for name in known] if path.is_dir() else [path]


def _read(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        files = _files_of(path)
        found = next((file for file in files if file.is_file()), None)
        if found is None:
            raise WeightsError(f"{path} has neither {files[0].name} nor {files[1].name}.")
        path = found
    if not path.is_file():
        raise WeightsError(f"There are no weights at {path}; check init.weights, init.decoder.")
    if path.suffix == ".ckpt":
        return dict(network_state(load_checkpoint(path)))
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}") from error


def _under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}


def _trunk_of(state: Mapping[str, Tensor], encoder: nn.Module) -> dict[str, Tensor]:
    """Drop of a whole ResNet what the trunk does not have: the classifier, a cut layer4."""
    is_cut = not list(encoder.get_submodule("trunk.layer4").children())
    unused = ("fc.", "layer4.") if is_cut else ("fc.",)
    return {k: x for k, x in state.items() if not k.startswith(unused)}


def _load_encoder(encoder: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    trunk = _trunk_of(_under(state, "trunk."), encoder)
    _load_part(encoder.get_submodule("trunk"), trunk, source)
    own, given = _beside_trunk(encoder.state_dict()), _beside_trunk(state)
    if {k: x.shape for k, x in own.items()} != {k: x.shape for k, x in given.items()}:
        logger.info("%s has another pooling or head; its trunk alone is taken over.", source)
        return
    with torch.no_grad():
        for name, x in given.items():
            own[name].copy_(x)


def _beside_trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pooling and head of an encoder."""
    return {k: x for k, x in state.items() if not k.startswith("trunk.") and not _is_counter(k)}


def _is_counter(key: str) -> bool:
    """BatchNorm's counters of batches are read by nothing here; some files lack them."""
    return key.endswith("num_batches_tracked")


def _load_part(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    state = {k: x for k, x in state.items() if not _is_counter(k)}
    own = {k: x for k, x in module.state_dict().items() if not _is_counter(k)}
    missing = sorted(own.keys() - state.keys())
    extra = sorted(state.keys() - own.keys())
    shapes = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
    if missing or extra or shapes:
        raise WeightsError(
            f"{source} does not fit {type(module).__name__}: missing {missing[:5]}, "
            f"unknown {extra[:5]}, of another shape {sorted(shapes)[:5]} "
            f"({len(missing)}, {len(extra)} and {len(shapes)} in all)."
        )
    with torch.no_grad():
        for name, x in state.items():
            own[name].copy_(x)
