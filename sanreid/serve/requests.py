"""Reading a request: JSON with images in base64, or the bytes of one image as they are."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from sanreid.errors import InputError
from sanreid.serve.pictures import from_base64
from sanreid.serve.settings import Limits

__all__ = ["read_request"]

B = TypeVar("B", bound=BaseModel)


async def read_request(
    request: Request, model: type[B], limits: Limits, *, one_image: bool = False
) -> tuple[list[bytes], B]:
    """Return the images of a request and the rest of its body.

    Args:
        request: What came.
        model: What its JSON must fit.
        limits: Size and time of the body.
        one_image: Also take the bytes of one image, with the model's fields as the query string.

    Raises:
        HTTPException: The body is too large or too slow, of another type, or not JSON.
        InputError: It does not fit the model.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        given = _json(await _read(request, limits))
        body = _fitted(model, given)
        return from_base64(getattr(body, "images", [])), body
    if one_image and (kind.startswith("image/") or kind == "application/octet-stream"):
        query = {name: _value(text) for name, text in request.query_params.items()}
        if "images" in query:
            raise InputError("images: the body is the image; send no others beside it.")
        return [await _read(request, limits)], _fitted(model, query)
    wanted = "application/json" + (" or image/jpeg, image/png, image/webp" if one_image else "")
    raise HTTPException(415, f"The content type must be {wanted}; got {kind[:100] or 'none'}.")


async def _read(request: Request, limits: Limits) -> bytes:
    """Return the body, which is given up as soon as it is too large."""
    most = limits.max_body_bytes
    too_large = HTTPException(413, f"The body is larger than {most:,} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise HTTPException(
            408, f"The body did not arrive within {limits.body_timeout_s:g} s."
        ) from None
    except ClientDisconnect:  # no failure of ours, and nobody reads the answer
        raise HTTPException(499, "The client hung up before its body had arrived.") from None
    return b"".join(parts)


def _json(raw: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body is not JSON: {error}.") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _value(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Read a value of the query string: JSON where it is JSON, else a text."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _fitted(model: type[B], given: Any) -> B:  # noqa: ANN401 - any JSON
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [
            ": ".join([*filter(None, [".".join(map(str, one["loc"]))]), one["msg"]])
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise InputError("; ".join(problems[:5]) + ".") from None
