"""How results show themselves in notebooks: HTML that carries its pictures with it.

The classes' ``_repr_html_`` call these; nothing here is loaded before one is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sanreid.viz.figures.plots import bars, cmc_plot
from sanreid.viz.markup import block, label, row, table, text, tile, who
from sanreid.viz.ranked import ranked_crops
from sanreid.viz.thumbnails import thumbnail

if TYPE_CHECKING:
    from sanreid.viz.protocols import Gallery, Hit, Report, SearchResult

__all__ = ["gallery_html", "report_html", "result_html"]

SHOWN_QUERIES = 10
SHOWN_TILES = 100  # of hits, over all queries shown
_SHOWN_GROUPS = 12  # cameras, and people, of a gallery
_SAMPLES = 10


def result_html(result: SearchResult) -> str:
    """Show a search result: a row of crops for each query, or a table where there are none."""
    queries = min(len(result), SHOWN_QUERIES)
    num_hits = max(10, SHOWN_TILES // max(queries, 1))
    shown = [result[query][:num_hits] for query in range(queries)]
    caption = result.summary()
    if len(result) > queries or int(result.counts.max(initial=0)) > num_hits:
        asked = "" if len(result) == 1 else f"{queries} queries and "
        caption += f"; the first {asked}{num_hits} hits are shown"
    has_pictures = result.query_images is not None or any(
        "path" in hit.metadata for hits in shown for hit in hits
    )
    if not has_pictures:
        return block(caption, _result_table(shown))
    rows = []
    for query, hits in enumerate(shown):
        pid = None if result.query_pids is None else result.query_pids[query]
        tiles = [_query_tile(result, query), *_hit_tiles(hits, pid)]
        if not hits:
            tiles.append('<div style="align-self:center;font-size:12px">no hits</div>')
        rows.append(row(tiles, apart=True))
    return block(caption, *rows)


def gallery_html(gallery: Gallery) -> str:
    """Show a gallery: what it holds by camera and person, and some of its crops."""
    stats = gallery.stats()
    where = f"at {stats['path']}" if stats["path"] else "in memory"
    caption = (
        f"Gallery {where}: {stats['entries']:,} entries, {stats['pids']:,} people, "
        f"{stats['camids']:,} cameras, dim {gallery.dim}"
    )
    calibration = gallery.calibration
    if calibration is not None:
        caption += (
            f"; threshold {calibration.threshold:.3f} at "
            f"{calibration.false_match_rate:.2g} false matches"
        )
    ids = gallery.ids
    if not len(ids):
        return block(caption)
    shown = sorted({round(i * (len(ids) - 1) / (_SAMPLES - 1)) for i in range(_SAMPLES)})
    tiles = []
    for entry in gallery.get(ids[shown]):
        picture = thumbnail(entry.metadata.get("path"))
        if picture is not None:
            person, camera = who(entry.pid, entry.camid)
            about = f"entry {entry.id}, {_path(entry.metadata)}"
            tiles.append(tile(picture, "none", (person or f"#{entry.id}", camera), about=about))
    charts = []
    for counted, name, nobody in (
        (gallery.counts("camid"), "camera", "no camera"),
        (gallery.counts("pid"), "person", "nobody"),
    ):
        counts = list(counted.items())
        groups = [
            (nobody if value is None else f"{name} {value}", number)
            for value, number in counts[:_SHOWN_GROUPS]
        ]
        if len(counts) > _SHOWN_GROUPS:
            rest = sum(number for _, number in counts[_SHOWN_GROUPS:])
            groups.append((f"{len(counts) - _SHOWN_GROUPS:,} more", rest))
        charts.append(bars(f"Entries by {name}", groups))
    side = '<div style="display:flex;flex-wrap:wrap;gap:28px">' + "".join(charts) + "</div>"
    return block(caption, *([row(tiles)] if tiles else []), side)


def report_html(report: Report) -> str:
    """Show an evaluation: its figures and the CMC curve."""
    ranks = [(f"rank-{k}", report.cmc[k - 1]) for k in (1, 5, 10) if k <= len(report.cmc)]
    figures = [("mAP", report.mAP), *ranks, ("mINP", report.mINP)]
    caption = (
        f"Protocol {report.protocol}: {report.num_valid_queries:,} of {report.num_queries:,} "
        f"queries, gallery of {report.num_gallery:,}"
    )
    cells = "".join(
        '<div style="min-width:64px"><div style="font-size:19px;font-weight:600">'
        f'{value * 100:.1f} %</div><div style="font-size:11px;opacity:.75">{text(name)}</div>'
        "</div>"
        for name, value in figures
    )
    line = "display:flex;flex-wrap:wrap;gap:18px;margin:8px 0"
    return block(caption, f'<div style="{line}">{cells}</div>', cmc_plot(report.cmc))


def _query_tile(result: SearchResult, query: int) -> str:
    pid = None if result.query_pids is None else result.query_pids[query]
    camid = None if result.query_camids is None else result.query_camids[query]
    name = "query" if len(result) == 1 else f"query {query}"
    lines = (name, *who(pid, camid))
    images = result.query_images
    if images is None or query >= len(images):
        return label(lines)
    return tile(thumbnail(images[query]), "query", lines, about=", ".join(filter(None, lines)))


def _hit_tiles(hits: Sequence[Hit], pid: int | str | None) -> list[str]:
    tiles = []
    for rank, (hit, shown) in enumerate(zip(hits, ranked_crops(hits, pid), strict=True), start=1):
        facts = [f"rank {rank}", f"similarity {hit.similarity:.4f}", f"entry {hit.id}"]
        facts += [shown.person, shown.camera, "" if shown.mark == "none" else shown.mark]
        about = ", ".join(filter(None, [*facts, _path(hit.metadata)]))
        caption = (shown.similarity, shown.person, shown.camera)
        tiles.append(tile(thumbnail(shown.crop), shown.mark, caption, about=about))
    return tiles


def _path(metadata: dict[str, object]) -> str:
    return str(metadata.get("path", ""))


def _result_table(shown: list[Sequence[Hit]]) -> str:
    head = ("query", "rank", "id", "similarity", "pid", "camid", "timestamp", "metadata")
    rows: list[tuple[object, ...]] = []
    for query, hits in enumerate(shown):
        rows += [
            (query, rank, hit.id, f"{hit.similarity:.4f}", hit.pid, hit.camid, hit.timestamp,
             hit.metadata or None)
            for rank, hit in enumerate(hits, start=1)
        ]  # fmt: skip
        if not hits:
            rows.append((query, None, None, "no hits", None, None, None, None))
    return table(head, rows)
