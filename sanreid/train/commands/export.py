"""The command ``export``: write the weights directory of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from sanreid.train.commands.options import Commands, common, say, which_checkpoint

__all__ = ["add_to"]


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, parents=[common(), which_checkpoint()], help="write a weights directory"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the directory to write")
    parser.add_argument("--float32", action="store_true", help="do not store float16")
    parser.add_argument(
        "--input-size", type=int, nargs=2, metavar=("H", "W"),
        help="resize crops to this size (default: that of the run)",
    )  # fmt: skip
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from sanreid.train.loop.provenance import MANIFEST_ROW  # noqa: PLC0415 - fast --help
    from sanreid.train.tools.export import export_run  # noqa: PLC0415 - as above

    size = None if args.input_size is None else (args.input_size[0], args.input_size[1])
    out = export_run(
        args.folder, args.out, which=args.which, half=not args.float32, input_size=size
    )
    row = json.loads((out / MANIFEST_ROW).read_text(encoding="utf-8"))
    if row["role"] == "texture-generator":
        say(f"{out}: paint with python -m sanreid.train textures CROPS OUT --weights {out}")
    else:
        say(f"{out}: load it with sanreid.SANEncoder.from_pretrained({str(out)!r})")
    return 0
