"""``sanreid gallery browse``: one HTML file to look through a gallery and search it by example."""

from __future__ import annotations

import argparse
import dataclasses

from sanreid.cli.gallery.shared import add_path
from sanreid.cli.options import add_format_options, file_path, json_object, positive_int
from sanreid.cli.output import check_writable, print_json, printable, say
from sanreid.utils.words import counted

__all__ = ["add_to"]

_DESCRIPTION = """\
Write one HTML file that shows all crops of a gallery, finds the crops most like one that is
clicked, and filters by camera and person. It needs no server, no network and no other file: it
works from a USB stick. It holds crops, names and embeddings, so keep it as carefully as the
gallery.
"""


def add_to(actions: argparse._SubParsersAction[argparse.ArgumentParser], where_help: str) -> None:
    """Add the command to those of ``sanreid gallery``."""
    parser = actions.add_parser(
        "browse",
        help="write a page to look through a gallery and search it by example",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_path(parser)
    parser.add_argument(
        "-o", "--output", type=file_path, required=True, metavar="FILE.html", help="the page"
    )
    parser.add_argument("--title", help="of the page (default: the gallery's name)")
    parser.add_argument("--where", type=json_object, metavar="JSON", help=where_help)
    parser.add_argument(
        "--clusters",
        action="store_true",
        help="group the entries into people, without labels, and let a person say on the page who "
        "is who: 'sanreid gallery decide' applies what the page saves",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="with --clusters: as in 'sanreid gallery cluster'",
    )
    parser.add_argument(
        "--pictures",
        choices=("embed", "link", "none"),
        default="embed",
        help="embed: small copies in the page; link: the files where they are, by relative paths; "
        "none (default: embed)",
    )
    parser.add_argument(
        "--max-mb",
        type=positive_int,
        default=40,
        metavar="N",
        help="room for embedded pictures, which become smaller to fit (default: 40)",
    )
    add_format_options(parser, csv=False)
    parser.set_defaults(run=_run, usage_error=parser.error)


def _run(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery
    from sanreid.viz import write_gallery_page

    if args.threshold is not None and not args.clusters:
        args.usage_error("--threshold needs --clusters")
    check_writable(args.output)
    with Gallery.open(args.path, mode="r") as gallery:
        found = gallery.cluster(args.where, threshold=args.threshold) if args.clusters else None
        page = write_gallery_page(
            gallery,
            args.output,
            title=args.title,
            where=args.where,
            clustering=found,
            pictures=args.pictures,
            picture_bytes=args.max_mb * 1_000_000,
        )
    if not page.entries:
        say("no entry matches; the page is empty" if args.where else "the gallery is empty")
    elif not page.pictures and args.pictures != "none":
        say("no picture was found; paths that are relative hold in the folder they were added in")
    if args.json:
        print_json(dataclasses.asdict(page) | {"path": str(page.path)})
        return 0
    entries = counted(page.entries, "entry", "entries")
    print(
        f"{printable(page.path)}: {entries}, {page.pictures:,} with a picture, "
        f"{page.size_bytes / 1e6:.1f} MB"
    )
    if found is not None:
        clusters = counted(len(found), "cluster", "clusters")
        print(
            f"{clusters}, {found.num_alone:,} alone: decide on the page who is who, save "
            "that, and apply the file with 'sanreid gallery decide'."
        )
    print("Open it in a browser. It holds crops and embeddings: keep it as you keep the gallery.")
    return 0
