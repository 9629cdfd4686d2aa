"""Ranked lists as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sanreid.images import ImageSource
from sanreid.viz.drawing import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    Axes,
    Figure,
    axes_for,
    finish_tiles,
    fitting,
    frame,
    picture,
    readable,
)
from sanreid.viz.markup import who
from sanreid.viz.ranked import checked_rankings, ranked_crops, ranked_header

if TYPE_CHECKING:
    from sanreid.viz.protocols import Hit, SearchResult

__all__ = ["ranked_list_figure"]

# In units of a crop's width; a crop is twice as high as wide.
_STEP, _APART, _CAPTION, _HEADER = 1.16, 0.25, 0.62, 0.32
_PIXELS = (160, 80)
_INCHES = 0.82  # a crop's width
_STYLES = {"right": (GREEN, "✓"), "wrong": (VERMILION, "✗"), "none": (GREY, "")}


def ranked_list_figure(
    queries: Sequence[ImageSource],
    result: SearchResult | Sequence[Sequence[Hit]],
    *,
    query_pids: Sequence[int | str | None] | None = None,
    query_camids: Sequence[int | str | None] | None = None,
    images: Mapping[int, ImageSource] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """Draw search results: a row for each query, the query first, then its hits, best first.

    A right hit has a green frame and a tick, a wrong one a red frame and a cross; where hit
    or query names nobody, the frame is grey. For pictures
    of many queries :func:`ranked_list`, which needs only Pillow, is quicker.

    Args:
        queries: Q crops, anything that ``SANEncoder.encode`` takes.
        result: Of ``Gallery.search`` with these queries, or a list of hits for each.
        query_pids: Who the queries are; left out, what the result knows of them.
        query_camids: The queries' cameras, for the captions; as ``query_pids``.
        images: The crop of an entry's id. Left out, or an id not in it: the entry's metadata
            under "path". A crop that is not there is a grey field.
        ax: Draw here; a new figure when None.
        title: A line above.

    Raises:
        InputError: The arguments are not one per query.
    """
    rankings = checked_rankings(queries, result, query_pids, query_camids)
    header = ranked_header(rankings)
    num_ranks = len(header) - 1
    width = 1 + num_ranks * _STEP + (_APART if num_ranks else 0)
    pitch = 2 + _CAPTION
    height = _HEADER + len(rankings) * pitch
    figure, ax = axes_for(
        ax, (max(width * _INCHES, 2.5), max(height, 1) * _INCHES + (0.4 if title else 0))
    )
    for row, (query, pid, camid, hits) in enumerate(rankings):
        top = _HEADER + row * pitch
        _tile(ax, query, 0.0, top, BLUE, "", who(pid, camid))
        for rank, hit in enumerate(ranked_crops(hits, pid, images), start=1):
            color, sign = _STYLES[hit.mark]
            caption = f"{hit.similarity} {sign}".rstrip(), hit.person, hit.camera
            _tile(ax, hit.crop, _APART + rank * _STEP, top, color, sign, caption)
    for column, text in enumerate(header if rankings else []):
        x = column * _STEP + (_APART if column else 0) + 0.5
        ax.text(x, _HEADER - 0.12, text, ha="center", va="bottom", fontsize=9, alpha=0.7)
    finish_tiles(ax, width, height, title=title)
    return figure


def _tile(
    ax: Axes,
    image: ImageSource | None,
    left: float,
    top: float,
    color: str,
    sign: str,
    caption: Sequence[str],
) -> None:
    box = (left, top, 1.0, 2.0)
    pixels, found = readable(image, _PIXELS)
    picture(ax, pixels, box)
    frame(ax, box, color, width=2.5 if sign else 1.5)
    middle = left + 0.5
    if not found:
        ax.text(middle, top + 1, "no picture", ha="center", va="center", fontsize=7, color="0.4")
    first, *others = [text for text in caption if text] or [""]
    below = "\n".join(fitting(text, 18) for text in others)
    ax.text(middle, top + 2.07, fitting(first, 14), ha="center", va="top", fontsize=9)
    ax.text(middle, top + 2.31, below, ha="center", va="top", fontsize=7, alpha=0.75)
