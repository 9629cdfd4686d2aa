"""What every request passes: a place among those in progress, and a clock."""

from __future__ import annotations

import time

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sanreid.serve.answers import error_body
from sanreid.serve.metrics import Metrics

__all__ = ["Gate"]

_ALWAYS_OPEN = ("/health", "/metrics")  # whoever watches a full service must get in


class Gate:
    """ASGI middleware that answers 503 when too many requests are in progress.

    Args:
        app: The application behind it.
        metrics: Where requests are counted.
        max_requests: Requests in progress.
        routes: Known paths; all others count as one, so that nobody can fill the memory.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, max_requests: int, routes: frozenset[str]
    ) -> None:
        self._app, self._metrics = app, metrics
        self._max_requests, self._routes = max_requests, routes
        self._in_progress = 0  # changed by one event loop only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, status, start = scope["path"], 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        counted = path not in _ALWAYS_OPEN
        if counted and self._in_progress >= self._max_requests:
            words = f"{self._max_requests} requests are in progress; try again."
            busy = JSONResponse(error_body("Busy", words), 503, {"Retry-After": "1"})
            await busy(scope, receive, watched)
            self._metrics.observe(self._route(path), status, 0.0)
            return
        self._in_progress += counted
        try:
            await self._app(scope, receive, watched)
        finally:
            self._in_progress -= counted
            self._metrics.observe(self._route(path), status, time.perf_counter() - start)

    def _route(self, path: str) -> str:
        return path if path in self._routes else "other"
