"""``sanreid gallery build`` and ``add``: files and folders into a gallery."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sanreid.cli.gallery.following import Changes, add_from_here_option, follow
from sanreid.cli.gallery.gating import gated
from sanreid.cli.gallery.on_server import ServerBuild, check_overwrites_nothing
from sanreid.cli.gallery.resuming import Build, add_rows
from sanreid.cli.gallery.shared import (
    add_sources,
    check_is_there,
    check_may_go,
    label_sources,
)
from sanreid.cli.gallery.tables import (
    TableRow,
    add_columns_option,
    complete,
    is_table,
    read_table,
)
from sanreid.cli.labels import UNKNOWN, AnyLabel
from sanreid.cli.options import encode_files, load_encoder
from sanreid.cli.output import print_json, printable, say, shown
from sanreid.errors import InputError
from sanreid.utils.words import counted

if TYPE_CHECKING:
    from sanreid.cli.gallery.shared import Actions
    from sanreid.gallery import Gallery

__all__ = ["add_to"]

_BUILD = """\
Embed image files, and all images under folders, into a new gallery at PATH.

While it works, the entries so far are kept in PATH.building. If the command is interrupted, run it
again: it resumes. PATH appears when it is complete, and PATH.building is removed. Remove that
folder to forget an interrupted build. On Milvus the entries are in their place at once, and
'sanreid gallery add --new-only' resumes.
"""


def add_to(actions: Actions) -> None:
    """Add the commands."""
    build = actions.add_parser(
        "build",
        help="embed files and folders into a new gallery",
        description=_BUILD,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("--overwrite", action="store_true", help="replace a gallery that is there")
    build.add_argument(
        "--normalize-cameras",
        action="store_true",
        help="take each camera's mean embedding out of all similarities",
    )
    build.set_defaults(run=_build, usage_error=build.error)
    add = actions.add_parser("add", help="embed files and folders into an existing gallery")
    add.add_argument(
        "--new-only",
        action="store_true",
        help="leave out files that the gallery holds already, by path and content; pictures that "
        "changed are embedded again, and entries go whose files are gone from a SOURCE folder",
    )
    add_from_here_option(add)
    add.set_defaults(run=_add, usage_error=add.error)
    add_columns_option(build)
    add_sources(build)
    add_sources(add)


def _build(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery
    from sanreid.gallery.milvus.address import is_address

    if args.names is not None and is_table(args.source, args):
        args.usage_error("--names is about the names of files: a table has people and cameras")
    if is_address(args.path):
        check_overwrites_nothing(args)
    elif args.path.exists():
        if not args.overwrite and Build.was_completed(args.path):
            say("the build that was interrupted had put the gallery in its place already")
            with Gallery.open(args.path, mode="r") as built:
                return _report(built, [], {}, [], args)
        check_may_go(args.path, overwrite=args.overwrite)
    encoder = load_encoder(args)
    table: dict[Path, TableRow] = {}
    failures: list[tuple[Path, str]] = []
    labels: Mapping[Path, AnyLabel]
    if is_table(args.source, args):
        table = read_table(args.source[0], args.columns)
        labels = {path: (row.pid, row.camid) for path, row in table.items()}
    else:
        labels, failures = label_sources(args)
    if args.normalize_cameras:
        _check_cameras(labels)
    files, scores = gated(list(labels), args)
    kind = ServerBuild if is_address(args.path) else Build
    build = kind(args.path, encoder, {file: labels[file] for file in files}, scores, args)
    with build.gallery() as gallery:
        failed = build.embed(gallery, build.resume(gallery))
        for path, reason in failed:
            say(f"skipped {path}: {reason}")
        if table:
            complete(gallery, table)
        if args.normalize_cameras:
            gallery.normalize_cameras()
        elif gallery.camera_normalizer is not None:  # of the build that was interrupted
            gallery.normalize_cameras(None)
        build.finish(gallery)
    unread = {path for path, _ in failed}
    added = [path for path in files if path not in unread]
    with Gallery.open(args.path, mode="r") as built:
        return _report(built, added, labels, [*failures, *failed], args)


def _add(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    if args.from_here and not args.new_only:
        args.usage_error("--from-here is about the entries that --new-only removes: give both")
    check_is_there(args.path)
    encoder = load_encoder(args)
    with Gallery.open(args.path, encoder_fingerprint=encoder.fingerprint) as gallery:
        labels, failures = label_sources(args)
        if args.new_only:
            changes = follow(gallery, encoder, labels, failures, args)
            _report_changes(changes)
            return _report(gallery, changes.added, labels, changes.failures, args)
        again = _held_already(gallery, labels)
        if again:
            say(
                f"{again} of these files are in the gallery already and are added once more; "
                "--new-only leaves them out"
            )
        files, scores = gated(list(labels), args)
        encoded = encode_files(encoder, files, args)
        add_rows(gallery, encoded.embeddings, encoded.paths, labels, scores)
        return _report(gallery, encoded.paths, labels, [*failures, *encoded.failures], args)


def _check_cameras(labels: Mapping[Path, AnyLabel]) -> None:
    """Find out before the long work whether there are cameras to normalise."""
    cameras = {camid for _, camid in labels.values()} - {None}
    if len(cameras) < 2:
        raise InputError(
            "--normalize-cameras compares cameras, so it needs crops of at least two; the file "
            f"names tell {len(cameras) or 'none'}. See --names."
        )


def _held_already(gallery: Gallery, paths: Iterable[Path]) -> int:
    if not len(gallery):
        return 0
    held = gallery.find({"path": {"$in": [str(path) for path in paths]}})
    return len({entry.metadata["path"] for entry in gallery.get(held)})


def _report_changes(changes: Changes) -> None:
    """Report what was done besides adding."""
    if changes.same:
        held = "that the gallery holds already"
        say(counted(changes.same, f"file {held} is left out", f"files {held} are left out"))
    if changes.changed:
        say(
            counted(
                len(changes.changed),
                "entry was embedded again, because its file changed",
                "entries were embedded again, because their files changed",
            )
        )
    if changes.moved:
        say(
            counted(
                len(changes.moved),
                "entry has a new path, because its file moved",
                "entries have new paths, because their files moved",
            )
        )
    if changes.removed:
        say(
            counted(
                len(changes.removed),
                "entry was removed, because its file is gone",
                "entries were removed, because their files are gone",
            )
        )
    if changes.unknown:
        say(
            counted(
                changes.unknown,
                "entry has no record of its content and was not checked; 'sanreid gallery sync' "
                "embeds its file again",
                "entries have no record of their content and were not checked; 'sanreid gallery "
                "sync' embeds their files again",
            )
        )


def _report(
    gallery: Gallery,
    added: Sequence[Path],
    labels: Mapping[Path, AnyLabel],
    failures: Sequence[tuple[Path, str]],
    args: argparse.Namespace,
) -> int:
    people = {labels.get(Path(path), UNKNOWN)[0] for path in added} - {None}
    if args.json:
        print_json(
            {
                "path": shown(args.path),
                "added": len(added),
                "entries": len(gallery),
                "failures": [{"path": str(path), "reason": reason} for path, reason in failures],
            }
        )
        return 0
    named = counted(len(people), "person", "people") if people else "nobody named"
    if is_table(args.source, args):
        named += " by the table"
    else:
        named += " by their file names" if people else ", see --names"
    who = f" ({named})" if added else ""
    normalizer = gallery.camera_normalizer
    how = "" if normalizer is None else f", {len(normalizer.camids)} cameras normalised"
    entries = counted(len(gallery), "entry", "entries")
    print(f"{printable(shown(args.path))}: {len(added)} added{who}, {entries}{how}")
    return 0
