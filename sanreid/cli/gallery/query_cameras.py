"""Which cameras and times the queries of ``sanreid gallery search`` and ``identify`` are of."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sanreid.cli.gallery.tables import (
    FIELDS,
    TableRow,
    add_columns_option,
    as_camera,
    as_time,
    is_table,
    read_table,
)
from sanreid.cli.gallery.travelling import Gaps, read_travel_times
from sanreid.cli.labels import AnyLabel, label_files_of
from sanreid.cli.options import add_names_option, file_path
from sanreid.cli.output import say
from sanreid.errors import DatasetError

if TYPE_CHECKING:
    from sanreid.gallery import Gallery

__all__ = ["QueryFiles", "add_camera_options", "query_files"]

_OF_TRAVEL = ("camid", "timestamp")  # what travel times need of a query


@dataclass(frozen=True, slots=True)
class QueryFiles:
    """The files to search with, and what is known of them.

    Attributes:
        files: Images and folders.
        camids: Camera by file, as far as it is known.
        times: When a file was taken, as far as it is known.
        camid: The camera of all of them.
        time: When all of them were taken.
        same_camera: As in :meth:`sanreid.Gallery.search`.
        gaps: Travel times; empty for no rule.
    """

    files: Sequence[Path]
    same_camera: Literal["keep", "exclude"]
    camid: int | str | None = None
    time: Any = None
    camids: Mapping[Path, int | str | None] = field(default_factory=dict)
    times: Mapping[Path, Any] = field(default_factory=dict)
    gaps: Mapping[str, Gaps] = field(default_factory=dict)

    def keywords(self, gallery: Gallery, paths: Sequence[Path | str]) -> dict[str, Any]:
        """Return the keywords of a search; say which queries a normalised gallery knows less of.

        Args:
            gallery: That is searched.
            paths: The queries that were embedded.
        """
        asked = [Path(path) for path in paths]
        camids = [self.camid if self.camid is not None else self.camids.get(p) for p in asked]
        _say_unknown(gallery, camids)
        if not any(camid is not None for camid in camids):
            return {}
        rules: dict[str, Any] = {"query_camids": camids, "same_camera": self.same_camera}
        if self.gaps:
            times = [self.time if self.time is not None else self.times.get(p) for p in asked]
            rules |= {"query_timestamps": times, **self.gaps}
        return rules


def add_camera_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--camid``, ``--names``, ``--same-camera``, and what travel times need."""
    group = parser.add_argument_group("cameras and times of the queries")
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
    add_columns_option(either, source="QUERY", metadata=False)
    group.add_argument(
        "--same-camera",
        choices=("keep", "exclude"),
        default="keep",
        help="whether entries of a query's own camera are found, too (default: keep)",
    )
    group.add_argument(
        "--timestamp",
        type=_when,
        metavar="TIME",
        help="when all queries were taken: seconds, or a time such as 2026-05-01T12:00Z",
    )
    group.add_argument(
        "--travel-times",
        type=file_path,
        metavar="FILE",
        help="leave out entries that would have had to be faster or slower between two cameras: "
        "a CSV table with the columns camid_a, camid_b, min_gap_s and max_gap_s. The queries need "
        "cameras and times",
    )
    parser.set_defaults(usage_error=parser.error)


def query_files(args: argparse.Namespace) -> QueryFiles:
    """Find the queries and what is known of them, before the long work.

    Raises:
        InputError: A folder cannot be read.
        DatasetError: The names are not of the scheme that was asked for, a table is wrong, or a
            rule would have no effect, because no query has what it needs.
    """
    if others := (args.columns or {}).keys() - set(FIELDS):
        args.usage_error(
            f"--columns reads path, camid and timestamp of queries, not {min(others)}"
        )
    if args.timestamp is not None and args.travel_times is None:
        args.usage_error("--timestamp needs --travel-times")
    tabled = is_table(args.query, args)
    no_cameras = args.camid is None and args.names == "none" and not tabled
    if tabled and args.names != "none":
        args.usage_error("--names is about the names of files: a table of queries has its cameras")
    if args.same_camera == "exclude" and no_cameras:
        args.usage_error("--same-camera exclude needs --camid or --names, or a table of queries")
    if args.travel_times is not None:
        if no_cameras:
            args.usage_error("--travel-times needs --camid or --names, or a table of queries")
        if args.timestamp is None and not tabled:
            args.usage_error("--travel-times needs --timestamp, or a table of queries")
    gaps = {} if args.travel_times is None else read_travel_times(args.travel_times)
    files: Sequence[Path] = args.query
    labels: Mapping[Path, AnyLabel] = {}
    times: dict[Path, Any] = {}
    if tabled:
        table = read_table(args.query[0], args.columns)
        files = list(table)
        labels = {path: (row.pid, row.camid) for path, row in table.items()}
        times = {path: row.timestamp for path, row in table.items()}
        _check_known(args, table.values())
    elif args.names != "none":
        labels, _ = label_files_of(args.query, args)
        files = list(labels) or files  # where nothing was found, embedding says why
        _check_named(args, labels)
    return QueryFiles(
        files,
        args.same_camera,
        args.camid,
        args.timestamp,
        {path: camid for path, (_, camid) in labels.items()},
        times,
        gaps,
    )


def _check_known(args: argparse.Namespace, rows: Collection[TableRow]) -> None:
    """Refuse a rule that would have no effect, for want of what the table of queries lacks.

    Raises:
        DatasetError: The table has no camera, or no time, of any query.
    """
    rule = _rule(args)
    needed = () if rule is None else ("camid",) if args.travel_times is None else _OF_TRAVEL
    for name in needed:
        if getattr(args, name) is None and all(getattr(row, name) is None for row in rows):
            raise DatasetError(
                f"{args.query[0]} has the {name} of no query, which {rule} needs: fill its column "
                f"(--columns path=COLUMN,{name}=COLUMN), or pass --{name}."
            )


def _check_named(args: argparse.Namespace, labels: Mapping[Path, AnyLabel]) -> None:
    """Refuse a rule that would have no effect, because no file's name tells a camera.

    Raises:
        DatasetError: There are files, and none of them has a camera.
    """
    rule = _rule(args)
    told = [camid for path, (_, camid) in labels.items() if path.exists()]
    if rule is not None and told and all(camid is None for camid in told):
        raise DatasetError(
            f"The name of no query tells its camera, which {rule} needs: pass --camid, a table "
            "of queries, or with --names how the files are named."
        )


def _rule(args: argparse.Namespace) -> str | None:
    """Return the option, if there is one, that needs the queries' cameras."""
    if args.travel_times is not None:
        return "--travel-times"
    return None if args.same_camera == "keep" else "--same-camera exclude"


def _when(text: str) -> Any:  # noqa: ANN401 - seconds or a datetime
    try:
        time = as_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if time is None:
        raise argparse.ArgumentTypeError("a time is wanted, not an empty text")
    return time


def _camera(text: str) -> int | str:
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        if (camera := as_camera(text.strip())) is not None:
            return camera
    raise argparse.ArgumentTypeError(f"{text!r} is no camera; wanted a whole number or a name")


def _say_unknown(gallery: Gallery, camids: Sequence[int | str | None]) -> None:
    from sanreid.datasets.cameras import named

    normalizer = gallery.camera_normalizer
    if normalizer is None:
        return
    known = named(normalizer.counts, gallery.camera_names)
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
