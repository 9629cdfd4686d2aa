"""The report on a trained texture generator: figures on pairs and crops, and a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sanreid.images import find_images, load_crop
from sanreid.train.pit.dataset import PITDataset
from sanreid.train.pit.generate.people.body import Array, check_pit_extra
from sanreid.train.pit.generate.preview import neutral_views
from sanreid.train.pit.generate.render import Studio
from sanreid.train.pit.judging import judge_on_crops, judge_on_pairs
from sanreid.train.textures.generator import Generator, load_generator
from sanreid.viz import check_suffix, save_picture

__all__ = ["judge", "mean_texture", "painted_sheet", "untrained"]

_T = TypeVar("_T")
_CROPS = 1000  # real crops judged on, spread over the folder
_SHOWN = 20  # on the sheet


def judge(
    pairs: Path,
    weights: str,
    *,
    held_out: int = 60,
    crops: Path | None = None,
    sheet: Path | None = None,
) -> dict[str, Any]:
    """Measure a generator on the held-out pairs of a folder and, where given, on real crops.

    Args:
        pairs: A folder of pairs.
        weights: As :func:`sanreid.train.textures.generator.load_generator` takes it.
        held_out: How many identities were held out.
        crops: A folder of real crops; at most 1,000 of them are taken.
        sheet: Where to write crops beside their textures; needs the extra ``pit``.

    Returns:
        ``pairs`` as :func:`judge_on_pairs` gives it, and ``crops``, as :func:`judge_on_crops`
        gives it, of the ``generator``, of the same network ``untrained``, and of a ``constant``
        answer, the mean texture.

    Raises:
        DatasetError: The pairs cannot be read.
        InputError: ``held_out`` leaves nobody; ``crops`` holds no two images; ``sheet`` is no
            picture's name.
        MissingExtraError: A sheet is asked for and the extra ``pit`` is not installed.
        WeightsError: The weights are no texture generator's.
    """
    if sheet is not None:
        check_suffix(sheet)
        check_pit_extra()
    generator = load_generator(weights)
    val = PITDataset(pairs, split="val", held_out=held_out)
    train = PITDataset(pairs, split="train", held_out=held_out)

    mean = mean_texture(train)

    def paint(batch: NDArray[np.uint8]) -> Array:
        return _painted(generator, batch)

    report: dict[str, Any] = {"pairs": judge_on_pairs(paint, val, mean_texture=mean)}
    real: list[NDArray[np.uint8]] = []
    if crops is not None:
        paths = find_images(crops)
        step = max(len(paths) // _CROPS, 1)
        real = [load_crop(path, (256, 128)) for path in paths[::step][:_CROPS]]
        fresh = untrained(generator)
        report["crops"] = {
            "generator": judge_on_crops(paint, real),
            "untrained": judge_on_crops(lambda batch: _painted(fresh, batch), real),
            "constant": judge_on_crops(lambda batch: np.stack([mean] * len(batch)), real),
        }
    if sheet is not None:
        if real:
            picture = painted_sheet(Studio.open(), generator, _spread(real))
        else:
            chosen = [val[n] for n in _spread(range(len(val)))]
            truths = [sample.texture for sample in chosen]
            crops_shown = [sample.crop for sample in chosen]
            picture = painted_sheet(Studio.open(), generator, crops_shown, truths=truths)
        save_picture(Image.fromarray(picture), sheet)
    return report


def untrained(generator: Generator) -> Generator:
    """Give the same network with random weights: PyTorch's own start, of seed 0."""
    module = deepcopy(generator.module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return replace(generator, module=module, name=f"{generator.name}, untrained")


def mean_texture(pairs: PITDataset) -> Array:
    """Give the mean of the identities' textures, (256, 256, 3) float32 in [0, 255]."""
    firsts = np.unique(pairs.identities, return_index=True)[1]
    total = np.zeros((256, 256, 3))
    for number in firsts:
        total += pairs[int(number)].texture
    mean: Array = (total / len(firsts)).astype(np.float32)
    return mean


def painted_sheet(
    studio: Studio,
    generator: Generator,
    crops: list[NDArray[np.uint8]],
    *,
    truths: list[NDArray[np.uint8]] | None = None,
) -> NDArray[np.uint8]:
    """Give crops (256 x 128), two a row, each beside its texture and that on a neutral body.

    Where ``truths`` are given, the true texture stands before the painted one.
    """
    panels = []
    for number, crop in enumerate(crops):
        texture = _painted(generator, crop[None])[0]
        views = neutral_views(studio, texture / 255)
        truth = [] if truths is None else [truths[number]]
        panels.append(np.concatenate([crop, *truth, texture.round().astype(np.uint8), *views], 1))
    panels += [np.zeros_like(panels[0])] * (len(panels) % 2)
    rows = [np.concatenate(panels[n : n + 2], 1) for n in range(0, len(panels), 2)]
    return np.concatenate(rows)


def _spread(items: Sequence[_T]) -> list[_T]:
    """At most ``_SHOWN`` of them, evenly."""
    return list(items[:: max(len(items) // _SHOWN, 1)][:_SHOWN])


def _painted(generator: Generator, batch: NDArray[np.uint8]) -> Array:
    """(N, H, W, 3) uint8 to (N, 256, 256, 3) in [0, 255]."""
    height, width = generator.encoder.input_size
    small = [
        np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR))
        for crop in batch
    ]
    crops = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
    textures = generator.paint(crops).textures.permute(0, 2, 3, 1)
    painted: Array = ((textures.cpu().numpy() + 1) * 127.5).astype(np.float32)
    return painted
