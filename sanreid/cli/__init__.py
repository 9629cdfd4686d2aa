"""``sanreid``: the command line. Every command is a thin call of the public API.

Nothing heavy is imported before a command runs, so that ``--help`` is instant. Tables, JSON and
CSV go to standard output, progress and notes to standard error.

Exit status: 0 done; 1 an error of the data, the files or the machine, one line on standard error;
2 wrong usage; 130 interrupted; 141 the reader of the output went away.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from sanreid import __version__
from sanreid.cli.demo import add_to as add_demo
from sanreid.cli.embed import add_to as add_embed
from sanreid.cli.evaluate import add_to as add_evaluate
from sanreid.cli.export import add_to as add_export
from sanreid.cli.gallery import add_to as add_gallery
from sanreid.cli.output import printable, say
from sanreid.cli.serve import add_to as add_serve
from sanreid.cli.style import paint
from sanreid.cli.train import add_to as add_train
from sanreid.cli.train import run_training
from sanreid.cli.weights import add_to as add_weights
from sanreid.errors import NoGalleryError, SanreidError

__all__ = ["main"]

_NO_GALLERY = "Make one with 'sanreid gallery build'."

_EPILOG = """\
start with:
  sanreid demo                                  see it work on packaged sample crops
  sanreid embed crops/ -o crops.npz             embeddings of a folder
  sanreid gallery build crops/ people.gallery   a gallery on disk
  sanreid gallery search people.gallery query.jpg -k 5
  sanreid gallery browse people.gallery -o people.html
  sanreid serve people.gallery                  the same over HTTP, on 127.0.0.1
  sanreid evaluate --query query/ --gallery bounding_box_test/
  sanreid weights list                          weights and the terms they come under
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments without the program's name; those of the process when None.

    Returns:
        The exit status, see the module's description.

    Raises:
        SystemExit: With status 2 on wrong usage, 0 after ``--help`` and ``--version``.
    """
    _print_any_path(sys.stdout)
    _print_any_path(sys.stderr)
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["train"]:
        return run_training(arguments[1:])
    args = _parser().parse_args(arguments)
    log, notes = logging.getLogger("sanreid"), _Notes(logging.WARNING)
    log.addHandler(notes)
    try:
        status: int = args.run(args)
        if sys.stdout is not None:  # None where the caller closed it
            sys.stdout.flush()
    except NoGalleryError as error:  # told for callers from Python
        return _fail(str(NoGalleryError(error.place, _NO_GALLERY)))
    except SanreidError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("sanreid: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python flushes standard output once more on its way out; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except MemoryError:
        return _fail("There is not enough memory; a smaller --batch-size may help.")
    except OSError as error:
        return _fail(_describe(error))
    finally:
        log.removeHandler(notes)
    return status


class _Notes(logging.Handler):
    """Write what the library warns of as a note of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sanreid",
        description="Person re-identification: embed crops of people, find a person again, "
        "measure how well that works.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sanreid {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for add_to in (
        add_demo, add_embed, add_gallery, add_serve, add_evaluate, add_weights, add_export,
        add_train,
    ):  # fmt: skip
        add_to(commands)
    return parser


def _fail(message: str) -> int:
    """Report what went wrong in one line, however many the message has."""
    lines = (line.strip() for line in message.splitlines())
    mark = paint("sanreid:", "red", sys.stderr)
    print(mark, printable(" ".join(filter(None, lines))), file=sys.stderr)
    return 1


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _print_any_path(stream: TextIO | None) -> None:
    """Let a file name that the terminal cannot show be printed with escapes, not crash."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
