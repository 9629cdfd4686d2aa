"""``sanreid embed``: embeddings of files and folders, into one ``.npz`` file or into shards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sanreid.cli.on_ray import add_ray_options, embed_with_ray
from sanreid.cli.options import (
    add_encoder_options,
    add_format_options,
    add_names_option,
    add_on_error_option,
    encode_files,
    file_path,
    load_encoder,
)
from sanreid.cli.output import check_writable, print_json, printable, say
from sanreid.errors import ImageError, InputError
from sanreid.utils.files import atomic_write
from sanreid.utils.paths import exists
from sanreid.utils.words import counted

__all__ = ["add_to"]

_DESCRIPTION = """\
Embed image files, and all images under folders, into FILE.npz:
  embeddings   (N, D) float32, rows of L2 norm 1
  paths        (N,) the files, in the same order
  fingerprint  which weights and preprocessing made them
Read it with numpy.load(FILE)["embeddings"].

With --shards, embed into Parquet files in the directory DIR, one row per file: path, embedding,
error, pid, pid_is_text, camid, timestamp, fingerprint. A file that cannot be read is a row with
its error, is named, and is not tried again. If the command is interrupted, run it again with
--resume; each path is embedded once.

With --ray as well, the actors of a Ray cluster embed (extra "ray"): ADDRESS is host:port, "auto"
for the cluster of this machine, "local" for one of its own. Every machine must see the files.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "embed",
        help="embed files and folders into a .npz file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", nargs="+", type=file_path, metavar="SOURCE", help="image files and folders"
    )
    parser.add_argument(
        "-o", "--output", type=file_path, required=True, metavar="FILE.npz|DIR",
        help="where to write: one file, or with --shards a directory",
    )  # fmt: skip
    parser.add_argument("--shards", action="store_true", help="write Parquet files into DIR")
    parser.add_argument(
        "--resume", action="store_true", help="with --shards: continue what DIR holds"
    )
    add_ray_options(parser)
    add_names_option(
        parser,
        more=("none",),
        default=None,
        default_means="with --shards: as in Market-1501 where all names fit, else none",
    )
    add_on_error_option(parser, more="; --shards always collects")
    add_format_options(parser, csv=False)
    add_encoder_options(parser)
    parser.set_defaults(run=_run, usage_error=parser.error)


def _run(args: argparse.Namespace) -> int:
    import numpy as np

    _check_effects(args)
    if args.shards:
        return _run_shards(args)
    check_writable(args.output)
    encoder = load_encoder(args)
    encoded = encode_files(encoder, args.source, args)
    with atomic_write(args.output) as file:
        np.savez(
            file,
            embeddings=encoded.embeddings,
            paths=np.array([str(path) for path in encoded.paths], dtype=np.str_),
            fingerprint=np.array(encoder.fingerprint),
        )
    count, dim = encoded.embeddings.shape
    if args.json:
        print_json(
            {
                "file": str(args.output),
                "embeddings": count,
                "dim": dim,
                "fingerprint": encoder.fingerprint,
                "failures": _listed(encoded.failures),
            }
        )
        return 0
    skipped = f", {len(encoded.failures)} skipped" if encoded.failures else ""
    print(f"{printable(args.output)}: {count} embeddings of {dim} numbers{skipped}")
    return 0


def _check_effects(args: argparse.Namespace) -> None:
    """Refuse options that would have no effect."""
    for name in ("actors", "actor_cpus", "actor_gpus"):
        if args.ray is None and getattr(args, name) is not None:
            args.usage_error(f"--{name.replace('_', '-')} needs --ray")
    if not args.shards:
        if args.resume or args.ray is not None:
            option = "--resume" if args.resume else "--ray"
            args.usage_error(f"{option} needs --shards: a .npz file is written in one step")
        if args.names is not None:
            args.usage_error("--names needs --shards: a .npz file holds no people and cameras")
    elif args.on_error == "raise":
        args.usage_error(
            "--on-error raise does not go with --shards: a file that cannot be read is a row"
        )


def _run_shards(args: argparse.Namespace) -> int:
    from sanreid.cli.labels import read_labels

    for source in args.source:
        if not exists(source):  # it would be a row for ever
            raise InputError(f"There is no file or folder {source}.")
    encoder = load_encoder(args)
    names = args.names or "auto"
    labels = read_labels(args.source, names, failures=[])  # encode_to() reports them
    if args.ray is not None:
        done = embed_with_ray(encoder, labels, args)
    else:
        done = encoder.encode_to(
            args.output,
            args.source,
            resume=args.resume,
            labels=labels,
            batch_size=args.batch_size,
            flip=args.flip,
        )
    failed = [*done.earlier_failures, *done.failures]
    if failed and done.embedded + done.resumed == len(done.earlier_failures):
        path, reason = failed[0]
        raise ImageError(f"None of the {len(failed)} files could be read; first {path}: {reason}")
    if done.earlier_failures:
        files = counted(len(done.earlier_failures), "file", "files")
        (path, reason), *_ = done.earlier_failures
        say(f"{files} could not be read before, not tried again; first {path}: {reason}")
    for path, reason in done.failures:
        say(f"skipped {path}: {reason}")
    if args.json:
        print_json(
            {
                "directory": str(args.output),
                "embedded": done.embedded,
                "resumed": done.resumed,
                "fingerprint": encoder.fingerprint,
                "failures": _listed(done.failures),
                "earlier_failures": _listed(done.earlier_failures),
            }
        )
        return 0
    before = f", {counted(done.resumed, 'was', 'were')} there" if done.resumed else ""
    unread = f", {len(failed)} could not be read" if failed else ""
    files = counted(done.embedded, "file", "files")
    print(f"{printable(args.output)}: {files} embedded{before}{unread}")
    return 0


def _listed(failures: Sequence[tuple[Path, str]]) -> list[dict[str, str]]:
    return [{"path": str(path), "reason": reason} for path, reason in failures]
