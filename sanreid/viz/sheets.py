"""Contact sheets, ranked lists and clusters of crops.

A right hit has a green frame and a tick, a wrong one a red frame and a cross, a doubtful crop an
orange frame and a question mark: the sign is for those who do not tell the colors apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from sanreid.errors import ImageError, InputError
from sanreid.images import ImageSource, load_crop
from sanreid.utils.arguments import as_count, check_kind
from sanreid.viz.checks import (
    check_several,
    checked_column,
    checked_count,
    checked_crop_size,
    checked_labels,
    checked_marks,
)
from sanreid.viz.clusters import DOUBTFUL, cluster_row, people_of
from sanreid.viz.markup import Mark, who
from sanreid.viz.ranked import checked_rankings, ranked_crops, ranked_header

if TYPE_CHECKING:
    from sanreid.viz.protocols import Clustering, Hit, SearchResult

__all__ = ["cluster_sheet", "contact_sheet", "ranked_list"]

PAPER = (255, 255, 255)
INK = (32, 33, 36)
FAINT = (112, 117, 122)
LINE = (224, 226, 229)
EMPTY = (241, 243, 244)
FRAMES = {
    "right": (24, 148, 74),
    "wrong": (206, 46, 46),
    "doubtful": (222, 142, 0),
    "query": (45, 92, 190),
    "none": (176, 180, 186),
}

MARGIN, GAP, FRAME = 24, 12, 4
CAPTION, TITLE, HEADER = 38, 44, 26
_LONGEST = 120  # characters of a line that are looked at

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    images: Sequence[ImageSource],
    *,
    labels: Sequence[str] | None = None,
    marks: Sequence[Mark] | None = None,
    columns: int = 8,
    crop_size: tuple[int, int] = (192, 96),
    title: str | None = None,
    font: str | Path | None = None,
) -> Image.Image:
    """Lay crops out in rows.

    Args:
        images: N crops, anything that ``SANEncoder.encode`` takes; an unreadable one is shown as
            an empty field.
        labels: N captions; a line break begins the second, fainter line.
        marks: N frames: "right" green, "wrong" red, "doubtful" orange, "query" blue, "none"
            grey.
        columns: Crops in a row.
        crop_size: (height, width) in pixels of a crop on the sheet.
        title: A line above.
        font: A TrueType or OpenType file for texts beyond Latin letters; Pillow's own font when
            None.

    Raises:
        InputError: ``labels`` or ``marks`` are not one per image, a label is no text, a mark is
            unknown, ``columns`` or ``crop_size`` is out of range, or the font cannot be read.
    """
    check_several("images", images)
    labels, marks = checked_labels(labels, len(images)), checked_marks(marks, len(images))
    columns = max(1, min(as_count(columns, "columns"), len(images)))
    sheet = _Sheet(-(-len(images) // columns), columns, crop_size, title=title, font=font)
    for i, (image, label, mark) in enumerate(zip(images, labels, marks, strict=True)):
        sheet.draw(image, i // columns, i % columns, label.split("\n", 1), mark)
    return sheet.picture


def ranked_list(
    queries: Sequence[ImageSource],
    result: SearchResult | Sequence[Sequence[Hit]],
    *,
    query_pids: Sequence[int | str | None] | None = None,
    query_camids: Sequence[int | str | None] | None = None,
    images: Mapping[int, ImageSource] | None = None,
    crop_size: tuple[int, int] = (192, 96),
    title: str | None = None,
    font: str | Path | None = None,
) -> Image.Image:
    """Draw search results: a row for each query, the query first, then its hits, best first.

    Args:
        queries: Q crops, anything that ``SANEncoder.encode`` takes.
        result: Of ``Gallery.search`` with these queries, or a list of hits for each.
        query_pids: Who the queries are; left out, what the result knows of them. Hits are then
            framed green (right) or red (wrong); one that names nobody is neither.
        query_camids: The cameras of the queries, for the captions; as ``query_pids``.
        images: The crop of an entry's id. Left out, or an id not in it: the entry's metadata
            under "path". A crop that is not there is an empty field.
        crop_size: (height, width) in pixels of a crop in the picture.
        title: A line above.
        font: As in :func:`contact_sheet`.

    Raises:
        InputError: The arguments are not one per query, ``crop_size`` is out of range, or the
            font cannot be read.
    """
    rankings = checked_rankings(queries, result, query_pids, query_camids)
    header = ranked_header(rankings)
    sheet = _Sheet(
        len(rankings), len(header), crop_size, title=title, font=font, header=header,
        first_apart=True,
    )  # fmt: skip
    for row, (query, pid, camid, hits) in enumerate(rankings):
        sheet.draw(query, row, 0, [*filter(None, who(pid, camid))], "query")
        for rank, hit in enumerate(ranked_crops(hits, pid, images), start=1):
            lines = hit.similarity, " · ".join(filter(None, (hit.person, hit.camera)))
            sheet.draw(hit.crop, row, rank, lines, hit.mark)
    return sheet.picture


def cluster_sheet(
    clustering: Clustering,
    images: Sequence[ImageSource] | None = None,
    *,
    clusters: Sequence[int] | None = None,
    pids: Sequence[int | str | None] | None = None,
    doubtful: float = DOUBTFUL,
    columns: int = 8,
    crop_size: tuple[int, int] = (192, 96),
    title: str | None = None,
    font: str | Path | None = None,
) -> Image.Image:
    """Draw a clustering: a row for each cluster, its most typical crop first.

    The other crops follow, the surest first, with their confidence. Of more than ``columns``, half
    are the surest and half the least sure.

    Args:
        clustering: Of :func:`sanreid.cluster_identities` or :meth:`sanreid.Gallery.cluster`.
        images: N crops, one per label, anything that ``SANEncoder.encode`` takes; an unreadable
            one is shown as an empty field. Left out: those that the clustering knows.
        clusters: The clusters to draw, in this order; all when None.
        pids: Who the N crops are, for the captions; left out, what a gallery's clustering
            proposes.
        doubtful: Crops with a confidence below this are marked.
        columns: Crops of a cluster shown beside the most typical one, at most.
        crop_size: (height, width) in pixels of a crop in the picture.
        title: A line above.
        font: As in :func:`contact_sheet`.

    Raises:
        InputError: There are no images, they or ``pids`` are not one per crop, a cluster does
            not exist, ``columns`` or ``crop_size`` is out of range, or the font cannot be read.
    """
    pictures = clustering.images if images is None else images
    if pictures is None:
        raise InputError(
            "This clustering knows no pictures: pass images, or with_images() to keep them in it."
        )
    check_several("images", pictures)
    count = len(clustering.labels)
    shown = checked_count("images", pictures, count, of="crop")
    people = checked_column(
        "pids", people_of(clustering) if pids is None else pids, count, of="crop"
    )
    columns = as_count(columns, "columns")
    rows = [
        cluster_row(clustering, number, columns, doubtful=doubtful, pids=people)
        for number in (range(len(clustering)) if clusters is None else clusters)
    ]
    wide = max((len(row.crops) for row in rows), default=1)
    sheet = _Sheet(
        len(rows), wide, crop_size, title=title, font=font,
        header=["most typical", "surest first"][:wide], first_apart=True,
    )  # fmt: skip
    for line, row in enumerate(rows):
        about = " · ".join(filter(None, [row.size, row.cameras]))
        for column, crop in enumerate(row.crops):
            lines = (crop.confidence, crop.person) if column else (row.name, about)
            sheet.draw(shown[crop.row], line, column, lines, crop.mark)
    return sheet.picture


class _Sheet:
    """A grid of framed crops with captions."""

    def __init__(
        self,
        rows: int,
        columns: int,
        crop_size: tuple[int, int],
        *,
        title: str | None = None,
        font: str | Path | None = None,
        header: Sequence[str] = (),
        first_apart: bool = False,
    ) -> None:
        self.height, self.width = checked_crop_size(crop_size)
        check_kind(title, "title", (str, type(None)), "a text or None")
        self.step = (self.width + 2 * FRAME + GAP, self.height + 2 * FRAME + CAPTION + GAP)
        self.apart = GAP * 2 if first_apart and columns > 1 else 0
        self.top = MARGIN + (TITLE if title else 0) + (HEADER if header else 0)
        self.bold, self.plain, heading = (_font(font, size) for size in (15, 12, 22))
        width = 2 * MARGIN + columns * self.step[0] - GAP + self.apart
        if title:
            title = _one_line(title)
            width = max(width, 2 * MARGIN + round(heading.getlength(title)))
        height = self.top + rows * self.step[1] - GAP + MARGIN
        self.picture = Image.new("RGB", (max(width, 1), max(height, 1)), PAPER)
        self.pen = ImageDraw.Draw(self.picture)
        if title:
            self.pen.text((MARGIN, MARGIN - 4), title, fill=INK, font=heading)
        for column, text in enumerate(header):
            x = self._left(column) + self.width / 2 + FRAME
            self.pen.text((x, self.top - 8), text, fill=FAINT, font=self.plain, anchor="ms")
        if self.apart and rows:
            x = self._left(1) - GAP / 2 - self.apart / 2
            self.pen.line([(x, self.top), (x, height - MARGIN)], fill=LINE, width=2)

    def draw(
        self,
        image: ImageSource | None,
        row: int,
        column: int,
        lines: Sequence[str],
        mark: Mark,
    ) -> None:
        """Draw one crop, its frame, its sign and its caption of at most two lines."""
        left, top = self._left(column), self.top + row * self.step[1]
        right, bottom = left + self.width + 2 * FRAME - 1, top + self.height + 2 * FRAME - 1
        self.pen.rounded_rectangle((left, top, right, bottom), radius=5, fill=FRAMES[mark])
        self.picture.paste(self._crop(image), (left + FRAME, top + FRAME))
        if mark in ("right", "wrong", "doubtful"):
            self._sign(right - 13, top + 13, mark)
        middle = (left + right) / 2
        styles = ((self.bold, INK, bottom + 19), (self.plain, FAINT, bottom + 35))
        for line, (font, ink, y) in zip(lines, styles, strict=False):
            self.pen.text((middle, y), self._fitting(line, font), fill=ink, font=font, anchor="ms")

    def _left(self, column: int) -> int:
        return MARGIN + column * self.step[0] + (self.apart if column else 0)

    def _crop(self, image: ImageSource | None) -> Image.Image:
        if image is not None:
            try:
                return Image.fromarray(load_crop(image, (self.height, self.width)))
            except ImageError:
                pass  # moved or damaged since it was embedded: the rest is still worth seeing
        empty = Image.new("RGB", (self.width, self.height), EMPTY)
        ImageDraw.Draw(empty).text(
            (self.width / 2, self.height / 2), "no picture", FAINT, self.plain, anchor="mm"
        )
        return empty

    def _sign(self, x: float, y: float, mark: Mark) -> None:
        self.pen.ellipse((x - 9, y - 9, x + 9, y + 9), fill=FRAMES[mark], outline=PAPER)
        if mark == "right":
            self.pen.line([(x - 4, y), (x - 1, y + 4), (x + 5, y - 4)], fill=PAPER, width=2)
            return
        if mark == "doubtful":
            self.pen.text((x, y), "?", fill=PAPER, font=self.bold, anchor="mm")
            return
        self.pen.line([(x - 4, y - 4), (x + 4, y + 4)], fill=PAPER, width=2)
        self.pen.line([(x - 4, y + 4), (x + 4, y - 4)], fill=PAPER, width=2)

    def _fitting(self, text: str, font: _Font) -> str:
        room = self.width + 2 * FRAME + GAP - 2
        text = _one_line(text)
        if font.getlength(text) <= room:
            return text
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        return text + "..."


def _one_line(text: str) -> str:
    """Return a text without line breaks; only its beginning if it is far too long to be shown."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."


def _font(font: str | Path | None, size: int) -> _Font:
    if font is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(font, size)
    except (OSError, ValueError) as error:  # a null character, half a character
        raise InputError(
            f"The font {str(font)!r} cannot be read ({error}); name a .ttf or .otf file."
        ) from error
