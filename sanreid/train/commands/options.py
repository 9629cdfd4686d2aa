"""Options and output that several commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

__all__ = ["Commands", "common", "overrides", "say", "which_checkpoint"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def common() -> argparse.ArgumentParser:
    """Return the options of every command."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--quiet", action="store_true", help="print only results and errors")
    return parser


def overrides() -> argparse.ArgumentParser:
    """Return the option ``--set`` of commands that read a configuration."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting, for example --set optimizer.lr=1e-4",
    )  # fmt: skip
    return parser


def which_checkpoint() -> argparse.ArgumentParser:
    """Return the arguments of commands that read a checkpoint of a run."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("folder", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument(
        "--which", choices=("best", "last"), default="best", help="the checkpoint (default best)"
    )
    return parser


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
