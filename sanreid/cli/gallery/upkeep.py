"""``sanreid gallery info``, ``verify``, ``remove``, ``compact`` and ``calibrate``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sanreid.cli.gallery.shared import WHERE, add_path, check_is_there
from sanreid.cli.options import (
    add_encoder_options,
    add_format_options,
    add_names_option,
    add_on_error_option,
    encode_files,
    file_path,
    fraction,
    json_object,
    load_encoder,
)
from sanreid.cli.output import print_json, printable, shown
from sanreid.errors import InputError
from sanreid.utils.words import counted

if TYPE_CHECKING:
    from sanreid.cli.gallery.shared import Actions

__all__ = ["add_to"]


def add_to(actions: Actions) -> None:
    """Add the commands."""
    info = actions.add_parser("info", help="what a gallery holds")
    info.set_defaults(run=_info)
    verify = actions.add_parser("verify", help="read everything and compare all checksums")
    verify.set_defaults(run=_verify)
    compact = actions.add_parser(
        "compact", help="erase what was removed or replaced from the disk, without a trace"
    )
    compact.set_defaults(run=_compact)
    remove = actions.add_parser("remove", help="remove entries by their ids or by a filter")
    remove.set_defaults(run=_remove)
    calibrate = actions.add_parser(
        "calibrate", help="set the threshold between a person and unknown, from named crops"
    )
    calibrate.set_defaults(run=_calibrate)
    for action in (info, verify, compact, remove, calibrate):
        add_path(action)
        add_format_options(action, csv=False)
    remove.add_argument("id", nargs="*", type=int, metavar="ID", help="entries to remove")
    remove.add_argument("--where", type=json_object, metavar="JSON", help=WHERE)
    remove.set_defaults(usage_error=remove.error)
    calibrate.add_argument(
        "source",
        nargs="*",
        type=file_path,
        metavar="SOURCE",
        help="crops whose names tell person and camera (default: the gallery's own entries)",
    )
    calibrate.add_argument(
        "--false-match-rate",
        type=fraction,
        default=0.01,
        metavar="R",
        help="the share of pairs of two people that may pass for one (default: 0.01)",
    )
    calibrate.add_argument(
        "--tracklets",
        metavar="KEY",
        help="calibrate without people, from the gallery's own entries: those with the same "
        "value under KEY in their metadata are one tracklet, and two tracklets with entries of "
        "one camera and one time are two people",
    )
    calibrate.set_defaults(usage_error=calibrate.error)
    add_names_option(calibrate, default=None)
    add_on_error_option(calibrate)
    add_encoder_options(calibrate)


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
    return _answer(args, {"ok": True, "entries": entries}, f"ok, {_entries(entries)}")


def _entries(number: int) -> str:
    return counted(number, "entry", "entries")


def _compact(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    check_is_there(args.path)
    with Gallery.open(args.path) as gallery:
        gallery.compact()
        entries = len(gallery)
    return _answer(args, {"entries": entries}, f"compacted, {_entries(entries)}")


def _remove(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery
    from sanreid.gallery.milvus.address import is_address, parse_address

    if bool(args.id) == (args.where is not None):
        args.usage_error("pass ids, or --where JSON")
    check_is_there(args.path)
    with Gallery.open(args.path) as gallery:
        removed = gallery.remove(args.id) if args.id else gallery.remove(where=args.where)
        entries = len(gallery)
    erased = "'sanreid gallery compact' erases them from disk"
    if is_address(args.path) and parse_address(args.path).is_lite:
        erased = "Milvus Lite decides itself when their rows leave its files"
    words = f"{removed} removed, {_entries(entries)}; {erased}"
    return _answer(args, {"removed": removed, "entries": entries}, words)


def _calibrate(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    if args.source and args.tracklets is not None:
        args.usage_error("--tracklets is about the gallery's own entries: leave SOURCE out")
    for option in ("names", "on_error", "weights"):
        if not args.source and getattr(args, option) is not None:
            args.usage_error(
                f"--{option.replace('_', '-')} needs SOURCE: entries are not embedded"
            )
    check_is_there(args.path)
    encoder = load_encoder(args) if args.source else None
    fingerprint = None if encoder is None else encoder.fingerprint
    with Gallery.open(args.path, encoder_fingerprint=fingerprint) as gallery:
        if args.tracklets is not None:
            calibration = gallery.calibrate_tracklets(
                **_tracklets_of(gallery, args.tracklets), false_match_rate=args.false_match_rate
            )
        else:
            crops = _entries_of(gallery) if encoder is None else _crops_of(encoder, args)
            calibration = gallery.calibrate(*crops, false_match_rate=args.false_match_rate)
    known = calibration.to_dict()
    curves = {key for key, value in known.items() if isinstance(value, list | tuple)}
    figures = {key: value for key, value in known.items() if key not in curves - {"interval"}}
    low, high = calibration.interval
    words = (
        f"threshold {calibration.threshold:.4f}: {calibration.false_match_rate:.2%} of pairs of "
        f"two people pass ({low:.2%} to {high:.2%}), {calibration.false_non_match_rate:.2%} of "
        f"pairs of one person do not; {calibration.num_people} {calibration.source}, "
        f"{calibration.num_genuine:,} and {calibration.num_impostor:,} pairs"
    )
    return _answer(args, figures, words)


def _entries_of(gallery: Any) -> tuple[Any, list[Any], list[Any]]:  # noqa: ANN401 - see Gallery
    """Return embeddings, people and cameras of the entries that have a person."""
    import numpy as np

    entries = [entry for entry in gallery.get(gallery.ids) if entry.pid is not None]
    if not entries:
        raise InputError(
            "No entry of this gallery has a person, so there is nothing to calibrate with. Name "
            "a SOURCE folder of crops whose names tell person and camera."
        )
    return (
        np.stack([entry.embedding for entry in entries]),
        [entry.pid for entry in entries],
        [entry.camid for entry in entries],
    )


def _tracklets_of(gallery: Any, key: str) -> dict[str, Any]:  # noqa: ANN401 - see Gallery
    """Return the entries that name a tracklet, as arguments of ``calibrate_tracklets``."""
    import numpy as np

    entries = [entry for entry in gallery.get(gallery.ids) if entry.metadata.get(key) is not None]
    if not entries:
        raise InputError(f"No entry of this gallery has {key!r} in its metadata.")
    return {
        "embeddings": np.stack([entry.embedding for entry in entries]),
        "tracklet_names": [entry.metadata[key] for entry in entries],
        "camids": [entry.camid for entry in entries],
        "timestamps": [entry.timestamp for entry in entries],
    }


def _crops_of(encoder: Any, args: argparse.Namespace) -> tuple[Any, list[Any], list[Any]]:  # noqa: ANN401 - SANEncoder
    from sanreid.cli.labels import label_files_of

    labels, _ = label_files_of(args.source, args)
    encoded = encode_files(encoder, list(labels) or args.source, args)
    people = [labels[path] for path in encoded.paths]
    return encoded.embeddings, [pid for pid, _ in people], [camid for _, camid in people]


def _answer(args: argparse.Namespace, facts: dict[str, Any], words: str) -> int:
    if args.json:
        print_json({"path": shown(args.path), **facts})
    else:
        print(f"{printable(shown(args.path))}: {words}")
    return 0
