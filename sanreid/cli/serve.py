"""``sanreid serve``: a gallery as a service over HTTP."""

from __future__ import annotations

import argparse

from sanreid.cli.options import (
    add_encoder_options,
    file_path,
    gallery_path,
    load_encoder,
    positive_int,
)
from sanreid.cli.output import say, shown
from sanreid.errors import GalleryError, NoGalleryError

__all__ = ["add_to"]

_DESCRIPTION = """\
Serve one gallery over HTTP: embed, search, identify, enrol, forget, health, metrics. It is reached
from this machine only unless --host says otherwise, which needs a token. Without a token, requests
must be sent to a host name of this machine, so that no web page can reach the gallery through the
browser. One process writes; start others with --read-only for more readers. Ctrl-C or SIGTERM
answers requests in progress and ends.
"""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="serve a gallery over HTTP",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "path",
        type=gallery_path,
        metavar="GALLERY",
        help="the gallery's directory, or its address on Milvus",
    )
    parser.add_argument("--create", action="store_true", help="create it if there is none")
    parser.add_argument(
        "--read-only", action="store_true", help="read beside another process that writes"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=_port, default=8000, help="port; 0: any (default: 8000)")
    parser.add_argument(
        "--token-file",
        type=file_path,
        metavar="FILE",
        help="holds the token that requests must send (default: the variable SANREID_TOKEN)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="without a token: another host name that requests may be sent to, such as that of a "
        "proxy in front; may be repeated",
    )
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="wait for another writer to end (default: 10; none on Milvus, where it is replaced)",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-body-mb", type=positive_int, default=16, metavar="N",
        help="megabytes of one request (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--max-crops", type=positive_int, default=64, metavar="N",
        help="crops of one request (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--max-pixels", type=positive_int, default=2**24, metavar="N",
        help="pixels of one picture (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--max-requests", type=positive_int, default=32, metavar="N",
        help="requests at once; more are answered with 503 (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--threads", type=positive_int, default=4, metavar="N",
        help="threads that embed and search (default: %(default)s)",
    )  # fmt: skip
    add_encoder_options(parser, batches=False)
    parser.set_defaults(run=_run, usage_error=parser.error)


def _port(text: str) -> int:
    """Read a port; 0 lets the system choose one."""
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number < 2**16:
        raise argparse.ArgumentTypeError(f"a port from 0 to 65535 is wanted, not {text!r}")
    return number


def _run(args: argparse.Namespace) -> int:
    from sanreid.serve import Limits, create_app, read_token, run
    from sanreid.serve.running import LOOPBACK_HOSTS, check_exposure

    if args.create and args.read_only:
        args.usage_error("--create makes a gallery, which --read-only does not write")
    token = read_token(args.token_file)
    check_exposure(args.host, token)
    limits = Limits(
        max_body_bytes=args.max_body_mb * 2**20,
        max_crops=args.max_crops,
        max_pixels=args.max_pixels,
        max_requests=args.max_requests,
        threads=args.threads,
    )
    hosts = [*LOOPBACK_HOSTS, args.host, *args.allow_host] if token is None else None
    app = create_app(
        args.path,
        load_encoder(args),
        token=token,
        read_only=args.read_only,
        create=args.create,
        wait=args.wait,
        limits=limits,
        hosts=hosts,
    )
    try:
        app.state.service.start()
    except NoGalleryError as error:
        if args.read_only:
            raise
        advice = "Pass --create for an empty one, or make one with 'sanreid gallery build'."
        raise GalleryError(f"There is no gallery at {error.place}. {advice}") from error

    def announce(port: int) -> None:
        host = f"[{args.host}]" if ":" in args.host else args.host
        where = f"http://{host}:{port}"
        does = "reading only" if args.read_only else "reading and writing"
        whom = "whoever has the token" if token else "everybody on this machine, no token"
        say(f"serving {shown(args.path)} at {where}, {does}, to {whom}; described at {where}/docs")

    run(app, host=args.host, port=args.port, on_start=announce)
    return 0
