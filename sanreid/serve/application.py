"""The application that a server runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sanreid.gallery.images import Encoder
from sanreid.serve.service import Service
from sanreid.serve.settings import Limits, check_hosts, check_token
from sanreid.utils.extras import require_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["create_app"]


def create_app(
    gallery_path: str | Path,
    encoder: Encoder | str | os.PathLike[str] | None = None,
    *,
    token: str | None = None,
    read_only: bool = False,
    create: bool = False,
    wait: float | None = None,
    refresh_s: float = 1.0,
    limits: Limits | None = None,
    hosts: Iterable[str] | None = None,
) -> FastAPI:
    """Return an ASGI application that serves one gallery.

    Encoder and gallery are loaded when the server starts the application, in the process that
    answers, so it may be forked before that.

    Args:
        gallery_path: The gallery's directory.
        encoder: An encoder, or the name or directory of weights to load; None for the bundled
            ones.
        token: What a request must send as ``Authorization: Bearer TOKEN``, except for ``/health``
            and the description of the service. None: anybody may ask anything.
        read_only: Open the gallery as a reader, which sees all changes acknowledged before a
            request. There may be any number of readers, and one application that writes.
        create: Create the gallery if there is none.
        wait: Seconds to wait at the start until another writer has closed the gallery. None: 10;
            on Milvus nobody is waited for, since a new writer takes over.
        refresh_s: Seconds after which an idle reader looks for changes, so that it keeps no
            files of removed entries open.
        limits: What a request may ask.
        hosts: The host names that requests may be sent to, without ports; others are answered
            with 400. None: any. ``sanreid serve`` without a token takes those of this machine.

    Raises:
        MissingExtraError: FastAPI is not installed.
        ConfigError: The token is too short, or ``hosts`` are not several texts.
    """
    require_extra("fastapi", purpose="The service", install="sanreid[serve]")
    from sanreid.serve.routes import build_app  # noqa: PLC0415 - FastAPI, with the extra

    service = Service(
        gallery_path,
        encoder,
        read_only=read_only,
        create=create,
        wait_s=wait,
        limits=limits,
    )
    return build_app(service, check_token(token), refresh_s=refresh_s, hosts=check_hosts(hosts))
