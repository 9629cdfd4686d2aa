"""``sanreid embed``: embeddings of files and folders, into one ``.npz`` file or into shards."""

from __future__ import annotations

import argparse

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
from sanreid.utils.files import atomic_write
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
its error. If the command is interrupted, run it again with --resume; each path is embedded once.

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
        parser, more=("none",), default_means="as in Market-1501 where all names fit, else none"
    )
    add_on_error_option(parser)
    add_format_options(parser, csv=False)
    add_encoder_options(parser)
    parser.set_defaults(run=_run, usage_error=parser.error)


def _run(args: argparse.Namespace) -> int:
    import numpy as np

    if args.shards:
        return _run_shards(args)
    for option, given in (("--resume", args.resume), ("--ray", args.ray is not None)):
        if given:
            args.usage_error(f"{option} needs --shards: a .npz file is written in one step")
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
        failures = [{"path": str(path), "reason": reason} for path, reason in encoded.failures]
        print_json(
            {
                "file": str(args.output),
                "embeddings": count,
                "dim": dim,
                "fingerprint": encoder.fingerprint,
                "failures": failures,
            }
        )
        return 0
    skipped = f", {len(encoded.failures)} skipped" if encoded.failures else ""
    print(f"{printable(args.output)}: {count} embeddings of {dim} numbers{skipped}")
    return 0


def _run_shards(args: argparse.Namespace) -> int:
    from sanreid.cli.labels import read_labels

    encoder = load_encoder(args)
    labels = read_labels(args.source, args.names, failures=[])  # encode_to() reports them
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
    for path, reason in done.failures:
        say(f"skipped {path}: {reason}")
    if args.json:
        print_json(
            {
                "directory": str(args.output),
                "embedded": done.embedded,
                "resumed": done.resumed,
                "fingerprint": encoder.fingerprint,
                "failures": [{"path": str(p), "reason": reason} for p, reason in done.failures],
            }
        )
        return 0
    before = f", {done.resumed} were there" if done.resumed else ""
    failed = f", {len(done.failures)} could not be read" if done.failures else ""
    files = counted(done.embedded, "file", "files")
    print(f"{printable(args.output)}: {files} embedded{before}{failed}")
    return 0
