"""What SAN sees: crops beside the whole body textures painted of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import ImageError
from sanreid.images import ImageSource, load_image
from sanreid.utils.arguments import as_count
from sanreid.viz.checks import check_several, checked_count, checked_labels
from sanreid.viz.drawing import (
    GREY,
    Axes,
    Figure,
    axes_for,
    finish_tiles,
    fitting,
    frame,
    picture,
    readable,
)

__all__ = ["texture_sheet"]

_GAP, _GROUP_GAP, _HEADER, _CAPTION = 0.06, 0.4, 0.32, 0.3
_INCHES = 1.5  # a texture's side


def texture_sheet(
    crops: Sequence[ImageSource],
    textures: Sequence[ImageSource],
    *,
    targets: Sequence[ImageSource] | None = None,
    labels: Sequence[str] | None = None,
    columns: int = 2,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """Draw each crop beside the texture painted of it, and the true texture if it is known.

    Args:
        crops: N crops, anything that ``SANEncoder.encode`` takes; an unreadable one is a grey
            field.
        textures: N textures: images, or floats (3, S, S) in [-1, 1] as the networks paint them.
        targets: N true (or pseudo ground-truth) textures, as ``textures``.
        labels: N captions.
        columns: People side by side.
        ax: Draw here; a new figure when None.
        title: A line above.

    Raises:
        InputError: Not one texture per crop, a label is not text, or ``columns`` is below 1.
        ImageError: A texture cannot be read.
    """
    check_several("crops", crops)
    check_several("textures", textures)
    if targets is not None:
        check_several("targets", targets)
    count = len(crops)
    columns = as_count(columns, "columns")
    painted = [
        _texture(t, index) for index, t in enumerate(checked_count("textures", textures, count))
    ]
    true = checked_count("targets", targets, count)
    captions = checked_labels(labels, count)
    columns = max(1, min(columns, count))
    names = ("crop", "texture") if targets is None else ("crop", "painted", "true")
    widths = (0.5, *(1.0 for _ in names[1:]))
    group = sum(widths) + _GAP * (len(widths) - 1)
    pitch = 1 + (_CAPTION if labels is not None else _GAP * 2)
    width = columns * group + (columns - 1) * _GROUP_GAP
    height = _HEADER + -(-count // columns) * pitch
    figure, ax = axes_for(
        ax, (max(width * _INCHES, 2.5), height * _INCHES + (0.4 if title else 0))
    )
    for index in range(count):
        left = index % columns * (group + _GROUP_GAP)
        top = _HEADER + index // columns * pitch
        pictures = [readable(crops[index], (256, 128))[0], painted[index]]
        if targets is not None:
            pictures.append(_texture(true[index], index))
        x = left
        for name, across, pixels in zip(names, widths, pictures, strict=True):
            picture(ax, pixels, (x, top, across, 1))
            frame(ax, (x, top, across, 1), GREY, width=0.8)
            if index < columns:
                ax.text(x + across / 2, _HEADER - 0.06, name, ha="center", va="bottom",
                        fontsize=9, alpha=0.75)  # fmt: skip
            x += across + _GAP
        if captions[index]:
            ax.text(left + group / 2, top + 1.04, fitting(captions[index], 40), ha="center",
                    va="top", fontsize=9)  # fmt: skip
    finish_tiles(ax, width, height, title=title)
    return figure


def _texture(source: ImageSource, index: int) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 of an image, or of floats (3, S, S) in [-1, 1]."""
    shape = tuple(getattr(source, "shape", ()))
    if len(shape) != 3 or shape[0] != 3 or "float" not in str(getattr(source, "dtype", "")):
        return load_image(source, position=f"texture {index}")
    detached = source.detach().float().cpu() if hasattr(source, "detach") else source
    values = np.asarray(detached, dtype=np.float32)
    if not (np.isfinite(values).all() and np.abs(values).max(initial=0) <= 1 + 1e-3):
        raise ImageError(
            f"texture {index} reaches from {values.min():.6g} to {values.max():.6g}; "
            "a float texture lies in [-1, 1]."
        )
    scaled = np.rint((values.clip(-1, 1).transpose(1, 2, 0) + 1) * 127.5)
    pixels: NDArray[np.uint8] = scaled.astype(np.uint8)
    return pixels
