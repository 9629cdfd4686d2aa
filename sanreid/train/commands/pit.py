"""The command ``pit``: render image-texture pairs, preview them, judge a texture generator."""

from __future__ import annotations

import argparse

from sanreid.train.commands.options import Commands, common
from sanreid.train.pit.__main__ import add_commands

__all__ = ["add_to"]


def add_to(commands: Commands, name: str) -> None:
    """Add the command, with the commands of :mod:`sanreid.train.pit` below it."""
    text = "render pairs of crop and texture, preview them, judge a texture generator"
    parser = commands.add_parser(name, parents=[common()], help=text, description=text)
    add_commands(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    args.pit(args)
    return 0
