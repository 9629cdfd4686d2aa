"""Pieces of HTML that stand anywhere: in a notebook, light or dark, or in a page.

Styles are inline and colors come from the surroundings, because a notebook strips style sheets
of what it does not trust and has a theme of its own. All text goes through :func:`text`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Literal

from sanreid.viz.palette import BLUE, GREEN, GREY, ORANGE, VERMILION
from sanreid.viz.thumbnails import data_uri

__all__ = ["Mark", "block", "label", "mark_of", "row", "table", "text", "tile", "who"]

Mark = Literal["right", "wrong", "doubtful", "query", "none"]

_FRAMES = {
    "right": GREEN, "wrong": VERMILION, "doubtful": ORANGE, "query": BLUE, "none": GREY,
}  # fmt: skip
_SIGNS = {"right": " ✓", "wrong": " ✗", "doubtful": " ?", "query": "", "none": ""}
_LONGEST = 60  # characters of a value that is shown
_CELL = '<div style="flex:none;width:70px;font-size:11px;line-height:1.35;text-align:center">'
_MISSING = (
    "display:flex;align-items:center;justify-content:center;width:64px;height:128px;"
    "box-sizing:content-box;background:#9aa0a626;font-size:10px;text-align:center;"
)


def mark_of(found: int | str | None, asked: int | str | None) -> Mark:
    """Judge a hit by its pid and the query's: a hit that names nobody is neither."""
    if found is None or asked is None:
        return "none"
    return "right" if found == asked else "wrong"


def who(pid: int | str | None, camid: int | str | None) -> tuple[str, str]:
    """Return the captions of a person and a camera, "" for one that is not known."""
    camera = f"cam {camid}" if isinstance(camid, int) else camid or ""
    return "" if pid is None else f"person {pid}", camera


def text(value: object, longest: int = _LONGEST) -> str:
    """Return a value as one line of harmless HTML, shortened."""
    line = " ".join(str(value).split())
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
    return html.escape(line if len(line) <= longest else line[: longest - 1] + "…")


def tile(jpeg: bytes | None, mark: Mark, lines: Sequence[str], *, about: str) -> str:
    """Return one framed crop with its caption; a grey field where there is no picture.

    Args:
        jpeg: The picture.
        mark: Its frame; "right", "wrong" and "doubtful" have a sign beside the caption, too.
        lines: The caption, its first line strong, the others fainter.
        about: What is said to those who do not see the picture, and on pointing at it.
    """
    frame = f"border:3px solid {_FRAMES[mark]};border-radius:4px;"
    title = text(about, 300)
    if jpeg is None:
        picture = f'<div style="{_MISSING}{frame}" title="{title}">no picture</div>'
    else:
        picture = (
            f'<img src="{data_uri(jpeg)}" alt="{title}" title="{title}" width="64" height="128" '
            f'style="display:block;max-width:none;box-sizing:content-box;{frame}">'
        )
    return _CELL + picture + caption(lines, mark) + "</div>"


def label(lines: Sequence[str]) -> str:
    """Return what stands in place of a crop where there never was one."""
    return _CELL + caption(lines, "query") + "</div>"


def caption(lines: Sequence[str], mark: Mark) -> str:
    """Return the lines below a crop, each cut to its width."""
    line = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;"
    weights = ("font-weight:600", *("opacity:.75" for _ in lines))
    signs = (_SIGNS[mark], *("" for _ in lines))
    return "".join(
        f'<div style="{line}{weight}">{text(words)}{sign}</div>'
        for words, weight, sign in zip(lines, weights, signs, strict=False)
        if words
    )


def row(tiles: Iterable[str], *, apart: bool = False) -> str:
    """Lay tiles side by side, wrapping; ``apart`` sets the first one off."""
    cells = list(tiles)
    line = "display:flex;flex-wrap:wrap;gap:8px;"
    if not apart or len(cells) < 2:
        return f'<div style="{line}margin:6px 0">{"".join(cells)}</div>'
    rule = "border-left:2px solid #9aa0a666;padding-left:12px;"
    return (
        f'<div style="display:flex;gap:12px;margin:6px 0">{cells[0]}'
        f'<div style="{line}{rule}min-width:0">{"".join(cells[1:])}</div></div>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; every value is escaped and shortened."""
    body = "".join(
        "<tr>" + "".join(f"<td>{'' if cell is None else text(cell)}</td>" for cell in cells)
        + "</tr>"
        for cells in rows
    )  # fmt: skip
    names = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def block(title: str, *parts: str) -> str:
    """Put parts below a title."""
    return (
        '<div style="overflow-x:auto;margin:2px 0 8px"><div style="font-size:12px;opacity:.85">'
        f"{text(title, 300)}</div>{''.join(parts)}</div>"
    )
