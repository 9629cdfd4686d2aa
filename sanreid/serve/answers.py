"""From errors to answers: a status, the error's name and its message, as JSON."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from sanreid.errors import (
    GalleryLockedError,
    InputError,
    SanreidError,
    UnknownIdError,
)
from sanreid.serve.service import ReadOnlyError

__all__ = ["STATUSES", "add_error_answers", "error_body"]

logger = logging.getLogger(__name__)

STATUSES: tuple[tuple[type[SanreidError], int], ...] = (  # the first that fits
    (InputError, 422),
    (UnknownIdError, 404),
    (ReadOnlyError, 409),
    (GalleryLockedError, 503),
    (SanreidError, 500),
)
_FAILED = "The service failed; see its log."
_NAMES = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "Timeout",
    413: "TooLarge",
    415: "UnsupportedMediaType",
    499: "ClientClosedRequest",  # nginx's number, seen in the metrics only
}


def error_body(name: str, message: str) -> dict[str, Any]:
    """Return the JSON of an error."""
    return {"error": {"type": name, "message": message}}


def add_error_answers(app: FastAPI) -> None:
    """Let an application answer errors as JSON; its own failures are logged, not shown."""
    app.add_exception_handler(SanreidError, _of_the_library)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _unforeseen)


async def _of_the_library(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    message = str(error)
    if status == 500:  # no fault of the client's, and the message may name paths and servers
        logger.error("A request failed: %s", error)
        message = _FAILED
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse(error_body(type(error).__name__, message), status, headers)


async def _of_http(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    name = _NAMES.get(error.status_code, "Error")
    return JSONResponse(error_body(name, error.detail), error.status_code, error.headers)


async def _unforeseen(_: Request, error: Exception) -> Response:
    logger.error("A request failed unexpectedly", exc_info=error)
    return JSONResponse(error_body("InternalError", _FAILED), 500)
