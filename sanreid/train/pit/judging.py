"""How good a texture generator is: on held-out synthetic people, and on real crops.

On pairs the truth is known: the mean absolute difference and the PSNR are measured over the
texels the crop shows and over those it hides, beside two trivial answers, the mean texture and
one flat color for each part of the body. On real crops there is no truth; but the color of the
painted chest and legs must follow that of the crop's own torso and leg areas.

Red, green and blue of crops rise and fall together with the light, so that a network which knows
no more than how bright a crop is correlates well with all three. Two figures beside them do not
see the light: the chroma of each part, and the difference of the upper part from the lower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.train.pit.dataset import PITDataset
from sanreid.train.pit.tables import REGIONS, load_tables

__all__ = ["BOXES", "flat_answer", "judge_on_crops", "judge_on_pairs"]

Array = NDArray[np.floating[Any]]

Painter = Callable[[NDArray[np.uint8]], Array]
"""(N, H, W, 3) uint8 crops to (N, 256, 256, 3) textures in [0, 255]."""

BOXES = {"upper": (0.23, 0.43, 0.37, 0.63), "lower": (0.55, 0.77, 0.37, 0.63)}
"""Top, bottom, left, right of the torso and the leg box, as shares of the crop."""

_PARTS = {"upper": ("chest",), "lower": ("legs",)}


def flat_answer(texture: NDArray[np.uint8]) -> Array:
    """Return the true texture with each part of the body in its mean color, (256, 256, 3)."""
    regions = load_tables()["regions"]
    answer = np.zeros(texture.shape, np.float32)
    for number in range(1, len(REGIONS) + 1):
        here = regions == number
        answer[here] = texture[here].mean(0)
    return answer


def judge_on_pairs(
    paint: Painter, pairs: PITDataset, *, mean_texture: Array, batch_size: int = 32
) -> dict[str, Any]:
    """Measure a generator on pairs, and two trivial answers for comparison.

    Args:
        paint: The generator.
        pairs: Held-out pairs.
        mean_texture: (256, 256, 3) in [0, 255], of the identities trained on.
        batch_size: Crops painted at once.

    Returns:
        ``{"all": {...}, "patterned": {...}}``, each with ``l1_seen``, ``l1_unseen``,
        ``psnr_seen``, ``psnr_unseen`` by answer (``generator``, ``mean``, ``flat``); colors
        count in [0, 1].

    Raises:
        InputError: There are no pairs.
    """
    if not len(pairs):
        raise InputError("There are no pairs to judge on.")
    valid = load_tables()["valid"].astype(bool)
    sums: dict[tuple[str, str, str], Array] = {}
    for start in range(0, len(pairs), batch_size):
        numbers = range(start, min(start + batch_size, len(pairs)))
        samples = [pairs[n] for n in numbers]
        painted = paint(np.stack([s.crop for s in samples]))
        for number, sample, texture in zip(numbers, samples, painted, strict=True):
            truth = sample.texture.astype(np.float32)
            answers = {
                "generator": texture,
                "mean": mean_texture,
                "flat": flat_answer(sample.texture),
            }
            groups = ("all", "patterned") if pairs.patterned[number] else ("all",)
            for answer, values in answers.items():
                error = (values - truth) / 255
                for which, texels in (
                    ("seen", sample.seen & valid),
                    ("unseen", ~sample.seen & valid),
                ):
                    off = error[texels]
                    row = np.array([np.abs(off).sum(), (off**2).sum(), off.size], np.float64)
                    for group in groups:
                        key = (group, answer, which)
                        sums[key] = sums.get(key, np.zeros(3)) + row
    report: dict[str, Any] = {}
    for (group, answer, which), (absolute, squared, count) in sums.items():
        figures = report.setdefault(group, {}).setdefault(answer, {})
        figures[f"l1_{which}"] = float(absolute / max(count, 1))
        figures[f"psnr_{which}"] = float(-10 * np.log10(max(squared / max(count, 1), 1e-10)))
    return report


def judge_on_crops(
    paint: Painter, crops: Sequence[NDArray[np.uint8]], *, batch_size: int = 32
) -> dict[str, list[float]]:
    """Correlate the crops' torso and leg colors with those of the painted chest and legs.

    Colors are means over the boxes of the crop and over the parts of the texture.

    Args:
        paint: The generator.
        crops: (H, W, 3) uint8 crops, all of one size.
        batch_size: Crops painted at once.

    Returns:
        The correlation over the crops, 0 where the painted color never changes: ``upper`` and
        ``lower`` in red, green and blue; ``upper_chroma`` and ``lower_chroma`` of red less green
        and of blue less the mean of both; ``difference`` of the upper part's red, green and
        blue less the lower's.

    Raises:
        InputError: Fewer than two crops.
    """
    if len(crops) < 2:
        raise InputError(f"A correlation needs at least 2 crops; got {len(crops)}.")
    regions = load_tables()["regions"]
    masks = {
        part: np.isin(regions, [REGIONS.index(name) + 1 for name in names])
        for part, names in _PARTS.items()
    }
    shown: dict[str, list[Array]] = {part: [] for part in BOXES}
    made: dict[str, list[Array]] = {part: [] for part in BOXES}
    for start in range(0, len(crops), batch_size):
        batch = np.stack(crops[start : start + batch_size])
        height, width = batch.shape[1:3]
        painted = paint(batch)
        for part, (top, bottom, left, right) in BOXES.items():
            rows = slice(round(top * height), round(bottom * height))
            columns = slice(round(left * width), round(right * width))
            shown[part] += list(batch[:, rows, columns].mean((1, 2)))
            made[part] += list(painted[:, masks[part]].mean(1))
    theirs, ours = (
        _figures(np.stack(colors["upper"]), np.stack(colors["lower"])) for colors in (shown, made)
    )
    return {
        name: [_correlation(x, y) for x, y in zip(theirs[name].T, ours[name].T, strict=True)]
        for name in theirs
    }


def _figures(upper: Array, lower: Array) -> dict[str, Array]:
    """Return what is correlated, (N, channels) each, from (N, 3) mean colors of both parts."""
    return {
        "upper": upper,
        "lower": lower,
        "upper_chroma": _chroma(upper),
        "lower_chroma": _chroma(lower),
        "difference": upper - lower,
    }


def _chroma(colors: Array) -> Array:
    red, green, blue = colors.T
    return np.stack([red - green, blue - (red + green) / 2], 1)


def _correlation(x: Array, y: Array) -> float:
    if np.ptp(x) < 1e-6 or np.ptp(y) < 1e-6:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
