"""``sanreid embed``: embeddings of files and folders, into one ``.npz`` file."""

from __future__ import annotations

import argparse

from sanreid.cli.options import (
    add_encoder_options,
    add_format_options,
    add_on_error_option,
    encode_files,
    file_path,
    load_encoder,
)
from sanreid.cli.output import check_writable, print_json, printable
from sanreid.utils.files import atomic_write

__all__ = ["add_to"]

_DESCRIPTION = """\
Embed image files, and all images under folders, into FILE.npz:
  embeddings   (N, D) float32, rows of L2 norm 1
  paths        (N,) the files, in the same order
  fingerprint  which weights and preprocessing made them
Read it with numpy.load(FILE)["embeddings"].
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "embed",
        help="embed files and folders into a .npz file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="+", type=file_path, metavar="SOURCE")
    parser.add_argument("-o", "--output", type=file_path, required=True, metavar="FILE.npz")
    add_on_error_option(parser)
    add_format_options(parser, csv=False)
    add_encoder_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    import numpy as np

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
    passed_over = f", {len(encoded.failures)} passed over" if encoded.failures else ""
    print(f"{printable(args.output)}: {count} embeddings of {dim} numbers{passed_over}")
    return 0
