"""Options and output that several commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

from sanreid.errors import ConfigError
from sanreid.train.launcher import launched

__all__ = [
    "Commands",
    "common",
    "overrides",
    "refuse_several_processes",
    "say",
    "which_checkpoint",
]

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


def refuse_several_processes(command: str) -> None:
    """Raise ConfigError if this is one of several processes, which would do the same work each."""
    count = launched().world_size
    if count > 1:
        raise ConfigError(
            f"{command} takes one process, but {count} were started: leave out torchrun or srun."
        )


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
