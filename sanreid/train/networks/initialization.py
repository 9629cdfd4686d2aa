"""The first weights: random, ImageNet, an earlier encoder or a SAN-PG; and what stays frozen."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sanreid.errors import ConfigError, TrainingError, WeightsError
from sanreid.train.checkpoint import load_checkpoint, network_state, trained_size
from sanreid.train.config import InitConfig, TrainConfig
from sanreid.train.networks.cpu_convolution import use_matrix_products
from sanreid.train.networks.embedding_map import EmbeddingMap
from sanreid.train.networks.san import SAN, SANPG, build_san, build_san_pg
from sanreid.weights import list_weights
from sanreid.weights.lookup import fetch
from sanreid.weights.manifest import read_manifest

__all__ = [
    "build_network",
    "freeze",
    "keep_frozen_in_eval",
    "load_first_weights",
    "start_size",
    "weights_files",
]

logger = logging.getLogger(__name__)


def build_network(
    config: TrainConfig,
    num_classes: int,
    device: torch.device,
    *,
    heads: Mapping[str, Callable[[], nn.Module]] | None = None,
    load_start: bool = True,
) -> SAN | SANPG:
    """Build and initialize the network of a run on its device; the same seed gives the same one.

    Args:
        config: The run's configuration.
        num_classes: Identities; ignored for SAN-PG.
        device: The device of its parameters.
        heads: What builds each further head on the embedding, by name; ignored for SAN-PG.
        load_start: Load the first weights that ``config.init`` names.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's generator is restored afterwards
        torch.manual_seed(config.run.seed)
        decoder = config.decoder if config.loss.needs_decoder else None
        network: SAN | SANPG = (
            build_san_pg(config.encoder, config.decoder)
            if config.is_san_pg
            else build_san(
                config.encoder,
                num_classes=num_classes,
                decoder=decoder,
                heads=heads,
                cosine=config.loss.identity_softmax != "plain",
            )
            if config.clusters.learn == "network"
            else _mapped(config, num_classes)
        )
    if load_start and config.clusters.learn == "network":
        load_first_weights(network, config.init)
        _warn_of_size(config)
    if config.is_san_pg:  # painting reads the stage maps; pooling and head stay as they are
        network.encoder.head.requires_grad_(requires_grad=False)
        network.encoder.pooling.requires_grad_(requires_grad=False)
    if config.run.channels_last:
        network.to(memory_format=torch.channels_last)
        if device.type == "cpu" and config.run.precision == "bf16":
            use_matrix_products(network)
    return network.to(device)


def _mapped(config: TrainConfig, num_classes: int) -> SAN:
    dim = config.encoder.embedding_dim
    return SAN(EmbeddingMap(dim), embedding_dim=dim, num_classes=num_classes)


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
            if isinstance(module, SANPG) and module.copier is not None:
                copier = _under(state, "copier.")
                if copier:
                    _load_part(module.copier, copier, config.weights)
                else:
                    logger.info("%s does not copy: the copier starts anew.", config.weights)
            for name, head in module.heads.items() if isinstance(module, SAN) else ():
                theirs = _under(state, f"heads.{name}.")
                if theirs and not _load_if_alike(head.state_dict(), theirs):
                    logger.info("%s has another module of the loss %s.", config.weights, name)
        elif any(key.startswith("trunk.") for key in state):
            _load_encoder(module.encoder, state, config.weights)
        else:
            _load_part(module.encoder.trunk, _trunk_of(state, module.encoder), config.weights)
    if config.decoder:
        if module.decoder is None:
            raise WeightsError("init.decoder is given but no loss needs a decoder.")
        state = _under(_read(Path(config.decoder)), "decoder.")
        _load_part(module.decoder, state, config.decoder)


def start_size(config: TrainConfig) -> tuple[int, int]:
    """Return the crop size (height, width) that the network reads best before the first step.

    It is that of the first epoch if the first weights were trained at it, else
    ``encoder.input_size``.
    """
    first = config.size_after(1)
    return first if _trained_size(config.init.weights) == first else config.encoder.input_size


def _warn_of_size(config: TrainConfig) -> None:
    """Warn that the initial weights were trained on crops of another size."""
    size = _trained_size(config.init.weights)
    first = config.size_after(1)
    if size is not None and size != first:
        theirs, ours = (f"{height} x {width}" for height, width in (size, first))
        logger.warning(
            "The first weights, %s, were trained with crops of %s; this run begins with those of "
            "%s, and must first learn to read them.",
            config.init.weights,
            theirs,
            ours,
        )


def _trained_size(source: str) -> tuple[int, int] | None:
    """Return (height, width) of the crops that weights were trained with, where they say it."""
    if not source:
        return None
    path, released = Path(source), list_weights()
    folder = path if path.is_dir() else path.parent
    try:
        if source in released and not path.exists():
            values = released[source].config
        elif (file := next(filter(Path.is_file, weights_files(path)), path)).suffix == ".ckpt":
            return trained_size(file)
        else:
            values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        height, width = values.get("encoder", values)["input_size"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TrainingError):
        return None
    return int(height), int(width)


def freeze(trunk: nn.Module, parts: tuple[str, ...], *, frozen: bool = True) -> None:
    """Turn the gradients of the named parts off or on; see :func:`keep_frozen_in_eval`."""
    for module in _parts(trunk, parts):
        module.requires_grad_(requires_grad=not frozen)


def keep_frozen_in_eval(trunk: nn.Module, parts: tuple[str, ...]) -> None:
    """Put the named parts in ``eval()``, so that their BatchNorm statistics are frozen too.

    Call it after every ``train()``.
    """
    for module in _parts(trunk, parts):
        module.eval()


def _parts(trunk: nn.Module, parts: tuple[str, ...]) -> Iterator[nn.Module]:
    for part in parts:
        for name in ("conv1", "bn1") if part == "stem" else (part,):
            try:
                yield trunk.get_submodule(name)
            except AttributeError:
                raise ConfigError(
                    f"init.freeze names {part!r}, but the trunk is no ResNet: it has no {name!r}."
                ) from None


def weights_files(path: Path) -> list[Path]:
    """Return where the weights of ``path`` may be: the file, or those in a folder, best first.

    A path that does not exist may be the name of released weights.
    """
    known = ("model.safetensors", "last.ckpt")
    if not path.exists() and (entry := read_manifest().weights.get(str(path))):
        return [fetch(entry)]
    return [path / name for name in known] if path.is_dir() else [path]


def _read(path: Path) -> dict[str, Tensor]:
    files = weights_files(path)
    found = next((file for file in files if file.is_file()), None)
    if found is None and path.is_dir():
        raise WeightsError(f"{path} has neither {files[0].name} nor {files[1].name}.")
    if found is None:
        names = ", ".join(list_weights())
        raise WeightsError(
            f"There are no weights at {path}; check init.weights, init.decoder. Wanted: a file, "
            f"a folder, or one of the names {names}."
        )
    path = found
    if path.suffix == ".ckpt":
        return dict(network_state(load_checkpoint(path)))
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}") from error


def _under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}


def _trunk_of(state: Mapping[str, Tensor], encoder: nn.Module) -> dict[str, Tensor]:
    """Drop the parts of a whole ResNet that the trunk lacks: the classifier, and a cut layer4."""
    layer4 = getattr(encoder.get_submodule("trunk"), "layer4", None)
    is_cut = layer4 is not None and not list(layer4.children())
    unused = ("fc.", "layer4.") if is_cut else ("fc.",)
    return {k: x for k, x in state.items() if not k.startswith(unused)}


def _load_encoder(encoder: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    trunk = _trunk_of(_under(state, "trunk."), encoder)
    _load_part(encoder.get_submodule("trunk"), trunk, source)
    if not _load_if_alike(_beside_trunk(encoder.state_dict()), _beside_trunk(state)):
        logger.info("%s has another pooling or head; only its trunk is loaded.", source)


def _load_if_alike(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    """Copy ``given`` into ``own`` if names and shapes are the same; return whether they are."""
    if {k: x.shape for k, x in own.items()} != {k: x.shape for k, x in given.items()}:
        return False
    with torch.no_grad():
        for name, x in given.items():
            own[name].copy_(x)
    return True


def _beside_trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pooling and head of an encoder."""
    return {k: x for k, x in state.items() if not k.startswith("trunk.") and not _is_counter(k)}


def _is_counter(key: str) -> bool:
    """Return whether this is BatchNorm's counter, which nothing reads and some files lack."""
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
