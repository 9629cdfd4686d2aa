"""The command ``find-lr``: try rising learning rates."""

from __future__ import annotations

import argparse

from sanreid.train.commands.options import (
    Commands,
    common,
    overrides,
    refuse_several_processes,
    say,
)
from sanreid.train.config.loader import load_config

__all__ = ["add_to"]


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, parents=[common(), overrides()], help="try rising learning rates"
    )
    parser.add_argument("config", help="as for run")
    parser.add_argument("--steps", type=int, default=100, help="how many (default 100)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from sanreid.train import runtime  # noqa: PLC0415 - keeps --help fast
    from sanreid.train.tools.find_lr import find_lr  # noqa: PLC0415 - as above

    refuse_several_processes("find-lr")
    config = load_config(args.config, args.overrides)
    runtime.prepare_process(config.run)
    found = find_lr(config, steps=args.steps)
    for lr, loss in found.curve:
        say(f"{lr:.3e}  {loss:.4f}")
    say(f"suggested: --set optimizer.lr={found.suggestion:.2e}")
    return 0
