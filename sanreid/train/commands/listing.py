"""The command ``list``: name the packaged configurations."""

from __future__ import annotations

import argparse

from sanreid.train.commands.options import Commands, common, say
from sanreid.train.config.loader import packaged_configs

__all__ = ["add_to"]


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(name, parents=[common()], help="list packaged configurations")
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    for name in packaged_configs():
        say(name)
    return 0
