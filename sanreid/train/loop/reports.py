"""What a run reports besides its log: figures, picture sheets, the versions it was made with."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import sanreid
from sanreid.train import runtime
from sanreid.train.config import TrainConfig
from sanreid.train.config.loader import config_to_dict
from sanreid.train.data.batches import Batches
from sanreid.train.data.pairs import Pairs
from sanreid.train.evaluation.measuring import Measurement, measure_all
from sanreid.train.evaluation.pair_quality import measure_pairs
from sanreid.train.evaluation.sets import EvaluationSet
from sanreid.train.loop.curves import write_curves
from sanreid.train.loop.pictures import sheet
from sanreid.train.loop.progress import Progress
from sanreid.train.networks.san import SAN, SANPG
from sanreid.train.textures.targets import open_atlas
from sanreid.utils.files import atomic_write_text
from sanreid.utils.words import counted

__all__ = ["beginning", "describe", "draw", "ending", "figures"]

_SHEET_ROWS = 8


def beginning(config: TrainConfig, batches: Batches, device: torch.device, steps: int) -> str:
    """Return a line on what a run trains on, and how long it is in steps."""
    size = " x ".join(map(str, config.encoder.input_size))
    most = "at most " if config.clusters.enabled else ""  # it ends once the clusters settle
    return (
        f"{batches.summary()}; crops of {size}; {counted(len(batches), 'batch', 'batches')} an "
        f"epoch, {most}{counted(config.run.epochs, 'epoch', 'epochs')}, "
        f"{counted(steps, 'step', 'steps')} on {device} in {config.run.precision}; "
        f"output {config.run.output}"
    )


def ending(folder: Path, progress: Progress, stopped_by: int | None, *, pairs: str = "") -> str:
    """Return a line on where a run's weights are, and what to do with them.

    Args:
        folder: The run's folder.
        progress: How far it came.
        stopped_by: The signal that stopped it, if one did.
        pairs: The rendered pairs that a texture generator learned from; empty: an encoder.
    """
    command = f"python -m sanreid.train evaluate {folder}"
    if pairs:
        command = f"python -m sanreid.train pit judge {pairs} --weights {folder}"
    if stopped_by is not None:
        return f"saved in {folder}; next: the same command with --resume"
    curves = write_curves(folder)
    shown = "" if curves is None else f", curves in {curves.name}"
    if not (folder / "best.ckpt").is_file():  # nothing was measured
        command = f"python -m sanreid.train export {folder} OUT --which last"
        return f"saved in {folder}{shown}; next: {command}"
    best = f"epoch {progress.best_epoch}" if progress.best_epoch else "the last evaluation"
    return (
        f"saved in {folder} (best: {best}{shown}); next: {command}, or "
        f"python -m sanreid.train export {folder} OUT"
    )


def figures(
    network: SAN | SANPG,
    config: TrainConfig,
    sets: Sequence[EvaluationSet],
    held_out: Pairs | None,
    *,
    device: torch.device,
    stop: Callable[[], bool],
) -> dict[str, dict[str, float]] | None:
    """Evaluate the network on every evaluation set and the held-out pairs, by name.

    Returns:
        None if ``stop()`` became true meanwhile.
    """
    measured = measure_all(network.encoder, sets, config, device=device, stop=stop)
    if measured is None:
        return None
    found = {name: Measurement.of(one).to_dict() for name, one in measured.items()}
    if held_out is not None:
        tables = open_atlas(config.data)
        quality = measure_pairs(network, held_out, tables, config, device=device, stop=stop)
        if quality is None:
            return None
        found["pairs held out"] = quality
    return found


def draw(
    network: SAN | SANPG,
    config: TrainConfig,
    batches: Batches,
    epoch: int,
    *,
    device: torch.device,
) -> NDArray[np.uint8] | None:
    """Draw augmented crops, of the size of an epoch, beside their target and predicted textures.

    Returns:
        (height, width, 3) uint8, or None without a decoder.
    """
    if network.decoder is None:
        return None
    raw = batches.read(batches.epoch(0)[0][:_SHEET_ROWS], number=0)
    batch = batches.batch(raw, number=0, epoch=epoch)
    crops, targets = batch.crops, batch.targets.textures
    if crops is None or (targets is None and batch.pit_crops is not None):
        crops, targets = batch.pit_crops, batch.targets.pit_textures
    if crops is None:
        return None
    autocast = runtime.autocast_dtype(config, device)
    network.eval()
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype=autocast, enabled=autocast is not None),
    ):
        painted = network.paint(crops[:_SHEET_ROWS])
    return sheet(
        crops[:_SHEET_ROWS],
        None if targets is None else targets[:_SHEET_ROWS],
        painted,
        mean=config.encoder.mean,
        std=config.encoder.std,
    )


def describe(
    folder: Path,
    config: TrainConfig,
    batches: Batches,
    device: torch.device,
    more: Mapping[str, Any],
) -> None:
    """Write ``config.json`` and ``run.json``: settings, versions, data."""
    settings = json.dumps(config_to_dict(config), indent=2) + "\n"
    atomic_write_text(folder / "config.json", settings)
    about = {
        "sanreid": sanreid.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "processes": runtime.world_size(),
        "training_data": batches.training_data,
        **more,
    }
    atomic_write_text(folder / "run.json", json.dumps(about, indent=2) + "\n")
