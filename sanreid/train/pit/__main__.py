"""``python -m sanreid.train pit``: render pairs and people, preview them, judge a generator."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sanreid.train.renamed import run_command

__all__ = ["add_commands"]

_PEOPLE = "number of people; default %(default)s"
_SEED = "seed of everything drawn; default %(default)s"
_PROCESSES = "processes at once; default: one per core"
_JUDGE = "measure a texture generator on pairs and on real crops"
_ATLAS = "write the tables of the texture atlas: mirror, valid, regions"


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the commands below ``pit`` to its parser; each sets ``args.pit`` to what runs it."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str, *, identities: int, images: int) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--identities", type=int, default=identities, metavar="N", help=_PEOPLE)
        each = "images of each person; default %(default)s"
        made.add_argument(
            "--images-per-identity", type=int, default=images, metavar="N", help=each
        )
        made.add_argument("--seed", type=int, default=0, help=_SEED)
        behind = "folder of background photographs; default: rendered backgrounds only"
        made.add_argument("--backgrounds", type=Path, metavar="DIR", help=behind)
        return made

    render = command(
        "render", "render a data set of image-texture pairs", identities=929, images=10
    )
    render.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    render.add_argument("--processes", type=int, metavar="N", help=_PROCESSES)
    render.add_argument("--adults-only", action="store_true", help="render no children or youths")
    render.set_defaults(pit=_render)

    _add_people(commands)
    preview = command(
        "preview", "write a contact sheet of rendered adults", identities=60, images=1
    )
    preview.add_argument("out", type=Path, metavar="OUT_PICTURE", help="the picture to write")
    beside = "show each crop's texture, seen texels and a neutral body with the texture"
    preview.add_argument("--textures", action="store_true", help=beside)
    preview.set_defaults(pit=_preview)

    crops = command(
        "crops",
        "write sample crops of rendered adults with reID file names",
        identities=6,
        images=3,
    )
    crops.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    crops.add_argument(
        "--height", type=int, default=256, choices=(128, 256), help="of a crop, in pixels"
    )
    only = "write only these identities, numbered from 1; default: all"
    crops.add_argument("--people", type=int, nargs="+", metavar="NUMBER", help=only)
    crops.set_defaults(pit=_crops)

    judge = commands.add_parser("judge", help=_JUDGE, description=_JUDGE)
    judge.add_argument("pairs", type=Path, metavar="PAIRS", help="a folder of pairs")
    judge.add_argument(
        "--weights", required=True, metavar="SAN_PG", help="the generator: a name, or a directory"
    )
    judge.add_argument(
        "--held-out",
        type=int,
        default=60,
        metavar="N",
        help="number of identities held out of its training, the last ones; default %(default)s",
    )
    judge.add_argument(
        "--crops", type=Path, metavar="DIR", help="also judge on this folder of real crops"
    )
    beside = "write crops beside their textures, on a neutral body too"
    judge.add_argument("--sheet", type=Path, metavar="PICTURE", help=beside)
    judge.set_defaults(pit=_judge)

    tables = commands.add_parser("atlas", help=_ATLAS, description=_ATLAS)
    tables.add_argument("out", type=Path, metavar="OUT.npz", help="the file to write")
    tables.set_defaults(pit=_atlas)


def _add_people(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands of people under rendered cameras."""
    text = "render people as many cameras see them: crops with reID names, and their textures"
    people = commands.add_parser("people", help=text, description=text)
    people.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    people.add_argument("--identities", type=int, default=5000, metavar="N", help=_PEOPLE)
    cameras = "number of cameras; default %(default)s"
    people.add_argument("--cameras", type=int, default=60, metavar="N", help=cameras)
    people.add_argument("--seed", type=int, default=0, help=_SEED)
    people.add_argument("--processes", type=int, metavar="N", help=_PROCESSES)
    people.set_defaults(pit=_people)

    text = "write a sheet of rendered people: one row per identity, one column per camera"
    sheet = commands.add_parser("people-sheet", help=text, description=text)
    sheet.add_argument("crops", type=Path, metavar="CROPS", help="OUT/crops of the command people")
    sheet.add_argument("out", type=Path, metavar="OUT_PICTURE", help="the picture to write")
    rows, columns = "rows; default %(default)s", "columns; default %(default)s"
    sheet.add_argument("--identities", type=int, default=12, metavar="N", help=rows)
    sheet.add_argument("--cameras", type=int, default=12, metavar="N", help=columns)
    sheet.set_defaults(pit=_people_sheet)


def _render(args: argparse.Namespace) -> None:
    from sanreid.train.pit.generate.pair_writer import render_dataset  # noqa: PLC0415 - fast --help
    from sanreid.train.pit.generate.pairs import PairSettings  # noqa: PLC0415 - fast --help

    settings = PairSettings(
        args.identities, args.images_per_identity, args.seed,
        None if args.backgrounds is None else str(args.backgrounds), args.adults_only,
    )  # fmt: skip
    index = render_dataset(args.out, settings, processes=args.processes)
    sys.stdout.write(f"{index}: {args.identities * args.images_per_identity:,} pairs\n")


def _people(args: argparse.Namespace) -> None:
    from sanreid.train.pit.generate.cameras.sightings import PeopleSettings  # noqa: PLC0415 - fast --help
    from sanreid.train.pit.generate.cameras.source_writer import render_people  # noqa: PLC0415 - fast --help

    settings = PeopleSettings(args.identities, args.cameras, args.seed)
    crops = render_people(args.out, settings, processes=args.processes)
    sys.stdout.write(f"{crops}, {crops.with_name('textures.tex')}\n")


def _people_sheet(args: argparse.Namespace) -> None:
    from PIL import Image  # noqa: PLC0415 - fast --help

    from sanreid.train.pit.people_sheet import people_sheet  # noqa: PLC0415 - fast --help
    from sanreid.viz import check_suffix, save_picture  # noqa: PLC0415 - fast --help

    check_suffix(args.out)
    sheet = people_sheet(args.crops, identities=args.identities, cameras=args.cameras)
    save_picture(Image.fromarray(sheet), args.out)
    sys.stdout.write(f"{args.out}\n")


def _preview(args: argparse.Namespace) -> None:
    from PIL import Image  # noqa: PLC0415 - fast --help

    from sanreid.train.pit.generate.pairs import PairSettings  # noqa: PLC0415 - fast --help
    from sanreid.train.pit.generate.sheets import contact_sheet, pair_sheet  # noqa: PLC0415 - fast --help
    from sanreid.train.pit.generate.studio import Studio  # noqa: PLC0415 - fast --help
    from sanreid.viz import check_suffix, save_picture  # noqa: PLC0415 - fast --help

    check_suffix(args.out)

    settings = PairSettings(
        args.identities, args.images_per_identity, args.seed,
        None if args.backgrounds is None else str(args.backgrounds), adults_only=True,
    )  # fmt: skip
    sheet = pair_sheet if args.textures else contact_sheet
    save_picture(Image.fromarray(sheet(Studio.open(), settings)), args.out)
    sys.stdout.write(f"{args.out}\n")


def _crops(args: argparse.Namespace) -> None:
    from sanreid.train.pit.generate.pairs import PairSettings  # noqa: PLC0415 - fast --help
    from sanreid.train.pit.generate.samples import write_crops  # noqa: PLC0415 - fast --help
    from sanreid.train.pit.generate.studio import Studio  # noqa: PLC0415 - fast --help

    settings = PairSettings(
        args.identities, args.images_per_identity, args.seed,
        None if args.backgrounds is None else str(args.backgrounds), adults_only=True,
    )  # fmt: skip
    paths = write_crops(Studio.open(), settings, args.out, people=args.people, height=args.height)
    sys.stdout.write(f"{args.out}: {len(paths)} crops\n")


def _judge(args: argparse.Namespace) -> None:
    from sanreid.train.pit.report import judge  # noqa: PLC0415 - fast --help

    draw = None
    if args.sheet is not None:
        from sanreid.train.pit.generate.sheets import sheet_writer  # noqa: PLC0415 - fast --help

        draw = sheet_writer(args.sheet)
    report = judge(args.pairs, args.weights, held_out=args.held_out, crops=args.crops, draw=draw)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def _atlas(args: argparse.Namespace) -> None:
    from sanreid.train.pit.generate.atlas_tables import write_tables  # noqa: PLC0415 - fast --help
    from sanreid.train.pit.generate.studio import Studio  # noqa: PLC0415 - fast --help

    write_tables(Studio.open(), args.out)
    sys.stdout.write(f"{args.out}\n")


if __name__ == "__main__":  # the old way to call it
    run_command("pit")
