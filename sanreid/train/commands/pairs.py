"""The command ``pairs``: write rendered pairs as a source of crops with identities."""

from __future__ import annotations

import argparse
from pathlib import Path

from sanreid.train.commands.options import Commands, common, say

__all__ = ["add_to"]

_DESCRIPTION = """\
Write the images of a folder of pairs as crops with reID names, OUT/crops, and their textures as a
store, OUT/textures.tex. The rendered people then form one more source of a run, whose textures
are known:

  [[data.sources]]
  folder = "OUT/crops"
  names = "market1501"
  one_camera = true
  textures = "OUT/textures.tex"
"""


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name,
        parents=[common()],
        help="write rendered pairs as a source of crops with identities and textures",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="a folder of pairs")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from sanreid.train.tools.rendered_source import as_source  # noqa: PLC0415 - fast --help

    folder = as_source(args.pairs, args.out)
    say(f"{folder}, {args.out / 'textures.tex'}")
    return 0
