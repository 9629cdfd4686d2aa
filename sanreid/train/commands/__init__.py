"""``python -m sanreid.train``: the parser, and what all commands share.

Each command is a file of this folder with a function ``add_to``. Exit status: 0 done, 1 an error
of sanreid or the system (one line on stderr), 2 wrong usage; a run that a signal stopped exits,
after its checkpoint is written, with 128 plus the signal's number: 130 for Ctrl-C, 143 for
SIGTERM; 141 if the reader of the output went away.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence

from sanreid.errors import SanreidError
from sanreid.train.commands import (
    adapt,
    balance,
    evaluate,
    export,
    find_lr,
    listing,
    pairs,
    pit,
    run,
    textures,
)

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS = {
    "run": run,
    "adapt": adapt,
    "evaluate": evaluate,
    "export": export,
    "textures": textures,
    "pairs": pairs,
    "pit": pit,
    "find-lr": find_lr,
    "balance": balance,
    "list": listing,
}

_DESCRIPTION = """\
Train an encoder, adapt one to your own cameras, measure it, export it; make the textures and
pairs that the method needs.

  python -m sanreid.train CONFIG.toml [--set key=value]... [--resume]

is short for the command run. CONFIG is a TOML file or the name of a packaged configuration; see
the command list.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m sanreid.train",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, module in COMMANDS.items():
        module.add_to(commands, name)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; see the description of this module.

    Args:
        argv: The arguments without the name of the program; None: those of the process.

    Raises:
        SystemExit: With status 2 on wrong usage, 0 after ``--help``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] not in (*COMMANDS, "-h", "--help"):
        arguments.insert(0, "run")
    args = build_parser().parse_args(arguments)
    level = logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells how it was loaded
    try:
        status: int = args.run(args)
        if sys.stdout is not None:  # None where the caller closed it
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more on its way out; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (SanreidError, OSError) as error:  # OSError: a full disk, a folder without permission
        sys.stderr.write(f"sanreid: {' '.join(str(error).split())}\n")
        return 1
    except KeyboardInterrupt as error:
        return 128 + int(error.args[0] if error.args else signal.SIGINT)
    return status
