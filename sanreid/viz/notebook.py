"""How results show themselves in notebooks: HTML that carries its pictures with it.

The classes' ``_repr_html_`` call these; nothing here is loaded before one is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from sanreid.utils.words import counted
from sanreid.viz.clusters import DOUBTFUL, cluster_row, people_of
from sanreid.viz.figures.plots import bars, cmc_plot
from sanreid.viz.markup import block, label, row, table, text, tile, who
from sanreid.viz.ranked import ranked_crops
from sanreid.viz.thumbnails import thumbnail

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sanreid.viz.markup import Mark
    from sanreid.viz.protocols import Clustering, Gallery, Hit, Report, SearchResult

__all__ = ["clustering_html", "gallery_html", "report_html", "result_html"]

SHOWN_QUERIES = 10
SHOWN_TILES = 100  # of hits, over all queries shown
_SHOWN_GROUPS = 12  # cameras, and people, of a gallery
_SAMPLES = 10
_SHOWN_CLUSTERS = 12
_SHOWN_MEMBERS = 8  # of a cluster, and of the crops in none
_LISTED_CLUSTERS = 40  # where there are no pictures


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


def clustering_html(clustering: Clustering) -> str:
    """Show a clustering: a row of crops per cluster, or a table where there are no pictures."""
    alone = np.flatnonzero(clustering.labels < 0)
    clustered = clustering.confidence[clustering.labels >= 0]
    doubtful = int((clustered < DOUBTFUL).sum())
    caption = (
        f"{len(clustering.labels):,} crops: {len(clustering):,} clusters, {len(alone):,} alone, "
        f"threshold {clustering.threshold:g}; {doubtful:,} doubtful"
    )
    if clustering.images is None:
        if len(clustering) > _LISTED_CLUSTERS:
            caption += f"; the first {_LISTED_CLUSTERS} clusters are listed"
        return block(caption, _cluster_table(clustering))
    shown = range(min(len(clustering), _SHOWN_CLUSTERS))
    if len(clustering) > len(shown):
        caption += f"; the first {len(shown)} clusters are shown"
    rows = [row(_cluster_tiles(clustering, number), apart=True) for number in shown]
    if len(alone):
        rows.append(row(_alone_tiles(clustering, alone), apart=True))
    return block(caption, *rows)


def _cluster_tiles(clustering: Clustering, number: int) -> list[str]:
    """Return the tiles of a cluster, its most typical crop first."""
    pids = people_of(clustering)
    known = cluster_row(
        clustering, number, _SHOWN_MEMBERS, pids=None if pids is None else list(pids)
    )
    tiles = []
    for column, crop in enumerate(known.crops):
        lines = [crop.confidence, crop.person]
        if not column:
            lines = [*filter(None, (known.name, crop.person, known.size, known.cameras))]
        facts = [known.name, f"confidence {crop.confidence}", crop.person]
        facts += ["doubtful"] if crop.mark == "doubtful" else []
        tiles.append(_crop_tile(clustering, crop.row, crop.mark, lines, facts))
    return tiles


def _alone_tiles(clustering: Clustering, alone: NDArray[np.int64]) -> list[str]:
    tiles = [label(("alone", counted(len(alone), "crop", "crops")))]
    for crop in alone[:_SHOWN_MEMBERS].tolist():
        confidence = f"{clustering.confidence[crop]:.2f}"
        facts = ["alone", f"confidence {confidence}"]
        tiles.append(_crop_tile(clustering, crop, "none", (confidence,), facts))
    return tiles


def _crop_tile(
    clustering: Clustering, crop: int, mark: Mark, lines: Sequence[str], facts: Sequence[str]
) -> str:
    """Return the tile of one crop; with the id that corrects it, where it is an entry."""
    source = None if clustering.images is None else clustering.images[crop]
    ids = getattr(clustering, "ids", None)
    number = f"row {crop}" if ids is None else f"entry {ids[crop]}"
    path = str(source) if isinstance(source, (str, PurePath)) else ""
    about = ", ".join(filter(None, [number, *facts, path]))
    if ids is not None:
        lines = [*lines, f"#{ids[crop]}"]
    return tile(thumbnail(source), mark, lines, about=about)


def _cluster_table(clustering: Clustering) -> str:
    head = ("cluster", "crops", "cameras", "first", "last", "confidence", "doubtful", "person")
    pids = people_of(clustering)
    rows: list[tuple[object, ...]] = []
    for number in range(min(len(clustering), _LISTED_CLUSTERS)):
        members = clustering.members(number)
        confidence = clustering.confidence[members]
        people = [] if pids is None else [pids[row] for row in members.tolist()]
        names = dict.fromkeys(str(pid) for pid in people if pid is not None)
        rows.append(
            (
                number, len(members), ", ".join(map(str, clustering.cameras[number])),
                *(None if np.isnan(time) else f"{time:.15g}" for time in clustering.times[number]),
                f"{confidence.mean():.2f}", int((confidence < DOUBTFUL).sum()), ", ".join(names),
            )
        )  # fmt: skip
    return table(head, rows)


def gallery_html(gallery: Gallery) -> str:
    """Show a gallery: what it holds by camera and person, and some of its crops."""
    stats = gallery.stats()
    where = f"at {stats['path']}" if stats["path"] else "in memory"
    caption = (
        f"Gallery {where}: {counted(stats['entries'], 'entry', 'entries')}, "
        f"{counted(stats['pids'], 'person', 'people')}, "
        f"{counted(stats['camids'], 'camera', 'cameras')}, dim {gallery.dim}"
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
    for numbers, name, nobody in (
        (gallery.counts("camid"), "camera", "no camera"),
        (gallery.counts("pid"), "person", "nobody"),
    ):
        counts = list(numbers.items())
        groups = [
            (_group(name, nobody, value), number) for value, number in counts[:_SHOWN_GROUPS]
        ]
        if len(counts) > _SHOWN_GROUPS:
            rest = sum(number for _, number in counts[_SHOWN_GROUPS:])
            groups.append((f"{len(counts) - _SHOWN_GROUPS:,} more", rest))
        charts.append(bars(f"Entries by {name}", groups))
    side = '<div style="display:flex;flex-wrap:wrap;gap:28px">' + "".join(charts) + "</div>"
    return block(caption, *([row(tiles)] if tiles else []), side)


def _group(name: str, nobody: str, value: int | str | None) -> str:
    """Return what a bar is called: a named camera by its name alone."""
    if value is None:
        return nobody
    return str(value) if name == "camera" and isinstance(value, str) else f"{name} {value}"


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
