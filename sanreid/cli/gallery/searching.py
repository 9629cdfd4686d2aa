"""``sanreid gallery search`` and ``identify``: who is on these images."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sanreid.cli.gallery.query_cameras import add_camera_options, query_files
from sanreid.cli.gallery.shared import CONTENT, WHERE, add_path, check_is_there
from sanreid.cli.options import (
    add_encoder_options,
    add_format_options,
    add_on_error_option,
    cosine,
    encode_files,
    file_path,
    json_object,
    load_encoder,
    positive_int,
)
from sanreid.cli.output import check_writable, print_json, print_rows, say
from sanreid.errors import InputError

if TYPE_CHECKING:
    from sanreid.cli.gallery.shared import Actions
    from sanreid.encoder import SANEncoder
    from sanreid.gallery import Gallery, Identification, SearchResult

__all__ = ["add_to"]

_COLUMNS = ("query", "rank", "similarity", "pid", "camid", "id", "path")  # of a search
_PEOPLE = ("query", "pid", "similarity", "margin", "nearest", "id")  # of an identification


def add_to(actions: Actions) -> None:
    """Add the commands."""
    search = actions.add_parser("search", help="find the entries most like each query image")
    _add_queries(search)
    search.add_argument("-k", type=positive_int, default=10, help="hits per query (default: 10)")
    search.add_argument(
        "--min-similarity", type=cosine, metavar="S", help="leave out hits below this cosine"
    )
    search.add_argument(
        "--rerank",
        action="store_true",
        help="order the best hits by whether they share the query's neighbours, too; "
        "similarities stay cosines",
    )
    search.add_argument(
        "--expand",
        type=positive_int,
        default=0,
        metavar="N",
        help="search again with the mean of the query and its N best hits",
    )
    search.add_argument("--picture", type=file_path, metavar="FILE", help="draw the ranked lists")
    search.set_defaults(run=_search)

    identify = actions.add_parser(
        "identify", help="name the person on each query image, or say that it is unknown"
    )
    _add_queries(identify)
    identify.add_argument(
        "--threshold",
        type=cosine,
        metavar="S",
        help="at least this similar (default: that of 'sanreid gallery calibrate', else the one "
        "that was measured for the weights)",
    )
    identify.add_argument(
        "--group",
        choices=("best", "mean"),
        default="best",
        help="a person's similarity is that of the nearest entry, or the mean of the nearest "
        "(default: best)",
    )
    identify.add_argument(
        "--top", type=positive_int, default=3, metavar="N", help="entries of the mean (default: 3)"
    )
    identify.set_defaults(run=_identify)


def _add_queries(parser: argparse.ArgumentParser) -> None:
    add_path(parser)
    parser.add_argument(
        "query",
        nargs="+",
        type=file_path,
        metavar="QUERY",
        help="images and folders, or one CSV table of images",
    )
    parser.add_argument("--where", type=json_object, metavar="JSON", help=WHERE)
    add_camera_options(parser)
    add_on_error_option(parser)
    add_format_options(parser)
    add_encoder_options(parser)


def _search(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    if args.picture is not None:
        from sanreid.viz import check_suffix

        check_suffix(args.picture)
        check_writable(args.picture)
    check_is_there(args.path)
    asked = query_files(args)
    encoder = load_encoder(args)
    with Gallery.open(args.path, mode="r", encoder_fingerprint=encoder.fingerprint) as gallery:
        encoded = encode_files(encoder, asked.files, args)
        result = gallery.search(
            encoded.embeddings,
            max(1, min(args.k, len(gallery))),  # more would be printed by nobody
            where=args.where,
            min_similarity=args.min_similarity,
            rerank=args.rerank,
            expand=args.expand,
            **asked.keywords(gallery, encoded.paths),
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
    """Return one row per hit; one with only the query if it found nothing."""
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
        "metadata": {key: value for key, value in hit.metadata.items() if key != CONTENT},
    }


def _identify(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    check_is_there(args.path)
    asked = query_files(args)
    encoder = load_encoder(args)
    with Gallery.open(args.path, mode="r", encoder_fingerprint=encoder.fingerprint) as gallery:
        threshold = _threshold(gallery, encoder, args)
        encoded = encode_files(encoder, asked.files, args)
        found = gallery.identify(
            encoded.embeddings,
            group=args.group,
            top=args.top,
            threshold=threshold,
            where=args.where,
            **asked.keywords(gallery, encoded.paths),
        )
    rows = [_person(str(path), one) for path, one in zip(encoded.paths, found, strict=True)]
    if args.json:
        print_json(rows)
        return 0
    print_rows(rows, _PEOPLE, args)
    return 0


def _threshold(gallery: Gallery, encoder: SANEncoder, args: argparse.Namespace) -> float | None:
    """Return the threshold to identify under; None for the calibrated one.

    The weights' default is one of plain similarities, and is reported.
    """
    if args.threshold is not None:
        return float(args.threshold)
    if gallery.calibration is not None:
        return None
    default = encoder.default_threshold
    if default is None or gallery.camera_normalizer is not None:
        raise InputError(
            "This gallery is not calibrated: run 'sanreid gallery calibrate', or pass --threshold."
        )
    say(
        f"this gallery is not calibrated; under the default threshold {default.similarity:g} of "
        f"{encoder.name} {default.false_match_rate:.1%} of pairs of two people passed on "
        f"{default.crops}; 'sanreid gallery calibrate' measures yours"
    )
    return default.similarity


def _person(query: str, found: Identification) -> dict[str, Any]:
    return {
        "query": query,
        "pid": found.pid,
        "similarity": _number(found.similarity),
        "margin": _number(found.margin),
        "nearest": found.candidate,
        "id": found.entry_ids[0] if found.entry_ids else None,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
