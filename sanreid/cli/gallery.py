"""``sanreid gallery``: build one on disk, add to it, search it, browse it, check it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.cli.browse import add_to as add_browse
from sanreid.cli.labels import UNKNOWN, Label, read_labels
from sanreid.cli.options import (
    add_encoder_options,
    add_format_options,
    add_on_error_option,
    encode_files,
    file_path,
    fraction,
    json_object,
    load_encoder,
    positive_int,
)
from sanreid.cli.output import check_writable, print_json, print_rows, printable, say
from sanreid.errors import GalleryError

if TYPE_CHECKING:
    from sanreid.encoder import EncodedFiles, SANEncoder
    from sanreid.gallery import Gallery, SearchResult

__all__ = ["add_to"]

_NAMES = ("auto", "none", "market1501", "cuhk03", "cuhk01", "pku", "folders")
_WHERE = (
    "filter on id, pid, camid, timestamp and metadata keys, for example "
    """'{"camid": {"$ne": 2}}'"""
)
_COLUMNS = ("query", "rank", "similarity", "pid", "camid", "id", "path")  # of a search


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "gallery", help="build, extend, search, browse and check a gallery"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION", title="actions")

    build = actions.add_parser("build", help="embed files and folders into a new gallery")
    build.add_argument("--overwrite", action="store_true", help="replace a gallery that is there")
    build.set_defaults(run=_build)
    add = actions.add_parser("add", help="embed files and folders into an existing gallery")
    add.add_argument(
        "--new-only",
        action="store_true",
        help="leave out files that the gallery holds already, by their path",
    )
    add.set_defaults(run=_add)
    for action in (build, add):
        action.add_argument("source", nargs="+", type=file_path, metavar="SOURCE")
        action.add_argument("path", type=file_path, metavar="PATH", help="the gallery's directory")
        action.add_argument(
            "--names",
            choices=_NAMES,
            default="auto",
            help="how file names tell person and camera (default: auto, as in Market-1501 where "
            "all names of a folder fit, else nobody is named); a person named by a number is that "
            "number, 0007 is 7",
        )
        add_on_error_option(action)
        add_format_options(action, csv=False)
        add_encoder_options(action)

    search = actions.add_parser("search", help="find the entries most like each query image")
    search.add_argument("path", type=file_path, metavar="PATH", help="the gallery's directory")
    search.add_argument(
        "query", nargs="+", type=file_path, metavar="QUERY", help="images or folders"
    )
    search.add_argument("-k", type=positive_int, default=10, help="hits a query (default: 10)")
    search.add_argument("--where", type=json_object, metavar="JSON", help=_WHERE)
    search.add_argument(
        "--min-similarity", type=fraction, metavar="S", help="leave out hits below this cosine"
    )
    search.add_argument("--picture", type=file_path, metavar="FILE", help="draw the ranked lists")
    add_format_options(search)
    add_encoder_options(search)
    search.set_defaults(run=_search)

    add_browse(actions, _WHERE)
    info = actions.add_parser("info", help="what a gallery holds")
    info.set_defaults(run=_info)
    verify = actions.add_parser("verify", help="read everything and compare all checksums")
    verify.set_defaults(run=_verify)
    for action in (info, verify):
        action.add_argument("path", type=file_path, metavar="PATH", help="the gallery's directory")
        add_format_options(action, csv=False)


def _build(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    if args.path.exists():
        _check_may_go(args.path, overwrite=args.overwrite)
    encoder = load_encoder(args)
    gallery = Gallery(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
    encoded, people = _fill(gallery, encoder, args)
    gallery.save(args.path)
    return _say_added(gallery, encoded, people, args)


def _add(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    _check_is_there(args.path)
    encoder = load_encoder(args)
    with Gallery.open(args.path, encoder_fingerprint=encoder.fingerprint) as gallery:
        encoded, people = _fill(gallery, encoder, args, new_only=args.new_only)
        return _say_added(gallery, encoded, people, args)


def _check_may_go(path: Path, *, overwrite: bool) -> None:
    """Find out before the long work whether a new gallery may take the place of what is there."""
    from sanreid.gallery.storage.files.filenames import is_gallery

    if path.is_dir() and next(path.iterdir(), None) is None:
        if path.is_symlink() or path.is_mount() or path.samefile(Path.cwd()):
            raise GalleryError(
                f"{path} is a link, a mount point or the working directory, and a gallery cannot "
                "take the place of these. Name a folder in it."
            )
        return
    if not overwrite:
        raise GalleryError(
            f"{path} exists already. Extend it with 'sanreid gallery add', or replace it "
            "with --overwrite."
        )
    if not is_gallery(path):
        raise GalleryError(f"{path} is neither a gallery nor an empty folder; left as it is.")


def _check_is_there(path: Path) -> None:
    """Find out before the long work whether there is a gallery."""
    from sanreid.gallery.storage.files.filenames import is_gallery

    if not is_gallery(path):
        raise GalleryError(
            f"There is no gallery at {path}. Make one with 'sanreid gallery build'."
        )


def _fill(
    gallery: Gallery, encoder: SANEncoder, args: argparse.Namespace, *, new_only: bool = False
) -> tuple[EncodedFiles, list[Label]]:
    """Embed the sources and add them."""
    named = read_labels(args.source, args.names)
    again = _held_already(gallery, named)
    if again and new_only:
        named = {path: person for path, person in named.items() if path not in again}
        say(f"{len(again)} files that the gallery holds already are left out")
    elif again:
        say(
            f"{len(again)} of these files are in the gallery already and are added once more; "
            "--new-only leaves them out"
        )
    encoded = encode_files(encoder, list(named), args)
    people = [named.get(Path(path), UNKNOWN) for path in encoded.paths]
    gallery.add(
        encoded.embeddings,
        pids=[pid for pid, _ in people],
        camids=[camid for _, camid in people],
        metadata=[{"path": str(path)} for path in encoded.paths],
        encoder_fingerprint=encoder.fingerprint,
    )
    return encoded, people


def _held_already(gallery: Gallery, paths: Iterable[Path]) -> set[Path]:
    if not len(gallery):
        return set()
    held = gallery.find({"path": {"$in": [str(path) for path in paths]}})
    return {Path(entry.metadata["path"]) for entry in gallery.get(held)}


def _say_added(
    gallery: Gallery, encoded: EncodedFiles, people: list[Label], args: argparse.Namespace
) -> int:
    count = len({pid for pid, _ in people if pid is not None})
    if args.json:
        failures = [{"path": str(path), "reason": reason} for path, reason in encoded.failures]
        print_json(
            {
                "path": str(args.path),
                "added": len(encoded.paths),
                "entries": len(gallery),
                "failures": failures,
            }
        )
        return 0
    who = f"{count} people by their file names" if count else "nobody named, see --names"
    added = f"{len(encoded.paths)} added ({who})"
    print(f"{printable(args.path)}: {added}, {len(gallery)} entries")
    return 0


def _search(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    if args.picture is not None:
        from sanreid.viz import check_suffix

        check_suffix(args.picture)
        check_writable(args.picture)
    _check_is_there(args.path)
    encoder = load_encoder(args)
    with Gallery.open(args.path, mode="r", encoder_fingerprint=encoder.fingerprint) as gallery:
        encoded = encode_files(encoder, args.query, args)
        result = gallery.search(
            encoded.embeddings,
            max(1, min(args.k, len(gallery))),  # places beyond would be printed by nobody
            where=args.where,
            min_similarity=args.min_similarity,
        )
    queries = [str(path) for path in encoded.paths]
    if args.json:
        hits = [[_record(hit) for hit in result[i]] for i in range(len(queries))]
        print_json([{"query": q, "hits": h} for q, h in zip(queries, hits, strict=True)])
    else:
        print_rows(_rows(queries, result), _COLUMNS, args, group="query")
    without = int((result.counts == 0).sum())
    if without:
        say(f"{without} of {len(queries)} queries found nothing")
    if args.picture is not None:
        from sanreid.viz import ranked_list, save_picture

        save_picture(ranked_list(queries, result), args.picture)
        say(f"the ranked lists are drawn in {args.picture}")
    return 0


def _rows(queries: Sequence[str], result: SearchResult) -> list[dict[str, Any]]:
    """A row for each hit; one that names the query alone where it found nothing."""
    rows: list[dict[str, Any]] = []
    for i, query in enumerate(queries):
        hits = [
            {**_record(hit), "query": query, "rank": rank, "path": hit.metadata.get("path")}
            for rank, hit in enumerate(result[i], start=1)
        ]
        rows += hits or [{**dict.fromkeys(_COLUMNS), "query": query}]
    return rows


def _record(hit: Any) -> dict[str, Any]:  # noqa: ANN401 - the gallery's hit
    return {
        "id": int(hit.id),
        "similarity": float(hit.similarity),
        "pid": hit.pid,
        "camid": hit.camid,
        "timestamp": hit.timestamp,
        "metadata": hit.metadata,
    }


def _info(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    with Gallery.open(args.path, mode="r") as gallery:
        stats = gallery.stats()
    if args.json:
        print_json(stats)
        return 0
    width = max(map(len, stats))
    for key, value in stats.items():
        print(f"{key:<{width}}  {'-' if value is None else printable(value)}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    with Gallery.open(args.path, mode="r") as gallery:
        gallery.verify()
        entries = len(gallery)
    if args.json:
        print_json({"path": str(args.path), "ok": True, "entries": entries})
        return 0
    print(f"{printable(args.path)}: ok, {entries} entries")
    return 0
