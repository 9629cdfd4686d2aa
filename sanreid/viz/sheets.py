"""Contact sheets and ranked lists of crops.

A right hit has a green frame and a tick, a wrong one a red frame and a cross: the sign says it to
those who do not tell the colours apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from PIL import Image, ImageDraw, ImageFont

from sanreid.errors import ImageError, InputError
from sanreid.images import ImageSource, load_crop

if TYPE_CHECKING:
    from sanreid.gallery.results import Hit, SearchResult

__all__ = ["Mark", "contact_sheet", "ranked_list"]

Mark = Literal["right", "wrong", "query", "none"]

PAPER = (255, 255, 255)
INK = (32, 33, 36)
FAINT = (112, 117, 122)
LINE = (224, 226, 229)
EMPTY = (241, 243, 244)
FRAMES = {
    "right": (24, 148, 74),
    "wrong": (206, 46, 46),
    "query": (45, 92, 190),
    "none": (176, 180, 186),
}

MARGIN, GAP, FRAME = 24, 12, 4
CAPTION, TITLE, HEADER = 38, 44, 26


def contact_sheet(
    images: Sequence[ImageSource],
    *,
    labels: Sequence[str] | None = None,
    marks: Sequence[Mark] | None = None,
    columns: int = 8,
    crop_size: tuple[int, int] = (192, 96),
    title: str | None = None,
) -> Image.Image:
    """Lay crops out in rows.

    Args:
        images: N crops, anything that ``SANEncoder.encode`` takes; an unreadable one is shown as
            an empty field.
        labels: N captions; a line break begins the second, fainter line.
        marks: N frames: "right" green, "wrong" red, "query" blue, "none" grey.
        columns: Crops in a row.
        crop_size: (height, width) in pixels of a crop on the sheet.
        title: A line above.

    Raises:
        InputError: ``labels`` or ``marks`` are not one an image, or ``columns`` is below 1.
    """
    labels = [""] * len(images) if labels is None else labels
    marks = ["none"] * len(images) if marks is None else marks
    if not len(images) == len(labels) == len(marks):
        raise InputError(
            f"labels and marks must be one an image; got {len(labels)} labels and {len(marks)} "
            f"marks for {len(images)} images."
        )
    if columns < 1:
        raise InputError(f"columns must be at least 1; got {columns}.")
    columns = max(1, min(columns, len(images)))
    sheet = _Sheet(-(-len(images) // columns), columns, crop_size, title=title)
    for i, (image, label, mark) in enumerate(zip(images, labels, marks, strict=True)):
        sheet.place(image, i // columns, i % columns, label, mark)
    return sheet.picture


def ranked_list(
    queries: Sequence[ImageSource],
    result: SearchResult | Sequence[Sequence[Hit]],
    *,
    query_pids: Sequence[int | str | None] | None = None,
    query_camids: Sequence[int | None] | None = None,
    images: Mapping[int, ImageSource] | None = None,
    crop_size: tuple[int, int] = (192, 96),
    title: str | None = None,
) -> Image.Image:
    """Draw search results: a row for each query, the query first, then its hits, best first.

    Args:
        queries: Q crops, anything that ``SANEncoder.encode`` takes.
        result: Of ``Gallery.search`` with these queries, or a list of hits for each.
        query_pids: Who the queries are; left out, what the result knows of them. Hits are then
            framed green (right) or red (wrong).
        query_camids: The cameras of the queries, for the captions; as ``query_pids``.
        images: The crop of an entry's id. Left out, or an id not in it: the entry's metadata
            under "path". A crop that is not there is an empty field.
        crop_size: (height, width) in pixels of a crop in the picture.
        title: A line above.

    Raises:
        InputError: The arguments are not one a query.
    """
    count = len(queries)
    query_pids = getattr(result, "query_pids", None) if query_pids is None else query_pids
    query_camids = getattr(result, "query_camids", None) if query_camids is None else query_camids
    pids = [None] * count if query_pids is None else list(query_pids)
    camids = [None] * count if query_camids is None else list(query_camids)
    for name, number in (
        ("result", len(result)),
        ("query_pids", len(pids)),
        ("query_camids", len(camids)),
    ):
        if number != count:
            raise InputError(f"{name} must be one a query; got {number} for {count} queries.")
    places = max((len(result[row]) for row in range(count)), default=0)
    header = ["query", *(f"{rank}" for rank in range(1, places + 1))]
    sheet = _Sheet(count, 1 + places, crop_size, title=title, header=header, first_apart=True)
    for row, query in enumerate(queries):
        who = _line(pids[row], camids[row])
        sheet.place(query, row, 0, f"{who[0]}\n{who[1]}".strip(), "query")
        for rank, hit in enumerate(result[row], start=1):
            mark: Mark = "none"
            if pids[row] is not None:
                mark = "right" if hit.pid == pids[row] else "wrong"
            crop = (images or {}).get(hit.id, hit.metadata.get("path"))
            about = "   ".join(filter(None, _line(hit.pid, hit.camid)))
            sheet.place(crop, row, rank, f"{hit.similarity:.3f}\n{about}", mark)
    return sheet.picture


def _line(pid: int | str | None, camid: int | None) -> tuple[str, str]:
    return "" if pid is None else f"id {pid}", "" if camid is None else f"cam {camid}"


class _Sheet:
    """A grid of framed crops with captions."""

    def __init__(
        self,
        rows: int,
        columns: int,
        crop_size: tuple[int, int],
        *,
        title: str | None = None,
        header: Sequence[str] = (),
        first_apart: bool = False,
    ) -> None:
        self.height, self.width = crop_size
        self.step = (self.width + 2 * FRAME + GAP, self.height + 2 * FRAME + CAPTION + GAP)
        self.apart = GAP * 2 if first_apart and columns > 1 else 0
        self.top = MARGIN + (TITLE if title else 0) + (HEADER if header else 0)
        self.bold, self.plain = ImageFont.load_default(15), ImageFont.load_default(12)
        heading = ImageFont.load_default(22)
        width = 2 * MARGIN + columns * self.step[0] - GAP + self.apart
        if title:
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

    def place(
        self, image: ImageSource | None, row: int, column: int, label: str, mark: Mark
    ) -> None:
        """Draw one crop, its frame, its sign and its caption."""
        left, top = self._left(column), self.top + row * self.step[1]
        right, bottom = left + self.width + 2 * FRAME - 1, top + self.height + 2 * FRAME - 1
        self.pen.rounded_rectangle((left, top, right, bottom), radius=5, fill=FRAMES[mark])
        self.picture.paste(self._crop(image), (left + FRAME, top + FRAME))
        if mark in ("right", "wrong"):
            self._sign(right - 13, top + 13, mark)
        first, _, second = label.partition("\n")
        middle = (left + right) / 2
        for text, font, ink, y in (
            (first, self.bold, INK, bottom + 19),
            (second, self.plain, FAINT, bottom + 35),
        ):
            text = self._fitting(text, font)  # noqa: PLW2901 - the shown form
            self.pen.text((middle, y), text, fill=ink, font=font, anchor="ms")

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
        self.pen.line([(x - 4, y - 4), (x + 4, y + 4)], fill=PAPER, width=2)
        self.pen.line([(x - 4, y + 4), (x + 4, y - 4)], fill=PAPER, width=2)

    def _fitting(self, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
        room = self.width + 2 * FRAME + GAP - 2
        if font.getlength(text) <= room:
            return text
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        return text + "..."
