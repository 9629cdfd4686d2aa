"""``sanreid gallery decide``: what a person decided on the browsable page, applied."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sanreid.cli.gallery.shared import add_path, check_is_there
from sanreid.cli.options import add_format_options, file_path
from sanreid.cli.output import print_json, printable, shown
from sanreid.utils.words import counted

if TYPE_CHECKING:
    from sanreid.cli.gallery.shared import Actions

__all__ = ["add_to"]


def add_to(actions: Actions) -> None:
    """Add the command."""
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
