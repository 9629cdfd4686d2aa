"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sanreid.cli.output import say

if TYPE_CHECKING:
    from sanreid.encoder import EncodedFiles, SANEncoder

__all__ = [
    "add_encoder_options",
    "add_format_options",
    "add_names_option",
    "cosine",
    "encode_files",
    "file_path",
    "fraction",
    "gallery_path",
    "json_object",
    "load_encoder",
    "positive_int",
]


def add_encoder_options(parser: argparse.ArgumentParser, *, batches: bool = True) -> None:
    """Add what decides which encoder runs, where and, with ``batches``, how."""
    group = parser.add_argument_group("encoder")
    group.add_argument(
        "--weights",
        metavar="W",
        help="name (see 'sanreid weights list'), weights directory or Hub repository; "
        "default: the bundled weights",
    )
    group.add_argument(
        "--device", metavar="D", default="auto", help="cpu, cuda, cuda:1, ... (default: auto)"
    )
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="arithmetic (default: auto, bfloat16 where the processor has it)",
    )
    if batches:
        group.add_argument(
        "--batch-size", type=positive_int, default=64, metavar="N",
        help="crops in the network at once (default: 64)",
    )  # fmt: skip
        group.add_argument(
            "--flip", action="store_true", help="average with the mirrored crop: twice the time"
        )
    group.add_argument("--offline", action="store_true", help="never reach the network")


def add_on_error_option(parser: argparse.ArgumentParser, *, more: str = "") -> None:
    """Add what becomes of files that cannot be read; None where it is not given.

    Args:
        parser: What to add it to.
        more: What else the help says.
    """
    parser.add_argument(
        "--on-error",
        choices=("raise", "collect"),
        help="an unreadable file ends the command, or is named and skipped (default: raise)"
        + more,
    )


def add_names_option(
    group: argparse._ActionsContainer,
    *,
    more: Sequence[str] = (),
    default: str | None = "auto",
    default_means: str = "the scheme that all names fit",
) -> None:
    """Add ``--names``, the scheme of the crops' file names.

    Args:
        group: What to add it to.
        more: Other values that the command takes.
        default: The default; None is ``auto`` to a command that asks whether it was given.
        default_means: What the default does.
    """
    from sanreid.datasets.schemes import AUTO, NameScheme

    known = ", ".join((AUTO, *more, *NameScheme))
    group.add_argument(
        "--names",
        type=lambda text: text if text in more else naming(text),
        default=default,
        metavar="SCHEME",
        help=f"how file names tell person and camera: {known}, or a pattern of your own, "
        r"'regex:(?P<pid>\d+)_cam(?P<camid>\d+)' "
        f"(default: {default or AUTO}, {default_means})",
    )


def naming(text: str) -> str:
    """Read the name of a scheme, or a pattern."""
    from sanreid.datasets.schemes import check_names
    from sanreid.errors import InputError

    try:
        check_names(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_format_options(parser: argparse.ArgumentParser, *, csv: bool = True) -> None:
    """Add ``--json`` and ``--csv``; a table for people is the default."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="print JSON")
    if csv:
        group.add_argument("--csv", action="store_true", help="print CSV")
    else:
        parser.set_defaults(csv=False)


def load_encoder(args: argparse.Namespace) -> SANEncoder:
    """Return the encoder that the options of :func:`add_encoder_options` name."""
    import sanreid

    return sanreid.SANEncoder.from_pretrained(
        args.weights, device=args.device, dtype=args.dtype, local_files_only=args.offline
    )


def encode_files(
    encoder: SANEncoder, paths: Sequence[Path], args: argparse.Namespace, *, or_none: bool = False
) -> EncodedFiles:
    """Embed files and folders; name those skipped under ``--on-error collect``.

    Args:
        encoder: What embeds them.
        paths: Files and folders.
        args: With the options that decide how.
        or_none: That none of them can be read is no error under ``collect``.

    Raises:
        ImageError: A file cannot be read, or under ``collect`` none of them can.
    """
    from sanreid.errors import ImageError

    on_error: Literal["raise", "collect"] = args.on_error or "raise"
    encoded = encoder.encode_files(
        paths, on_error=on_error, batch_size=args.batch_size, flip=args.flip
    )
    if encoded.failures and not len(encoded.paths) and not or_none:
        path, reason = encoded.failures[0]
        raise ImageError(
            f"None of the {len(encoded.failures)} files could be read; first {path}: {reason}"
        )
    for path, reason in encoded.failures:
        say(f"skipped {path}: {reason}")
    return encoded


def file_path(text: str) -> Path:
    """Read a path; an empty one (of an unset shell variable, say) is not the current folder."""
    from sanreid.errors import InputError
    from sanreid.utils.paths import as_path

    if not text:
        raise argparse.ArgumentTypeError("a path is wanted, not an empty text")
    try:
        return as_path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def gallery_path(text: str) -> str | Path:
    """Read the path of a gallery, or an address on Milvus, which is no path."""
    from sanreid.errors import InputError
    from sanreid.gallery.milvus.address import is_address, parse_address

    if not is_address(text):
        return file_path(text)
    try:
        parse_address(text)
    except InputError as error:  # without the token
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def positive_int(text: str) -> int:
    """Read a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is wanted, not {text!r}")
    return number


def cosine(text: str) -> float:
    """Read a cosine similarity, from -1 to 1."""
    return _between(text, -1, 1)


def fraction(text: str) -> float:
    """Read a share or a score, from 0 to 1."""
    return _between(text, 0, 1)


def _between(text: str, least: int, most: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(
            f"a number from {least} to {most} is wanted, not {text!r}"
        )
    return number


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise argparse.ArgumentTypeError("nested too deep") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error}): {text[:200]}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(
            f'an object such as {{"camid": 2}} is wanted, not {text[:200]}'
        )
    return value
