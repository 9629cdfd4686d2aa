"""The command ``run``: train."""

from __future__ import annotations

import argparse
import logging

from sanreid.train.commands.options import Commands, common, overrides
from sanreid.train.config.loader import load_config, packaged_configs

__all__ = ["add_to"]


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, parents=[common(), overrides()], help="train (the word run may be omitted)"
    )
    parser.add_argument("config", help=f"a TOML file, or one of: {', '.join(packaged_configs())}")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from sanreid.train import runtime  # noqa: PLC0415 - keeps --help fast
    from sanreid.train.loop.engine import Engine  # noqa: PLC0415 - as above
    from sanreid.train.loop.reports import ending  # noqa: PLC0415 - as above
    from sanreid.train.loop.stopping import sigterm_interrupts  # noqa: PLC0415 - as above

    config = load_config(args.config, args.overrides)
    joined = runtime.join_group(runtime.prepare_process(config.run))
    if not runtime.is_main():  # only one process logs
        logging.getLogger("sanreid").setLevel(logging.WARNING)
    try:
        with sigterm_interrupts():
            engine = Engine(config, resume=args.resume)
        outcome = engine.run()
        if runtime.is_main():
            pairs = config.pit.folder if config.is_san_pg else ""
            line = ending(engine.folder, engine.progress, outcome.stopped_by, pairs=pairs)
            logging.getLogger("sanreid").info("%s", line)
    finally:
        if joined:
            runtime.leave_group()
    return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by
