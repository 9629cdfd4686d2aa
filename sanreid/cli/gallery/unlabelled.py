"""Cameras and people without labels: ``normalize-cameras``, ``cluster`` and ``decide``."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any, Literal

from sanreid.cli.gallery.shared import WHERE, add_path, check_is_there
from sanreid.cli.options import add_format_options, file_path, json_object
from sanreid.cli.output import print_json, print_rows, printable, say, shown
from sanreid.utils.words import counted

if TYPE_CHECKING:
    from sanreid.cli.gallery.shared import Actions
    from sanreid.gallery.people.clusters import EntryClustering
    from sanreid.gallery.people.naming import Assignment

__all__ = ["add_to"]

_COLUMNS = ("cluster", "crops", "cameras", "first", "last", "confidence", "pids", "proposed")


def add_to(actions: Actions) -> None:
    """Add the commands."""
    normalize = actions.add_parser(
        "normalize-cameras", help="take each camera's mean embedding out of all similarities"
    )
    add_path(normalize)
    how = normalize.add_mutually_exclusive_group()
    how.add_argument("--off", action="store_true", help="turn normalisation off")
    how.add_argument(
        "--shrinkage",
        type=_shrinkage,
        default="auto",
        metavar="S",
        help="0 subtracts each camera's own mean, 1 the mean over cameras from all "
        "(default: auto, estimated for each camera)",
    )
    add_format_options(normalize, csv=False)
    normalize.set_defaults(run=_normalize)

    cluster = actions.add_parser("cluster", help="group entries into people, without labels")
    add_path(cluster)
    cluster.add_argument("--where", type=json_object, metavar="JSON", help=WHERE)
    cluster.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="similarity down to which groups are joined; higher: more and purer clusters "
        "(default: that of 'sanreid gallery calibrate', else 0.475)",
    )
    cluster.add_argument(
        "--tracklets",
        metavar="KEY",
        help="a metadata key: entries with the same value under it are one person",
    )
    cluster.add_argument(
        "--apply", action="store_true", help="give the entries the people that are proposed"
    )
    add_format_options(cluster)
    cluster.set_defaults(run=_cluster)

    decide = actions.add_parser(
        "decide", help="apply decisions (same, different, name) saved by a page of clusters"
    )
    add_path(decide)
    decide.add_argument(
        "file",
        type=file_path,
        metavar="FILE",
        help="JSON, as the page of 'sanreid gallery browse --clusters' saves it",
    )
    add_format_options(decide, csv=False)
    decide.set_defaults(run=_decide)


def _shrinkage(text: str) -> float | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"auto or a number from 0 to 1 is wanted, not {text!r}")
    return number


def _normalize(args: argparse.Namespace) -> int:
    from sanreid.datasets.cameras import named
    from sanreid.gallery import Gallery

    check_is_there(args.path)
    with Gallery.open(args.path) as gallery:
        was_calibrated = gallery.calibration is not None
        normalizer = gallery.normalize_cameras(
            None if args.off else "fit", shrinkage=args.shrinkage
        )
        names = gallery.camera_names
    counts = {} if normalizer is None else normalizer.counts
    if args.json:
        cameras = [
            {"camid": camid, "entries": count}
            for camid, count in zip(named(counts, names), counts.values(), strict=True)
        ]
        print_json({"path": shown(args.path), "cameras": cameras})
    elif normalizer is None:
        print(f"{printable(shown(args.path))}: camera normalisation is off")
    else:
        print(
            f"{printable(shown(args.path))}: {len(counts)} cameras normalised, means of "
            f"{sum(counts.values()):,} entries"
        )
    if was_calibrated:
        say("similarities are others now: repeat 'sanreid gallery calibrate'")
    return 0


def _cluster(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    check_is_there(args.path)
    with Gallery.open(args.path, mode="rw" if args.apply else "r") as gallery:
        found = gallery.cluster(args.where, threshold=args.threshold, tracklet_key=args.tracklets)
        unnamed = set(gallery.find({"pid": None}).tolist())
        rows = [_row(found, number, unnamed) for number in range(len(found))]
        previous = gallery.assign(found) if args.apply else None
    if args.json:
        print_json(
            {
                "path": shown(args.path),
                "threshold": found.threshold,
                "clusters": rows,
                "alone": found.ids[found.labels < 0].tolist(),
                "assigned": None if previous is None else _changes(found, previous),
            }
        )
        return 0
    print_rows([_cells(row) for row in rows], _COLUMNS, args)
    clusters = counted(len(found), "cluster", "clusters")
    words = f"{len(found.ids):,} entries: {clusters}, {found.num_alone:,} alone"
    if previous is None:
        without = len(unnamed.intersection(found.ids[found.labels >= 0].tolist()))
        entries = counted(without, "entry", "entries")
        say(f"{words}; --apply gives {entries} the people proposed")
    else:
        given = counted(len(previous), "entry was", "entries were")
        say(f"{words}; {given} given a person")
    return 0


def _row(found: EntryClustering, cluster: int, unnamed: set[int]) -> dict[str, Any]:
    """Return what is known of a cluster, and the person proposed for those without one."""
    members = found.members(cluster)
    ids = found.ids[members].tolist()
    pids = [found.pids[row] for row in members.tolist()]
    named = [pid for number, pid in zip(ids, pids, strict=True) if number not in unnamed]
    others = [pid for number, pid in zip(ids, pids, strict=True) if number in unnamed]
    first, last = (_seconds(time) for time in found.times[cluster].tolist())
    return {
        "cluster": cluster,
        "crops": len(ids),
        "cameras": list(found.cameras[cluster]),
        "first": first,
        "last": last,
        "confidence": float(found.confidence[members].mean()),
        "pids": list(dict.fromkeys(named)),
        "proposed": others[0] if others else None,
        "ids": ids,
    }


def _seconds(time: float) -> float | int | None:
    """Return a time without a fraction that is zero; None for one that is not known."""
    if math.isnan(time):
        return None
    return int(time) if time.is_integer() else time


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its lists as text."""
    lists = {key: ", ".join(map(str, row[key])) or None for key in ("cameras", "pids")}
    return row | lists


def _changes(found: EntryClustering, previous: Assignment) -> list[dict[str, Any]]:
    """Return each entry that changed, its person now and before."""
    now = dict(zip(found.ids.tolist(), found.pids, strict=True))
    return [
        {"id": number, "pid": now[number], "previous": pid}
        for number, pid in zip(previous.ids.tolist(), previous.pids, strict=True)
    ]


def _decide(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery
    from sanreid.gallery.people.decisions import read_decisions

    check_is_there(args.path)
    decisions = read_decisions(args.file)  # once: it may be a pipe
    with Gallery.open(args.path) as gallery:
        previous = gallery.decide(decisions)
        now = [entry.pid for entry in gallery.get(previous.ids)]
    changed = [
        {"id": number, "pid": pid, "previous": before}
        for number, pid, before in zip(previous.ids.tolist(), now, previous.pids, strict=True)
    ]
    if args.json:
        print_json({"path": shown(args.path), "decisions": decisions.count, "changed": changed})
        return 0
    print(
        f"{printable(shown(args.path))}: {counted(decisions.count, 'decision', 'decisions')}, "
        f"{counted(len(changed), 'entry', 'entries')} changed"
    )
    return 0
