"""``sanreid embed --ray``: the actors of a cluster embed, this process writes the shards."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.cli.labels import Label
from sanreid.cli.options import positive_int
from sanreid.errors import SanreidError

if TYPE_CHECKING:
    from sanreid.encoder import SANEncoder
    from sanreid.inference.resumable import EncodedShards

__all__ = ["add_ray_options", "embed_with_ray"]

_DEFAULT = "default"  # RAY_ADDRESS, else a cluster of this machine


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    """Add where Ray is, and what its actors may take."""
    group = parser.add_argument_group("Ray")
    group.add_argument(
        "--ray",
        nargs="?",
        const=_DEFAULT,
        type=_address,
        metavar="ADDRESS",
        help="with --shards: embed on this Ray cluster; without ADDRESS on that of RAY_ADDRESS, "
        "else on this machine",
    )
    group.add_argument(
        "--actors",
        type=positive_int,
        metavar="N",
        help="actors, each with one encoder (default: as many as there is room for)",
    )
    group.add_argument(
        "--actor-cpus", type=_amount, metavar="X", help="CPUs of an actor (default: 1)"
    )
    group.add_argument(
        "--actor-gpus",
        type=_amount,
        metavar="X",
        help="GPUs of an actor; 0.25 lets four share one (default: 0)",
    )


def embed_with_ray(
    encoder: SANEncoder, labels: Mapping[Path, Label], args: argparse.Namespace
) -> EncodedShards:
    """Connect, embed, and leave the cluster.

    Raises:
        MissingExtraError: Ray is not installed.
        SanreidError: There is no such cluster, or the work failed there.
    """
    from sanreid.scale import embed_files
    from sanreid.scale.ray_data import load_ray

    ray, ray_data = load_ray(), load_ray("ray.data")
    was_connected = ray.is_initialized()
    if not was_connected:
        _connect(ray, args.ray)
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False  # ours counts files
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        return embed_files(
            args.output,
            args.source,
            encoder=encoder,
            resume=args.resume,
            labels=labels,
            device=args.device,
            dtype=None if args.dtype == "auto" else args.dtype,
            batch_size=args.batch_size,
            flip=args.flip,
            actors=args.actors,
            num_cpus=args.actor_cpus,
            num_gpus=args.actor_gpus or 0.0,
        )
    finally:
        if not was_connected:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401 - a module
    try:
        ray.init(
            address=None if address == _DEFAULT else address,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SanreidError(f"There is no Ray cluster at {address}: {reason}") from error


def _address(text: str) -> str:
    if text in {"auto", "local", _DEFAULT} or ":" in text:
        return text
    raise argparse.ArgumentTypeError(
        f"an address is host:port, auto or local, not {text!r}; write SOURCE before --ray"
    )


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of at least 0 is wanted, not {text!r}")
    return number
