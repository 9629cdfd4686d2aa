"""The command ``balance``: compare the gradients of a run's loss terms."""

from __future__ import annotations

import argparse
from pathlib import Path

from sanreid.train.commands.options import Commands, common, overrides, say

__all__ = ["add_to"]


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name,
        parents=[common(), overrides()],
        help="show how strong the gradient of each loss term of a run is at the encoder",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("--batches", type=int, default=4, help="how many (default 4)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from sanreid.train.tools.balance import gradient_balance  # noqa: PLC0415 - fast --help

    found = gradient_balance(args.folder, overrides=args.overrides, batches=args.batches)
    say("gradient of the unweighted term, relative to identity and triplet together (cosine)")
    for name, stages in found.items():
        shown = (f"{stage} {g.relative:.3g} ({g.cosine:+.2f})" for stage, g in stages.items())
        say(f"{name:>14}: " + ", ".join(shown))
    return 0
