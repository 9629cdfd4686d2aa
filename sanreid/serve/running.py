"""Running the application with uvicorn until it is told to stop."""

from __future__ import annotations

import ipaddress
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sanreid.errors import ConfigError
from sanreid.utils.extras import require_extra

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["LOOPBACK_HOSTS", "check_exposure", "run"]

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

KEEP_ALIVE_S = 75  # longer than proxies keep idle connections, so that they close them
GRACE_S = 30  # for requests in progress, once the service is told to stop


def check_exposure(host: str, token: str | None) -> None:
    """Refuse to be reached from other machines without a token.

    Raises:
        ConfigError: The address is not this machine's own, and there is no token.
    """
    if token is None and not _is_loopback(host):
        raise ConfigError(
            f"Listening on {host} lets other machines in, so a token is needed: set "
            "SANREID_TOKEN, or pass --token-file. 127.0.0.1 is reached from this machine only."
        )


def run(
    app: FastAPI,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    on_start: Callable[[int], object] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress are then answered first.

    Requests are not logged: their addresses and times are data of people too.

    Args:
        app: What :func:`sanreid.serve.create_app` returned.
        host: Address to listen on; "0.0.0.0" for all of this machine's. Use a reverse proxy with
            TLS between the service and any network.
        port: Port to listen on; 0 lets the system choose one.
        on_start: Called with the port once the service listens.

    Raises:
        MissingExtraError: uvicorn is not installed.
        ConfigError: Nothing can listen on the address.
        GalleryError: The gallery cannot be opened.
        WeightsError: The weights cannot be had.
    """
    uvicorn = require_extra("uvicorn", purpose="The service", install="sanreid[serve]")
    app.state.service.start()  # its errors are ours, not a traceback of the server
    in_main_thread = threading.current_thread() is threading.main_thread()
    # uvicorn ends in order, then raises the signal again; that must not end the process as well.
    before = signal.signal(signal.SIGTERM, _ignore) if in_main_thread else None
    try:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                access_log=False,
                log_level="warning",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        listen = server.startup

        async def startup(**options: Any) -> None:  # noqa: ANN401 - uvicorn's own
            await listen(**options)
            if on_start is not None and server.started:
                on_start(server.servers[0].sockets[0].getsockname()[1])

        server.startup = startup
        with suppress(KeyboardInterrupt, SystemExit):  # of SIGINT, raised again; of no start
            server.run()
        if not server.started:
            raise ConfigError(f"The service cannot listen on {host}, port {port}; see its log.")
    finally:
        app.state.service.stop()
        if in_main_thread:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _ignore(*_: object) -> None:
    """Take a signal without ending."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
