"""What a ranked list shows, the same in a picture, a figure and a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, NamedTuple

from sanreid.images import ImageSource
from sanreid.utils.arguments import check_kind
from sanreid.utils.arrays import plain
from sanreid.viz.checks import check_several, checked_column, checked_count
from sanreid.viz.markup import Mark, mark_of, who

if TYPE_CHECKING:
    from sanreid.viz.protocols import Hit, SearchResult

__all__ = ["RankedCrop", "Ranking", "checked_rankings", "ranked_crops", "ranked_header"]


class Ranking(NamedTuple):
    """A query, who it is as far as that is known, and its hits, best first."""

    query: ImageSource
    pid: int | str | None
    camid: int | str | None
    hits: list[Hit]


class RankedCrop(NamedTuple):
    """A hit as it is shown.

    Attributes:
        crop: Its picture; None where nothing is known of it.
        mark: Whether it is right.
        similarity: To three decimal places.
        person: Its person, "" if not known.
        camera: Its camera, "" if not known.
    """

    crop: Any
    mark: Mark
    similarity: str
    person: str
    camera: str


def ranked_crops(
    hits: Iterable[Hit],
    pid: int | str | None,
    images: Mapping[int, ImageSource] | None = None,
) -> list[RankedCrop]:
    """Return how to show the hits of a query.

    Args:
        hits: Best first.
        pid: The query's person, if known.
        images: The crop of an entry's id. If None, or for an id not in it: the entry's metadata
            under "path".
    """
    return [
        RankedCrop(
            (images or {}).get(hit.id, hit.metadata.get("path")),
            mark_of(plain(hit.pid), pid),
            f"{hit.similarity:.3f}",
            *who(plain(hit.pid), plain(hit.camid)),
        )
        for hit in hits
    ]


def ranked_header(rankings: Sequence[Ranking]) -> list[str]:
    """Return the titles of the columns: the query and the ranks of the longest ranking."""
    longest = max((len(ranking.hits) for ranking in rankings), default=0)
    return ["query", *(str(rank) for rank in range(1, longest + 1))]


def checked_rankings(
    queries: Sequence[ImageSource],
    result: SearchResult | Sequence[Sequence[Hit]],
    query_pids: Sequence[int | str | None] | None,
    query_camids: Sequence[int | str | None] | None,
) -> list[Ranking]:
    """Put together what belongs to each query; what is not given, as the result knows it.

    Raises:
        InputError: The queries are one image, or something is not one per query.
    """
    check_several("queries", queries)
    count = len(queries)
    check_kind(result, "result", Sized, "a search result, or a list of hits for each query")
    hits = checked_count(
        "result", [list(result[i]) for i in range(len(result))], count, of="query"
    )
    if query_pids is None:
        query_pids = getattr(result, "query_pids", None)
    if query_camids is None:
        query_camids = getattr(result, "query_camids", None)
    pids = checked_column("query_pids", query_pids, count, of="query")
    camids = checked_column("query_camids", query_camids, count, of="query")
    return [Ranking(*row) for row in zip(queries, pids, camids, hits, strict=True)]
