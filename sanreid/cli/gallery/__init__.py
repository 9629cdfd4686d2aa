"""``sanreid gallery``: build one on disk, extend it, search it, browse it, keep it."""

from __future__ import annotations

import argparse

from sanreid.cli.gallery import (
    browsing,
    building,
    following,
    searching,
    unlabelled,
    upkeep,
)
from sanreid.cli.gallery.shared import WHERE

__all__ = ["add_to"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "gallery", help="build, extend, search, browse and check a gallery"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION", title="actions")
    building.add_to(actions)
    following.add_to(actions)
    searching.add_to(actions)
    browsing.add_to(actions, WHERE)
    unlabelled.add_to(actions)
    upkeep.add_to(actions)
