"""Which host names a service answers to.

A web page cannot read the answers of another host, unless its own name is made to point to that
host's address (DNS rebinding). The browser then still sends the page's name, so a service that
asks for no token answers only to names that no page can have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sanreid.serve.answers import error_body

__all__ = ["HostCheck"]


class HostCheck:
    """ASGI middleware that answers 400 to requests under other host names.

    Args:
        app: The application behind it.
        hosts: The names, without ports.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(_name(host) for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            given = Headers(scope=scope).getlist("host")
            if not given or not all(_name(host) in self._hosts for host in given):
                await self._refusal(given)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, given: list[str]) -> JSONResponse:
        known = ", ".join(sorted(self._hosts))
        words = (
            f"This service answers to the host names {known}; the request was sent to "
            f"{', '.join(given)[:100] or 'none'}. Use one of these, or start the service with "
            "--allow-host NAME or with a token."
        )
        return JSONResponse(error_body("UnknownHost", words), 400)


def _name(host: str) -> str:
    """Return the name in ``NAME``, ``NAME:PORT``, ``[ADDRESS]:PORT`` or ``ADDRESS``."""
    host = re.sub(r":\d*$", "", host) if host.startswith("[") or host.count(":") == 1 else host
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host.strip().lower().removesuffix(".")
