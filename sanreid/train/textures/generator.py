"""The texture generator: a SAN-PG that paints the texture of each crop, with a confidence.

A crop is painted twice, as it is and mirrored; the second texture is mirrored back through the
atlas. The result is their mean, and their agreement is the confidence of each texel.

Source: Jin et al., arXiv:1905.13143 (SAN-PG makes the target textures). Mirroring twice and the
confidence are ours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sanreid.backends.device import compute_dtype, resolve_dtype
from sanreid.config import EncoderConfig
from sanreid.errors import InputError, WeightsError
from sanreid.inference.module_state import fingerprint
from sanreid.train.checkpoint import as_trained, load_run, network_state
from sanreid.train.config import DecoderConfig
from sanreid.train.networks.normalization import normalize_crops
from sanreid.train.networks.san import SANPG, build_san_pg
from sanreid.train.pit.tables import ATLAS_PATH
from sanreid.train.textures.targets import load_atlas_tables, mirror_textures
from sanreid.utils.files import atomic_write, atomic_write_text, make_folder
from sanreid.weights.lookup import fetch
from sanreid.weights.manifest import read_manifest
from sanreid.weights.storage import load_into, read_state_dict

__all__ = ["Generator", "Painted", "load_generator", "save_generator"]

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_DOUBT = 0.15  # a mean difference of this much, of a range of 2, is a confidence of 1/e


class Painted(NamedTuple):
    """The textures of N crops."""

    textures: Tensor  # (N, 3, 256, 256) in [-1, 1]
    confidences: Tensor  # (N, 1, 256, 256) in [0, 1]


@dataclass(frozen=True, slots=True)
class Generator:
    """A SAN-PG, ready to paint.

    Attributes:
        module: The network, in ``eval()``.
        encoder: How its encoder reads crops.
        mirror: (65536,) int64, the mirror texel of each texel of the atlas.
        name: Where it was loaded from.
        dtype: The precision of convolutions; float32, or a half precision under autocast.
        decoder: How its decoder is built.
    """

    module: SANPG
    encoder: EncoderConfig
    mirror: Tensor
    name: str
    dtype: torch.dtype = torch.float32
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    @property
    def digest(self) -> str:
        """The hex digest of what paints, the same wherever the weights are."""
        weights = fingerprint(nn.ModuleList(_parts(self.module).values()), self.encoder)
        return hashlib.sha256(f"{weights} {self.decoder}".encode()).hexdigest()

    @torch.inference_mode()
    def paint(self, crops: Tensor) -> Painted:
        """Paint crops.

        Args:
            crops: (N, 3, H, W) uint8 RGB of the encoder's input size.

        Raises:
            InputError: The crops have another type or size.
        """
        wanted = (3, *self.encoder.input_size)
        if crops.dtype != torch.uint8 or crops.dim() != 4 or crops.shape[1:] != wanted:
            raise InputError(
                f"Crops must be uint8 of shape (N, {wanted[0]}, {wanted[1]}, {wanted[2]}); "
                f"got {crops.dtype} of shape {tuple(crops.shape)}."
            )
        device = next(self.module.parameters()).device
        normal = normalize_crops(crops.to(device), mean=self.encoder.mean, std=self.encoder.std)
        normal = normal.to(memory_format=torch.channels_last)
        half = self.dtype != torch.float32
        with torch.autocast(device.type, dtype=self.dtype if half else None, enabled=half):
            first = self.module(normal).texture.float()
            second = self.module(normal.flip(3)).texture.float()
        every = torch.ones(len(crops), dtype=torch.bool, device=device)
        second = mirror_textures(second, every, self.mirror.to(device))
        apart = (first - second).abs().mean(1, keepdim=True)
        return Painted(((first + second) / 2).clamp(-1, 1), torch.exp(-apart / _DOUBT))


def load_generator(
    weights: str | Path, *, device: torch.device | None = None, dtype: str = "float32"
) -> Generator:
    """Load a SAN-PG.

    Args:
        weights: A name of the manifest (role ``texture-generator``), a directory that
            :func:`save_generator` wrote, or the folder of a training run with SA-Dec.
        device: Where it runs; the CPU if None.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"``: bfloat16 where the
            device is fast at it, else float32.

    Raises:
        InputError: ``dtype`` is none of these.
        WeightsError: It is none of these, or its tensors do not fit its configuration.
    """
    device = device or torch.device("cpu")
    precision = compute_dtype(resolve_dtype(dtype, device), device)
    entry = read_manifest().weights.get(str(weights)) if isinstance(weights, str) else None
    folder = Path(weights)
    settings: Mapping[str, Any]
    if entry is not None:
        if entry.role != "texture-generator":
            raise WeightsError(f"{weights!r} is an {entry.role}, not a texture generator.")
        settings, state = entry.config, read_state_dict(fetch(entry))
    elif (folder / _WEIGHTS).is_file():
        settings, state = _settings(folder / _CONFIG), read_state_dict(folder / _WEIGHTS)
    elif any(folder.glob("*.ckpt")):
        which = "best" if (folder / "best.ckpt").is_file() else "last"
        config, checkpoint = load_run(folder, which=which)
        config = as_trained(config, checkpoint)
        settings = {"encoder": config.encoder.to_dict(), "decoder": asdict(config.decoder)}
        state = dict(network_state(checkpoint))
    else:
        raise WeightsError(
            f"{weights} is neither a name in the manifest, nor a directory with {_CONFIG} and "
            f"{_WEIGHTS}, nor the folder of a training run."
        )
    try:
        encoder = EncoderConfig.from_dict(settings["encoder"])
        decoder = DecoderConfig(**settings["decoder"])
        module = build_san_pg(encoder, decoder)
    except (KeyError, TypeError, InputError) as error:
        raise WeightsError(
            f"The configuration of {weights} is not that of a SAN-PG: {error}."
        ) from error
    for prefix, part in _parts(module).items():
        own = {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}
        floats = {k: x.float() for k, x in own.items() if x.is_floating_point()}
        load_into(part, floats, origin=str(weights))
    module.eval().to(device).to(memory_format=torch.channels_last)
    mirror = load_atlas_tables(ATLAS_PATH).mirror
    return Generator(module, encoder, mirror, str(weights), precision, decoder)


def save_generator(
    module: SANPG,
    encoder: EncoderConfig,
    decoder: DecoderConfig,
    directory: str | Path,
    *,
    half: bool = True,
) -> Path:
    """Write a SAN-PG as ``config.json`` and ``model.safetensors``.

    The encoder's head is not needed for painting and is left out.

    Args:
        module: The network.
        encoder: How its encoder is built and reads crops.
        decoder: How its decoder is built.
        directory: Created if missing; each of its two files is replaced whole or not at all.
        half: Store matrices in float16; all other tensors stay in float32.

    Returns:
        The directory.

    Raises:
        WeightsError: The weights hold NaN or infinity, in float16 too, or ``directory`` cannot
            be written.
    """
    from safetensors.torch import save  # noqa: PLC0415 - only saving needs it

    directory = Path(directory)
    settings = {"encoder": encoder.to_dict(), "decoder": asdict(decoder)}
    kept = {
        key: (value.half() if half and value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in module.state_dict().items()
        if key.startswith(tuple(_parts(module))) and value.is_floating_point()
    }
    for key, value in kept.items():
        if not value.isfinite().all():
            raise WeightsError(f"{key} of the texture generator holds NaN or infinity.")
    try:
        make_folder(directory)
        with atomic_write(directory / _WEIGHTS) as file:
            file.write(save(kept, metadata={"format": "pt"}))
        atomic_write_text(directory / _CONFIG, json.dumps(settings, indent=2) + "\n")
    except OSError as error:
        raise WeightsError(
            f"The texture generator cannot be saved in {directory}: {error}."
        ) from error
    return directory


def _parts(module: SANPG) -> dict[str, nn.Module]:
    """Return what paints, by the prefix of its keys."""
    parts: dict[str, nn.Module] = {
        "encoder.trunk.": module.encoder.trunk,
        "decoder.": module.decoder,
    }
    return parts if module.copier is None else parts | {"copier.": module.copier}


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        settings: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"The configuration {path} cannot be read: {error}.") from error
    return settings
