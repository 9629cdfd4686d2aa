"""The command ``textures``: paint target textures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sanreid.train.commands.options import Commands, common, overrides, say
from sanreid.train.config.loader import load_config

if TYPE_CHECKING:
    from sanreid.train.textures.generator import Generator

__all__ = ["add_to"]

_DESCRIPTION = """\
Paint the target textures of a folder of crops into a store:

  python -m sanreid.train textures CROPS OUT --weights SAN_PG

or those of all sources of a configuration that name a store in 'textures':

  python -m sanreid.train textures CONFIG --weights SAN_PG

An interrupted command resumes where it stopped.
"""


def add_to(commands: Commands, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name,
        parents=[common(), overrides()],
        help="paint target textures of crops, or of a run's sources",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "crops", metavar="CROPS", help="a folder of crops; a run's configuration if OUT is omitted"
    )
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT", help="the file of the store")
    where = "a name in the manifest, a weights directory or the folder of a run"
    parser.add_argument("--weights", required=True, metavar="SAN_PG", help=where)
    parser.add_argument("--names", help="how the files of the folder CROPS are named")
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="crops painted at once"
    )
    parser.add_argument("--quality", type=int, default=85, metavar="Q", help="JPEG quality")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.set_defaults(run=_run, usage_error=parser.error)


def _run(args: argparse.Namespace) -> int:
    from sanreid.datasets import read_crops  # noqa: PLC0415 - keeps --help fast
    from sanreid.train.textures.making import make_textures  # noqa: PLC0415 - as above
    from sanreid.train.textures.store import TextureStore  # noqa: PLC0415 - as above
    from sanreid.train.tools.textures import make_textures_of_run  # noqa: PLC0415 - as above

    if args.out is None and args.names is not None:
        args.usage_error("--names is for a folder; a configuration has data.sources.N.names")
    if args.out is not None and args.overrides:
        args.usage_error("--set is for a configuration; CROPS is a folder where OUT is given")
    options = {"batch_size": args.batch_size, "quality": args.quality}
    if args.out is None:
        config = load_config(args.crops, args.overrides)
        made = make_textures_of_run(config, _load(args), **options)
    else:
        crops = read_crops(args.crops, names=args.names or "auto")
        made = [make_textures(crops, args.out, _load(args), **options)]
    for out in made:
        with TextureStore(out) as store:
            say(f"{out}: {len(store):,} textures, {store.num_bytes / 1e6:.0f} MB")
    return 0


def _load(args: argparse.Namespace) -> Generator:
    from sanreid.train.runtime import resolve_device  # noqa: PLC0415 - keeps --help fast
    from sanreid.train.textures.generator import load_generator  # noqa: PLC0415 - as above

    return load_generator(args.weights, device=resolve_device(args.device), dtype=args.dtype)
