"""What all figures share: colors that are distinct to everyone, and figures without pyplot.

No figure touches pyplot's state; text and axes follow the user's matplotlib style, dark ones too.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import ImageError, InputError
from sanreid.images import ImageSource, load_crop
from sanreid.utils.extras import missing_extra
from sanreid.viz.palette import BLUE, GREEN, GREY, SERIES, VERMILION

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
except ImportError as error:
    raise missing_extra(
        "matplotlib", purpose="Drawing a figure", install="sanreid[viz]", reason=str(error)
    ) from error

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "SERIES",
    "VERMILION",
    "Axes",
    "Figure",
    "axes_for",
    "finish_tiles",
    "fitting",
    "frame",
    "label_axes",
    "picture",
    "readable",
]

_EDGE = 0.04
_EMPTY = 241  # the grey of a crop that is not there


class _ShownFigure(Figure):
    """Shows itself in a notebook, whether or not pyplot was ever imported there."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=max(self.dpi, 100), bbox_inches="tight")
        return buffer.getvalue()


def axes_for(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return the axes to draw on and their figure: the caller's, or new ones.

    Args:
        ax: The caller's, or None.
        size: (width, height) in inches of a new figure.
    """
    if ax is None:
        figure: Figure = _ShownFigure(figsize=size, layout="constrained")
        return figure, figure.subplots()
    owner = ax.get_figure(root=True)
    if owner is None:
        raise InputError("ax must belong to a figure; it was removed from its own.")
    return owner, ax


def label_axes(
    ax: Axes, *, x: str, y: str, title: str | None, title_pad: float | None = None
) -> None:
    """Name the axes and take away the lines that say nothing; ``title_pad`` is in points."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if title:
        ax.set_title(title, loc="left", pad=title_pad)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, alpha=0.25, linewidth=0.8)
    ax.set_axisbelow(True)


def picture(
    ax: Axes,
    pixels: NDArray[Any],
    box: tuple[float, float, float, float],
    **options: Any,  # noqa: ANN401 - imshow's own
) -> None:
    """Draw an image or a map into ``box``: left, top, width, height; y points down."""
    left, top, width, height = box
    ax.imshow(
        pixels, extent=(left, left + width, top + height, top), aspect="auto", zorder=2, **options
    )


def readable(
    image: ImageSource | None, size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], bool]:
    """Return a crop's pixels and True, or a grey field and False where it cannot be read."""
    size = size or (128, 64)
    if image is not None:
        try:
            return load_crop(image, size), True
        except ImageError:
            pass  # moved or damaged since it was embedded: the rest is still worth seeing
    return np.full((*size, 3), _EMPTY, np.uint8), False


def frame(
    ax: Axes, box: tuple[float, float, float, float], color: str, *, width: float = 2.0
) -> None:
    """Draw a frame around ``box``: left, top, width, height."""
    left, top, across, down = box
    ax.add_patch(
        Rectangle(
            (left, top), across, down, fill=False, edgecolor=color, linewidth=width, zorder=3
        )
    )


def finish_tiles(ax: Axes, width: float, height: float, *, title: str | None) -> None:
    """End axes that hold pictures: the whole area, square units, y down, no axes."""
    ax.set_xlim(-_EDGE, width + _EDGE)  # half a frame's line lies outside
    ax.set_ylim(height + _EDGE, -_EDGE)
    ax.set_aspect("equal")
    ax.set_axis_off()
    if title:
        ax.set_title(title, loc="left")


def fitting(text: str, room: int) -> str:
    """Shorten a text to ``room`` characters; matplotlib's own signs are taken literally."""
    line = " ".join(text.split())
    line = line if len(line) <= room else line[: room - 1] + "…"
    return line.replace("$", r"\$")
