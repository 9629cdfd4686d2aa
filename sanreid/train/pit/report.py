"""The report on a trained texture generator: figures on pairs and on real crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from sanreid.train.pit.judging import judge_on_crops, judge_on_pairs
from sanreid.train.renamed import look_up
from sanreid.train.textures.generator import Generator, load_generator

__all__ = ["judge", "mean_texture", "painted", "untrained"]

_T = TypeVar("_T")
Array = NDArray[np.floating[Any]]
Draw = Callable[[Generator, list[NDArray[np.uint8]], list[NDArray[np.uint8]] | None], None]
_CROPS = 1000  # real crops judged on, spread over the folder
_SHOWN = 20  # on the sheet


def judge(
    pairs: Path,
    weights: str,
    *,
    held_out: int = 60,
    crops: Path | None = None,
    draw: Draw | None = None,
) -> dict[str, Any]:
    """Measure a generator on the held-out pairs of a folder and, where given, on real crops.

    Args:
        pairs: A folder of pairs.
        weights: As :func:`sanreid.train.textures.generator.load_generator` takes it.
        held_out: How many identities were held out.
        crops: A folder of real crops; at most 1,000 of them are taken.
        draw: Called at the end with the generator, some crops and their true textures, which
            are None for real crops.

    Returns:
        ``pairs`` as :func:`judge_on_pairs` returns it, and ``crops``, as :func:`judge_on_crops`
        returns it, of the ``generator``, of the same network ``untrained``, and of a ``constant``
        answer, the mean texture.

    Raises:
        DatasetError: The pairs cannot be read.
        InputError: ``held_out`` leaves nobody; ``crops`` holds no two images.
        WeightsError: The weights are no texture generator's.
    """
    generator = load_generator(weights)
    val = PITDataset(pairs, split="val", held_out=held_out)
    train = PITDataset(pairs, split="train", held_out=held_out)

    mean = mean_texture(train)

    def paint(batch: NDArray[np.uint8]) -> Array:
        return painted(generator, batch)

    report: dict[str, Any] = {"pairs": judge_on_pairs(paint, val, mean_texture=mean)}
    real: list[NDArray[np.uint8]] = []
    if crops is not None:
        paths = find_images(crops)
        step = max(len(paths) // _CROPS, 1)
        real = [load_crop(path, (256, 128)) for path in paths[::step][:_CROPS]]
        fresh = untrained(generator)
        report["crops"] = {
            "generator": judge_on_crops(paint, real),
            "untrained": judge_on_crops(lambda batch: painted(fresh, batch), real),
            "constant": judge_on_crops(lambda batch: np.stack([mean] * len(batch)), real),
        }
    if draw is not None:
        if real:
            draw(generator, _spread(real), None)
        else:
            chosen = [val[n] for n in _spread(range(len(val)))]
            draw(generator, [s.crop for s in chosen], [s.texture for s in chosen])
    return report


def untrained(generator: Generator) -> Generator:
    """Return the same network with random weights: PyTorch's own start, of seed 0."""
    module = deepcopy(generator.module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return replace(generator, module=module, name=f"{generator.name}, untrained")


def mean_texture(pairs: PITDataset) -> Array:
    """Return the mean of the identities' textures, (256, 256, 3) float32 in [0, 255]."""
    firsts = np.unique(pairs.identities, return_index=True)[1]
    total = np.zeros((256, 256, 3))
    for number in firsts:
        total += pairs[int(number)].texture
    mean: Array = (total / len(firsts)).astype(np.float32)
    return mean


def painted(generator: Generator, batch: NDArray[np.uint8]) -> Array:
    """Return the textures that a generator paints of crops.

    Args:
        generator: The generator.
        batch: (N, H, W, 3) uint8.

    Returns:
        (N, 256, 256, 3) float32 in [0, 255].
    """
    height, width = generator.encoder.input_size
    small = [
        np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR))
        for crop in batch
    ]
    crops = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
    textures = generator.paint(crops).textures.permute(0, 2, 3, 1)
    textures_255: Array = ((textures.cpu().numpy() + 1) * 127.5).astype(np.float32)
    return textures_255


def _spread(items: Sequence[_T]) -> list[_T]:
    """At most ``_SHOWN`` of them, evenly."""
    return list(items[:: max(len(items) // _SHOWN, 1)][:_SHOWN])


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    return look_up(__name__, name, "pit.generate.sheets")
