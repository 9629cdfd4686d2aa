"""``sanreid train``: another name of ``python -m sanreid.train``.

Training is run as a program, not imported: nothing outside it imports it.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence

__all__ = ["add_to", "run_training"]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command, for the list of commands; its arguments are those of training."""
    commands.add_parser(
        "train", help="train an encoder, measure and export it (extra train)", add_help=False
    )


def run_training(arguments: Sequence[str]) -> int:
    """Run ``python -m sanreid.train`` with these arguments and return its exit status.

    As there, modules of the working folder can be imported meanwhile (``run.imports``).
    """
    before = sys.argv, sys.path
    sys.argv = ["sanreid train", *arguments]
    if not sys.flags.safe_path:
        sys.path = ["", *sys.path]
    try:
        runpy.run_module("sanreid.train", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv, sys.path = before
    return 0
