"""Where the network responds: activation of a crop, and which locations of two crops match.

Both read the maps of a stage of SA-Enc. torch is loaded when one is drawn.

Source: the activation at a location is the sum over channels of the squared map, as in Zagoruyko
and Komodakis, "Paying More Attention to Attention", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError, WeightsError
from sanreid.images import ImageSource, load_crop
from sanreid.utils.arguments import as_count, as_fraction
from sanreid.utils.arrays import shown
from sanreid.utils.vectors import normalize_rows
from sanreid.viz.checks import check_several
from sanreid.viz.drawing import (
    SERIES,
    Axes,
    Figure,
    axes_for,
    finish_tiles,
    picture,
)

if TYPE_CHECKING:
    from sanreid.viz.protocols import Encoder

__all__ = ["activation_map", "similarity_map", "stage_maps"]

_HEAT = "inferno"
_VEIL = (0.25, 0.75)  # opacity over the crop of the colors of the lowest and the highest value
_GAP = 0.35


def stage_maps(
    encoder: Encoder, images: Sequence[ImageSource], *, stage: int | None = None
) -> NDArray[np.float32]:
    """Run crops through the network and return the maps of one stage.

    Args:
        encoder: With its network, ``encoder.module``.
        images: N crops, at least one, anything that ``SANEncoder.encode`` takes.
        stage: From 1, the finest, to the number of the last; None: the last, which the embedding
            is pooled from.

    Returns:
        (N, C, H, W) float32.

    Raises:
        InputError: There is no such stage, no image, one that is not in a list, or the encoder
            has no network to look into, or one without stages.
        ImageError: An image cannot be read.
    """
    check_several("images", images)
    if not len(images):
        raise InputError("images wants at least one image; got none.")
    try:
        module = encoder.module
    except (AttributeError, WeightsError) as error:  # the second of an exported file
        raise InputError(
            "Maps are read out of the network; this encoder has none. Load one with "
            "SANEncoder.from_pretrained()."
        ) from error
    import torch  # noqa: PLC0415 - only where a network is run

    crops = np.stack(
        [
            load_crop(image, encoder.input_size, position=f"image {index} of the input")
            for index, image in enumerate(images)
        ]
    )
    device = next(module.parameters(), torch.empty(0)).device
    pixels = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(values, device=device).view(1, 3, 1, 1)
        for values in (encoder.config.mean, encoder.config.std)
    )
    with torch.inference_mode():
        stages = getattr(module((pixels - mean) / std), "stages", ())
    if not stages:
        raise InputError("Maps are those of a network's stages; this encoder's returns none.")
    last = len(stages)
    number = last if stage is None else as_count(stage, "stage", most=last)
    result: NDArray[np.float32] = stages[number - 1].float().cpu().numpy()
    return result


def activation_map(
    encoder: Encoder,
    image: ImageSource,
    *,
    stage: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a crop next to a map of where the network responds strongly.

    Args:
        encoder: With its network.
        image: One crop.
        stage: Which stage's map, as in :func:`stage_maps`.
        ax: Draw here; a new figure when None.
        title: A line above.

    Raises:
        InputError: There is no such stage, or the encoder has no network to look into.
        ImageError: The image cannot be read.
    """
    maps = stage_maps(encoder, [image], stage=stage)[0]
    strength = np.sqrt(np.square(maps).sum(axis=0))
    height, width = encoder.input_size
    tall = height / width
    figure, ax = axes_for(ax, (2 * 1.9 + 0.4, 1.9 * tall + (0.4 if title else 0)))
    crop = load_crop(image, _shown(encoder.input_size))
    picture(ax, crop, (0, 0, 1, tall))
    _heat(ax, crop, strength, (1 + _GAP / 3, 0, 1, tall), (strength.min(), strength.max()))
    finish_tiles(ax, 2 + _GAP / 3, tall, title=title)
    return figure


def similarity_map(
    encoder: Encoder,
    first: ImageSource,
    second: ImageSource,
    *,
    place: tuple[float, float] | None = None,
    stage: int | None = None,
    matches: int = 12,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """Draw which locations of two crops match, by the cosine of their features.

    Without ``place``, the color of a location is its best cosine with any location of the other
    crop; numbered lines join locations that are each other's best match. With ``place``, the
    colors of the second crop are the cosines with that location of the first.

    Args:
        encoder: With its network.
        first: A crop.
        second: A crop.
        place: (down, across) in the first crop, fractions from 0 to 1.
        stage: Which stage's map, as in :func:`stage_maps`.
        matches: The most numbered pairs, the most similar first.
        ax: Draw here; a new figure when None.
        title: A line above.

    Raises:
        InputError: ``place`` is not in the crop, ``matches`` is no count, there is no such
            stage, or the encoder has no network to look into.
        ImageError: An image cannot be read.
    """
    if place is not None:
        place = _checked_place(place)
    matches = as_count(matches, "matches", least=0)
    maps = stage_maps(encoder, [first, second], stage=stage)
    rows, columns = maps.shape[2:]
    features = maps.reshape(2, maps.shape[1], rows * columns)
    features = normalize_rows(features.transpose(0, 2, 1), least=1e-12)
    cosine = features[0] @ features[1].T  # (locations of the first, locations of the second)
    height, width = encoder.input_size
    tall = height / width
    figure, ax = axes_for(ax, (2 * 1.9 + 1.2, 1.9 * tall + (0.4 if title else 0)))
    boxes = ((0.0, 0.0, 1.0, tall), (1 + _GAP, 0.0, 1.0, tall))
    crops = [load_crop(image, _shown(encoder.input_size)) for image in (first, second)]
    grid = (rows, columns)
    if place is None:
        best = cosine.max(axis=1), cosine.max(axis=0)
        limits = (min(b.min() for b in best), max(b.max() for b in best))
        for crop, box, heat in zip(crops, boxes, best, strict=True):
            image = _heat(ax, crop, heat.reshape(grid), box, limits)
        for number, (a, b) in enumerate(_mutual(cosine)[:matches]):
            ends = [_centre(at, grid, box) for at, box in zip((a, b), boxes, strict=True)]
            color = SERIES[number % len(SERIES)]
            ax.plot(*np.transpose(ends), color=color, linewidth=1.2, alpha=0.7, zorder=4)
            for x, y in ends:
                ax.text(x, y, str(number + 1), ha="center", va="center", fontsize=6.5,
                        color="white", zorder=5, bbox={"boxstyle": "circle,pad=0.15",
                        "facecolor": color, "edgecolor": "white", "linewidth": 0.6})  # fmt: skip
    else:
        row, column = (min(int(p * n), n - 1) for p, n in zip(place, grid, strict=True))
        asked = row * columns + column
        picture(ax, crops[0], boxes[0])
        heat = cosine[asked]
        image = _heat(ax, crops[1], heat.reshape(grid), boxes[1], (heat.min(), heat.max()))
        x, y = _centre(asked, grid, boxes[0])
        for size, color in ((17, "white"), (13, SERIES[0])):
            ax.plot(x, y, "o", markersize=size, fillstyle="none", markeredgewidth=3, color=color,
                    zorder=4)  # fmt: skip
    finish_tiles(ax, 2 + _GAP, tall, title=title)
    figure.colorbar(image, ax=ax, shrink=0.7, pad=0.02, label="cosine of the features")
    return figure


def _checked_place(place: Iterable[float]) -> tuple[float, float]:
    try:
        down, across = (as_fraction(part, "place") for part in place)
    except (TypeError, ValueError):  # InputError is one
        raise InputError(
            f"place must be two fractions from 0 to 1, (down, across); got {shown(place)}."
        ) from None
    return down, across


def _mutual(cosine: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return pairs of locations that are each other's best match, most similar first."""
    forward, back = cosine.argmax(axis=1), cosine.argmax(axis=0)
    mutual = np.flatnonzero(back[forward] == np.arange(len(forward)))
    order = np.argsort(-cosine[mutual, forward[mutual]], kind="stable")
    return [(int(a), int(forward[a])) for a in mutual[order]]


def _centre(
    location: int, grid: tuple[int, int], box: tuple[float, float, float, float]
) -> tuple[float, float]:
    row, column = divmod(location, grid[1])
    left, top, width, height = box
    return left + (column + 0.5) / grid[1] * width, top + (row + 0.5) / grid[0] * height


def _shown(input_size: tuple[int, int]) -> tuple[int, int]:
    """Small inputs are drawn larger than the network sees them."""
    factor = max(1, round(256 / input_size[0]))
    return input_size[0] * factor, input_size[1] * factor


def _heat(
    ax: Axes,
    crop: NDArray[np.uint8],
    values: NDArray[np.float32],
    box: tuple[float, float, float, float],
    limits: tuple[float, float],
) -> Any:  # noqa: ANN401 - matplotlib's AxesImage
    """Overlay a map on a crop in grey; return the image for a color bar."""
    low, high = limits[0], max(limits[1], limits[0] + 1e-12)
    grey = crop @ np.array([0.299, 0.587, 0.114])
    left, top, width, height = box
    picture(ax, grey, box, cmap="gray", vmin=0, vmax=255)
    return ax.imshow(
        values,
        extent=(left, left + width, top + height, top),
        aspect="auto",
        cmap=_HEAT,
        alpha=np.interp(values, (low, high), _VEIL),
        vmin=low,
        vmax=high,
        interpolation="bilinear",
        zorder=2.5,
    )
