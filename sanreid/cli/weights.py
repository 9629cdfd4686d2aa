"""``sanreid weights``: what there is and under which terms; check, download, convert."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sanreid.cli.options import add_format_options, file_path, positive_int
from sanreid.cli.output import print_json, print_rows, printable

if TYPE_CHECKING:
    from sanreid.weights import WeightsEntry

__all__ = ["add_to"]

_SHOWN = {"rank1": "rank-1"}  # names of figures that read otherwise


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser("weights", help="list, verify, download and convert weights")
    actions = parser.add_subparsers(required=True, metavar="ACTION", title="actions")

    listing = actions.add_parser("list", help="the released weights, their licence and terms")
    add_format_options(listing)
    listing.set_defaults(run=_list)

    verify = actions.add_parser(
        "verify", help="compare local files with their released SHA-256, without the network"
    )
    verify.add_argument("name", nargs="?", metavar="NAME", help="default: all that are here")
    verify.set_defaults(run=_verify)

    download = actions.add_parser("download", help="fetch weights now, for work offline later")
    download.add_argument("name", metavar="NAME", help="a released name or a Hub repository")
    download.add_argument("--revision", help="branch, tag or commit of a Hub repository")
    download.add_argument("--force", action="store_true", help="fetch again even if it is here")
    download.set_defaults(run=_download)

    convert = actions.add_parser(
        "convert",
        help="make a weights directory of another project's checkpoint",
        description="Read a checkpoint of SAN's released code, of torchreid's resnet50_fc512 or "
        "resnet50, or of torchvision's ResNet-50, and write a weights directory for --weights.",
    )
    convert.add_argument("source", type=file_path, metavar="IN", help="the checkpoint")
    convert.add_argument(
        "directory", type=file_path, metavar="OUT_DIR", help="the weights directory to write"
    )
    convert.add_argument(
        "--input-size",
        type=positive_int,
        nargs=2,
        default=(256, 128),
        metavar=("H", "W"),
        help="crops are resized to this (default: 256 128)",
    )
    convert.add_argument(
        "--last-stride",
        type=int,
        choices=(1, 2),
        help="of the last stage (default: what the checkpoint's project trained with)",
    )
    convert.set_defaults(run=_convert)


def _list(args: argparse.Namespace) -> int:
    from sanreid.weights import read_manifest

    manifest = read_manifest()
    entries = list(manifest.weights.values())
    if args.json:
        print_json([_record(entry, manifest.default) for entry in entries])
        return 0
    rows = [_row(entry, manifest.default) for entry in entries]
    columns = ("name", "role", "dim", "input", "MB", "where")
    if args.csv:
        print_rows(rows, (*columns, "default", "licence"), args)
        return 0
    print_rows([row | {"name": row["name"] + row["star"]} for row in rows], columns, args)
    print("\n* the default. The MIT licence of the code does not cover the weights:")
    for entry in entries:
        print(f"\n{entry.name}: {entry.license}")
        for data in entry.training_data:
            count = f"{data['identities']:,} people, {data['crops']:,} crops"
            print(f"  trained on {data['name']}: {count}; {data['terms']}")
        for metric in entry.metrics:
            print(f"  reaches {_figures(metric)} on {metric['dataset']} ({metric['protocol']})")
        if entry.limits:
            print(f"  where it fails: {entry.limits}")
    return 0


def _figures(metric: Mapping[str, Any]) -> str:
    """Return the numbers of one measurement, by name."""
    numbers = {name: value for name, value in metric.items() if isinstance(value, int | float)}
    return ", ".join(
        f"{_SHOWN.get(name, name.replace('_', ' '))} {value:.3f}"
        for name, value in numbers.items()
    )


def _verify(args: argparse.Namespace) -> int:
    from sanreid.weights import list_weights, verify

    names = [args.name] if args.name else _local_names()
    entries = list_weights()
    for name in names:
        path = verify(name)
        print(f"{name}: ok, sha256 {entries[name].sha256}, {printable(path)}")
    return 0


def _local_names() -> list[str]:
    """Bundled weights, and those of the Hub that are in its cache."""
    from sanreid.errors import ChecksumError, WeightsError
    from sanreid.weights import list_weights, verify
    from sanreid.weights.manifest import is_left_out

    names = []
    for name, entry in list_weights().items():
        if entry.hub is not None:
            try:
                verify(name)
            except ChecksumError:
                pass  # here and wrong: the caller's check says so
            except WeightsError:
                print(f"{name}: not downloaded")
                continue
        elif is_left_out(entry):
            print(f"{name}: not in this installation")
            continue
        names.append(name)
    return names


def _download(args: argparse.Namespace) -> int:
    from sanreid.weights import download

    path = download(args.name, revision=args.revision, force=args.force)
    print(f"{args.name}: {printable(path)}")
    return 0


def _convert(args: argparse.Namespace) -> int:
    from sanreid.weights import convert

    size = (args.input_size[0], args.input_size[1])
    convert(args.source, args.directory, input_size=size, last_stride=args.last_stride)
    directory = printable(args.directory)
    print(f"{directory}: written; use it with --weights {directory}")
    return 0


def _row(entry: WeightsEntry, default: str) -> dict[str, Any]:
    encoder = entry.config if entry.role == "encoder" else entry.config.get("encoder", {})
    height, width = encoder.get("input_size", (None, None))
    return {
        "name": entry.name,
        "star": " *" if entry.name == default else "",
        "default": "yes" if entry.name == default else "no",
        "role": entry.role,
        "dim": entry.config.get("embedding_dim"),
        "input": f"{height} x {width}" if height else None,
        "MB": round(entry.size_bytes / 1e6),
        "where": _where(entry),
        "licence": entry.license,
    }


def _where(entry: WeightsEntry) -> str:
    from sanreid.weights.manifest import is_left_out

    if entry.hub is not None:
        return f"Hub, {entry.hub.repo_id}"
    return "the repository" if is_left_out(entry) else "bundled"


def _record(entry: WeightsEntry, default: str) -> dict[str, Any]:
    record = dataclasses.asdict(entry)
    return {**record, "where": _where(entry), "default": entry.name == default}
