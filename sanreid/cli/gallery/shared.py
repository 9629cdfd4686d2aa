"""What several gallery commands share: arguments, checks before the long work, embedding."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sanreid.cli.gallery.gating import add_min_quality
from sanreid.cli.labels import Label, label_files_of
from sanreid.cli.options import (
    add_encoder_options,
    add_format_options,
    add_names_option,
    add_on_error_option,
    file_path,
    gallery_path,
)
from sanreid.cli.output import say
from sanreid.errors import GalleryError, InputError, NoGalleryError
from sanreid.utils.paths import is_text

__all__ = [
    "CONTENT",
    "WHERE",
    "add_path",
    "add_sources",
    "check_is_there",
    "check_may_go",
    "label_sources",
    "put_path_first",
]

if TYPE_CHECKING:
    Actions: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name

WHERE = (
    "filter on id, pid, camid, timestamp and metadata keys, for example "
    """'{"camid": {"$ne": 2}}'"""
)
CONTENT = "sha256"  # the metadata key of a picture's content; no part of a search's answer


def add_path(parser: argparse.ArgumentParser) -> None:
    """Add PATH, the gallery."""
    parser.add_argument(
        "path",
        type=gallery_path,
        metavar="PATH",
        help="the gallery's directory, or its address on Milvus",
    )


def add_sources(parser: argparse.ArgumentParser, *, path_first: bool = False) -> None:
    """Add SOURCE, PATH and how the sources are read and embedded."""
    if path_first:
        add_path(parser)
    parser.add_argument(
        "source",
        nargs="+",
        type=gallery_path if path_first else file_path,
        metavar="SOURCE",
        help="image files and folders",
    )
    if not path_first:
        add_path(parser)
    add_names_option(
        parser,
        more=("none",),
        default=None,
        default_means="as in Market-1501 where all names of a folder fit, else nobody is named; "
        "a person named by a number is that number, 0007 is 7",
    )
    add_min_quality(parser)
    add_on_error_option(parser)
    add_format_options(parser, csv=False)
    add_encoder_options(parser)


def label_sources(
    args: argparse.Namespace,
) -> tuple[dict[Path, Label], list[tuple[Path, str]]]:
    """Return every file of the sources with its label, and what a gallery cannot take.

    Raises:
        InputError: A folder has no images; or, without ``--on-error collect``, one cannot be
            read or the name of a file is not UTF-8.
        DatasetError: The names are not of the scheme that was asked for.
    """
    labels, failures = label_files_of(args.source, args)
    for path in [path for path in labels if not is_text(str(path))]:
        if args.on_error != "collect":
            raise InputError(
                f"The name {path} is not UTF-8, so a gallery cannot keep it. Rename the file."
            )
        failures.append((path, "its name is not UTF-8, so a gallery cannot keep it."))
        say(f"skipped {path}: {failures[-1][1]}")
        del labels[path]
    return labels, failures


def put_path_first(args: argparse.Namespace) -> None:
    """Take the gallery from the end of the arguments where it stands there, as ``add`` has it."""
    if not _is_there(args.path) and _is_there(args.source[-1]):
        args.path, args.source = args.source[-1], [args.path, *args.source[:-1]]
    args.source = [Path(source) for source in args.source]


def check_is_there(path: str | Path) -> None:
    """Find out before the long work whether there is a gallery; of a server, opening asks."""
    if not _is_there(path):
        raise NoGalleryError(str(path))


def _is_there(path: str | Path) -> bool:
    from sanreid.gallery.milvus.address import is_address
    from sanreid.gallery.storage.files.filenames import is_gallery

    return is_address(path) or is_gallery(Path(path))


def check_may_go(path: Path, *, overwrite: bool) -> None:
    """Find out before the long work whether a new gallery may replace what is there."""
    from sanreid.gallery.storage.files.filenames import is_gallery

    if path.is_dir() and next(path.iterdir(), None) is None:
        if path.is_symlink() or path.is_mount() or path.samefile(Path.cwd()):
            raise GalleryError(
                f"{path} is a link, a mount point or the working directory, and a gallery cannot "
                "take the place of these. Name a folder in it."
            )
        return
    if not is_gallery(path):
        raise GalleryError(
            f"{path} exists already and is neither a gallery nor an empty folder; left as it is."
        )
    if not overwrite:
        raise GalleryError(
            f"{path} exists already. Extend it with 'sanreid gallery add', or replace it "
            "with --overwrite."
        )
