"""Which cameras the queries of ``sanreid gallery search`` and ``identify`` come from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sanreid.cli.labels import UNKNOWN, Label, read_labels
from sanreid.cli.options import add_names_option
from sanreid.cli.output import say

if TYPE_CHECKING:
    from sanreid.gallery import Gallery

__all__ = ["QueryFiles", "add_camera_options", "query_files"]


class QueryFiles(NamedTuple):
    """The files to search with, and what their names tell."""

    files: Sequence[Path]
    labels: dict[Path, Label]
    camid: int | str | None  # of all of them
    same_camera: Literal["keep", "exclude"]

    def keywords(self, gallery: Gallery, paths: Sequence[Path | str]) -> dict[str, Any]:
        """Return the keywords of a search; say which queries a normalised gallery knows less of.

        Args:
            gallery: That is searched.
            paths: The queries that were embedded.
        """
        camids = [self._camid(Path(path)) for path in paths]
        _say_unknown(gallery, camids)
        if not any(camid is not None for camid in camids):
            return {}
        return {"query_camids": camids, "same_camera": self.same_camera}

    def _camid(self, path: Path) -> int | str | None:
        return self.labels.get(path, UNKNOWN)[1] if self.camid is None else self.camid


def add_camera_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--camid``, ``--names`` and ``--same-camera``."""
    group = parser.add_argument_group("cameras of the queries")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--camid", type=_camera, metavar="N", help="the camera of all queries, a number or a name"
    )
    add_names_option(
        either,
        more=("none",),
        default="none",
        default_means="their cameras are not known",
    )
    group.add_argument(
        "--same-camera",
        choices=("keep", "exclude"),
        default="keep",
        help="whether entries of a query's own camera are found, too (default: keep)",
    )
    parser.set_defaults(usage_error=parser.error)


def query_files(args: argparse.Namespace) -> QueryFiles:
    """Find the queries and read their names, before the long work.

    Raises:
        InputError: A folder cannot be read.
        DatasetError: The names are not of the scheme that was asked for.
    """
    if args.same_camera == "exclude" and args.camid is None and args.names == "none":
        args.usage_error("--same-camera exclude needs --camid or --names")
    if args.names == "none":
        return QueryFiles(args.query, {}, args.camid, args.same_camera)
    collect = args.on_error == "collect"
    labels = read_labels(args.query, args.names, failures=[] if collect else None)
    # where nothing was found, embedding says why
    return QueryFiles(list(labels) or args.query, labels, None, args.same_camera)


def _camera(text: str) -> int | str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a camera is wanted, not an empty text")
    try:
        return int(text)
    except ValueError:
        return text


def _say_unknown(gallery: Gallery, camids: Sequence[int | str | None]) -> None:
    normalizer = gallery.camera_normalizer
    if normalizer is None:
        return
    names = gallery.camera_names
    known = {names.get(number, number) for number in normalizer.counts}
    without = [camid for camid in camids if camid not in known]
    if not without:
        return
    others = sorted({str(camid) for camid in without if camid is not None})
    which = f" (it has no mean of camera {', '.join(others)})" if others else ""
    many = "all queries count"
    if len(without) < len(camids):
        many = (
            f"{len(without)} of {len(camids)} queries {'counts' if len(without) == 1 else 'count'}"
        )
    elif len(camids) == 1:
        many = "the query counts"
    say(
        f"the gallery's cameras are normalised, and {many} as of an unknown camera{which}; "
        "--camid or --names tells it"
    )
