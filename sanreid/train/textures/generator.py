"""Pseudo ground truth: the textures that a SAN-PG paints of real crops, for a whole data set.

    python -m sanreid.train.textures.generator CROPS OUT --weights SAN_PG
    python -m sanreid.train.textures.generator CONFIG --weights SAN_PG

The second makes the stores that a run's configuration names: every data source's ``textures``.
A crop is painted twice, as it is and mirrored; the second texture is mirrored back through the
atlas. Their mean is kept, and how far they agree is the confidence in each place. OUT is one
file (:mod:`sanreid.train.textures.format`); an interrupted run goes on where it stopped.

Source: Jin et al., arXiv:1905.13143 (SAN-PG makes the target textures). Mirroring twice and the
confidence are ours.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows

from sanreid.backends.device import compute_dtype, resolve_dtype
from sanreid.config import EncoderConfig
from sanreid.datasets import CropSet, read_crops
from sanreid.errors import ConfigError, InputError, SanreidError, WeightsError
from sanreid.images import load_crop
from sanreid.train.config import DecoderConfig, TrainConfig
from sanreid.train.config.loader import load_config
from sanreid.train.data.sources import read_source
from sanreid.train.data.targets import load_atlas_tables
from sanreid.train.data.transforms import normalize_crops
from sanreid.train.loop.checkpoint import network_state
from sanreid.train.loop.device import resolve_device
from sanreid.train.networks.san import SANPG, build_san_pg
from sanreid.train.pit.tables import ATLAS_PATH
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.mirroring import mirror_textures
from sanreid.train.textures.store import TextureStore
from sanreid.train.textures.writer import TextureWriter
from sanreid.train.tools.export import load_run
from sanreid.utils.files import atomic_write_text
from sanreid.weights.lookup import fetch
from sanreid.weights.manifest import read_manifest
from sanreid.weights.storage import load_into, read_state_dict

__all__ = [
    "Generator",
    "Painted",
    "load_generator",
    "main",
    "make_textures",
    "make_textures_of_run",
    "save_generator",
]

logger = logging.getLogger(__name__)

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_DOUBT = 0.15  # a mean difference of this much, of a range of 2, is a confidence of 1/e


class Painted(NamedTuple):
    """Textures of N crops."""

    textures: Tensor  # (N, 3, 256, 256) in [-1, 1]
    confidences: Tensor  # (N, 1, 256, 256) in [0, 1]


@dataclass(frozen=True, slots=True)
class Generator:
    """A SAN-PG ready to paint.

    Attributes:
        module: In ``eval()``.
        encoder: How its encoder reads crops.
        mirror: (65536,) int64, the atlas's mirror texels.
        name: Where it came from.
        dtype: Of convolutions; float32, or a half precision, which autocast uses.
    """

    module: SANPG
    encoder: EncoderConfig
    mirror: Tensor
    name: str
    dtype: torch.dtype = torch.float32

    @torch.inference_mode()
    def paint(self, crops: Tensor) -> Painted:
        """Paint crops.

        Args:
            crops: (N, 3, H, W) uint8 RGB of the encoder's input size.

        Raises:
            InputError: Another type or size.
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
        device: Where it runs; the CPU when None.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"``: bfloat16 where the
            device is fast at it, else float32.

    Raises:
        InputError: Another ``dtype``.
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
        settings = {"encoder": config.encoder.to_dict(), "decoder": asdict(config.decoder)}
        state = dict(network_state(checkpoint))
    else:
        raise WeightsError(
            f"{weights} is no name of the manifest, no directory with {_CONFIG} and {_WEIGHTS}, "
            "and no folder of a training run."
        )
    try:
        encoder = EncoderConfig.from_dict(settings["encoder"])
        module = build_san_pg(encoder, DecoderConfig(**settings["decoder"]))
    except (KeyError, TypeError, InputError) as error:
        raise WeightsError(f"The configuration of {weights} is no SAN-PG's: {error}.") from error
    for part, prefix in ((module.encoder.trunk, "encoder.trunk."), (module.decoder, "decoder.")):
        own = {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}
        floats = {k: x.float() for k, x in own.items() if x.is_floating_point()}
        load_into(part, floats, origin=str(weights))
    module.eval().to(device).to(memory_format=torch.channels_last)
    mirror = load_atlas_tables(ATLAS_PATH).mirror
    return Generator(module, encoder, mirror, str(weights), precision)


def save_generator(
    module: SANPG, encoder: EncoderConfig, decoder: DecoderConfig, directory: str | Path
) -> Path:
    """Write a SAN-PG as ``config.json`` and ``model.safetensors``, its matrices in float16.

    The encoder's head takes no part in painting and is left out.
    """
    from safetensors.torch import save_file  # noqa: PLC0415 - saving alone needs it

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"encoder": encoder.to_dict(), "decoder": asdict(decoder)}
    atomic_write_text(directory / _CONFIG, json.dumps(settings, indent=2) + "\n")
    kept = {
        key: (value.half() if value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in module.state_dict().items()
        if key.startswith(("encoder.trunk.", "decoder.")) and value.is_floating_point()
    }
    save_file(kept, directory / _WEIGHTS, metadata={"format": "pt"})
    return directory


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        settings: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"The configuration {path} cannot be read: {error}.") from error
    return settings


def make_textures(
    crops: CropSet,
    out: str | Path,
    generator: Generator,
    *,
    batch_size: int = 64,
    quality: int = 85,
    threads: int | None = None,
) -> Path:
    """Paint every crop of a set that has no texture in the store yet.

    Args:
        crops: The set; its keys name the textures.
        out: The store's file.
        generator: As :func:`load_generator` gives it.
        batch_size: Crops painted at once.
        quality: Of the textures' JPEG.
        threads: That decode and compress; the number of CPUs when None.

    Returns:
        The store's path.

    Raises:
        InputError: ``batch_size`` is below 1.
        DatasetError: The file is no store, or one of another generator or quality.
        ImageError: A crop cannot be read.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1; got {batch_size}.")
    header = TextureHeader(
        quality=quality, confidence_size=(64, 64), about={"generator": generator.name}
    )
    started = time.monotonic()
    threads = threads or os.cpu_count() or 1
    with TextureWriter(out, header) as writer, ThreadPoolExecutor(threads) as pool:
        todo = [n for n, key in enumerate(crops.keys) if key not in writer]
        for first in range(0, len(todo), batch_size):
            rows = todo[first : first + batch_size]

            def load(row: int) -> Tensor:
                pixels = load_crop(crops.paths[row], generator.encoder.input_size)
                return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)

            painted = generator.paint(torch.stack(list(pool.map(load, rows))))
            small = F.interpolate(painted.confidences, size=(64, 64), mode="area")
            writer.add(
                [crops.keys[row] for row in rows],
                ((painted.textures + 1) * 127.5).round().to(torch.uint8).cpu(),
                (small * 255).round().to(torch.uint8).cpu(),
                workers=threads,
            )
            done = first + len(rows)
            if first // batch_size % 20 == 0 or done == len(todo):
                logger.info(
                    "%d of %d textures, %.0f s", done, len(todo), time.monotonic() - started
                )
    return Path(out)


def make_textures_of_run(
    config: TrainConfig, generator: Generator, *, batch_size: int = 64, quality: int = 85
) -> list[Path]:
    """Paint what a run's sources lack, each into the store that it names.

    A store of another origin, such as rendered people's own textures, that has all its crops'
    is left as it is.

    Raises:
        ConfigError: No source names a store.
        DatasetError: As :func:`make_textures`, or crops are missing.
    """
    wanted = [source for source in config.data.sources if source.textures]
    if not wanted:
        raise ConfigError("No data source of this configuration names a store of textures.")
    made = []
    for source in wanted:
        crops, out = read_source(source), Path(source.textures)
        if out.is_file():
            with TextureStore(out) as store:
                if not store.missing(crops.keys):
                    logger.info("%s has all of them already.", out)
                    continue
        make_textures(crops, out, generator, batch_size=batch_size, quality=quality)
        made.append(out)
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sanreid.train.textures.generator",
        description="Paint the target textures of a folder of crops, or of a run's sources.",
    )
    parser.add_argument(
        "crops", metavar="CROPS", help="a folder of crops; without OUT a run's configuration"
    )
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT", help="the store's file")
    where = "a manifest's name, a weights directory or a run's folder"
    parser.add_argument("--weights", required=True, metavar="SAN_PG", help=where)
    parser.add_argument("--names", default="auto", help="how the files of CROPS are named")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting of the configuration",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--quality", type=int, default=85, metavar="Q", help="of the JPEG")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give the exit status: 0 done, 1 sanreid error, 2 bad usage."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = {"batch_size": args.batch_size, "quality": args.quality}

    def load() -> Generator:
        return load_generator(args.weights, device=resolve_device(args.device), dtype=args.dtype)

    try:
        if args.out is None:
            config = load_config(args.crops, args.overrides)
            generator = load()
            made = make_textures_of_run(config, generator, **options)
        else:
            crops = read_crops(args.crops, names=args.names)
            generator = load()
            made = [make_textures(crops, args.out, generator, **options)]
    except (SanreidError, OSError) as error:
        sys.stderr.write(f"sanreid: {error}\n")
        return 1
    for out in made:
        with TextureStore(out) as store:
            sys.stdout.write(f"{out}: {len(store):,} textures, {store.num_bytes / 1e6:.0f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
