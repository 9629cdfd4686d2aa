"""What an encoder is made of, as a frozen dataclass; an unknown key is an error."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from sanreid.errors import ConfigError

__all__ = [
    "BACKBONES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Backbone",
    "EncoderConfig",
    "register_backbone",
]

Head = Literal["pool", "fc", "bnneck"]
Pooling = Literal["avg", "gem"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_DIMS = (1, 65_536)
_SIDES = (32, 4096)  # pixels; a configuration from elsewhere must not ask for all memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """One row of the table of backbones.

    Args:
        channels: Of the map of each stage, fine to coarse.
        depths: Blocks in each stage of a ResNet.
        bottleneck: Whether a ResNet's blocks are bottlenecks.
        build: Build the network of a backbone of one's own; None for a ResNet, which
            :class:`sanreid.models.ResNetTrunk` builds.
    """

    channels: tuple[int, ...]
    depths: tuple[int, int, int, int] = (0, 0, 0, 0)
    bottleneck: bool = False
    build: Callable[..., Any] | None = None


BACKBONES = {
    "resnet18": Backbone(channels=(64, 128, 256, 512), depths=(2, 2, 2, 2)),
    "resnet34": Backbone(channels=(64, 128, 256, 512), depths=(3, 4, 6, 3)),
    "resnet50": Backbone(channels=(256, 512, 1024, 2048), depths=(3, 4, 6, 3), bottleneck=True),
    "resnet50-c4": Backbone(channels=(256, 512, 1024, 1024), depths=(3, 4, 6, 0), bottleneck=True),
}


def register_backbone(name: str, *, channels: Sequence[int], build: Callable[..., Any]) -> None:
    """Add a backbone of one's own, by name, to those that a configuration may ask for.

    Weights that were trained with it load in a process that has registered it first.

    Args:
        name: For ``EncoderConfig(backbone=name)``.
        channels: Of the map of each stage, fine to coarse. A decoder (SA-Dec) reads four stages.
        build: Called as ``build(last_stride=1)``, 1 or 2; returns an ``nn.Module`` that maps
            normalised crops (N, 3, H, W) to a tuple of the maps of its stages. It may be called
            under ``torch.device("meta")``.

    Raises:
        ConfigError: The name is taken or empty, ``channels`` are not whole numbers above 0, or
            ``build`` cannot be called.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"A backbone's name must be a text; got {name!r}.")
    if name in BACKBONES:
        raise ConfigError(f"There is a backbone {name!r} already; choose another name.")
    if not isinstance(channels, tuple | list) or not channels:
        raise ConfigError(f"channels must be one number for each stage; got {channels!r}.")
    if not all(_is_int(number, _DIMS) for number in channels):
        raise ConfigError(f"channels must be whole numbers above 0; got {channels!r}.")
    if not callable(build):
        raise ConfigError(f"build must be a function that builds the network; got {build!r}.")
    BACKBONES[name] = Backbone(channels=tuple(channels), build=build)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Everything that decides which embedding a crop gets, apart from the weights.

    Args:
        backbone: Name of the ResNet; ``"resnet50-c4"`` is ResNet-50 cut after layer3. Or of a
            backbone added by :func:`register_backbone`.
        last_stride: Stride of layer4, 1 (SAN and most reID work) or 2 (torchvision).
        pooling: ``"avg"``, or ``"gem"`` (generalised mean, Radenovic et al., TPAMI 2018).
        head: ``"pool"``: the pooled map itself (the SAN paper). ``"fc"``: Linear, BatchNorm,
            ReLU (the authors' released code). ``"bnneck"``: Linear without bias, BatchNorm
            (Luo et al., CVPRW 2019, with a reduction before it).
        embedding_dim: D, 1 to 65,536; with ``head="pool"`` it is the trunk's channels.
        input_size: (height, width) in pixels, 32 to 4,096 each.
        mean: RGB mean of the normalisation, of images in [0, 1].
        std: RGB standard deviation of the normalisation, each above 0.

    Raises:
        ConfigError: A value is of the wrong type or out of range.

    >>> EncoderConfig(head="pool", embedding_dim=2048).input_size
    (256, 128)
    """

    backbone: str = "resnet50"
    last_stride: int = 1
    pooling: Pooling = "avg"
    head: Head = "bnneck"
    embedding_dim: int = 512
    input_size: tuple[int, int] = (256, 128)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        for name, choices, hint in (
            ("backbone", tuple(BACKBONES), " Add your own by sanreid.models.register_backbone."),
            ("pooling", get_args(Pooling), ""),
            ("head", get_args(Head), ""),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                known = ", ".join(repr(choice) for choice in choices)
                raise ConfigError(f"{name} must be one of {known}; got {repr(value)[:200]}.{hint}")
        if not _is_int(self.last_stride, (1, 2)):
            raise ConfigError(f"last_stride must be 1 or 2; got {self.last_stride!r}.")
        if not _is_int(self.embedding_dim, _DIMS):
            raise ConfigError(
                f"embedding_dim must be a whole number from {_DIMS[0]} to {_DIMS[1]:,}; "
                f"got {self.embedding_dim!r}."
            )
        if self.head == "pool" and self.embedding_dim != self.trunk_channels:
            raise ConfigError(
                f"head 'pool' gives the {self.trunk_channels} channels of {self.backbone} as the "
                f"embedding; got embedding_dim {self.embedding_dim}."
            )
        _set(self, "input_size", _tuple(self.input_size, 2, "input_size"))
        if not all(_is_int(side, _SIDES) for side in self.input_size):
            raise ConfigError(
                f"input_size must be (height, width), whole numbers from {_SIDES[0]} to "
                f"{_SIDES[1]:,}; got {self.input_size!r}."
            )
        _set(self, "mean", _floats(self.mean, "mean"))
        _set(self, "std", _floats(self.std, "std"))
        if min(self.std) <= 0:
            raise ConfigError(f"std must be three numbers above 0; got {self.std!r}.")

    @property
    def trunk_channels(self) -> int:
        """C, the channels of the trunk's last map."""
        return BACKBONES[self.backbone].channels[-1]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from JSON-like values; lists become tuples, an unknown key is a ConfigError."""
        if not isinstance(values, Mapping):
            raise ConfigError(
                "An encoder's configuration is a mapping (in JSON an object) of settings; "
                f"got {type(values).__name__}."
            )
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
                raise ConfigError(f"Unknown key {key!r} in the encoder's configuration.{hint}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values, such that ``from_dict`` builds the same configuration."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def _set(config: EncoderConfig, name: str, value: object) -> None:
    object.__setattr__(config, name, value)  # the class is frozen; lists become tuples here


def _is_int(value: object, between: tuple[int, int]) -> bool:
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return between[0] <= value <= between[1]


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def _tuple(values: object, length: int, name: str) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != length:
        raise ConfigError(f"{name} must be a list of {length} numbers; got {values!r}.")
    return tuple(values)


def _floats(values: object, name: str) -> tuple[float, ...]:
    numbers = _tuple(values, 3, name)
    if not all(_is_finite(n) for n in numbers):
        raise ConfigError(f"{name} must be three finite numbers; got {values!r}.")
    return tuple(float(n) for n in numbers)
