"""The routes of the service, and what starts and stops with it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sanreid import __version__
from sanreid.errors import InputError, SanreidError
from sanreid.gallery.requests import looks
from sanreid.serve import bodies
from sanreid.serve.answers import add_error_answers
from sanreid.serve.gate import Gate
from sanreid.serve.hosts import HostCheck
from sanreid.serve.metrics import CONTENT_TYPE
from sanreid.serve.requests import read_request
from sanreid.serve.service import Service
from sanreid.serve.settings import Limits

__all__ = ["build_app"]

logger = logging.getLogger(__name__)
T = TypeVar("T")
_BEARER = HTTPBearer(auto_error=False)

_ABOUT = (
    "Embed crops of people, search a gallery of them, identify, enrol and forget people. Images "
    "are sent as base64 in JSON; embed, search and identify also take the bytes of one image "
    "(Content-Type: image/jpeg) with their fields as the query string. Errors are JSON: "
    '{"error": {"type", "message"}}.'
)
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": bodies.ErrorAnswer}
    for status in (400, 401, 404, 408, 409, 413, 415, 422, 500, 503)
}


def build_app(
    service: Service, token: str | None, *, refresh_s: float, hosts: Iterable[str] | None = None
) -> FastAPI:
    """Return the application; see :func:`sanreid.serve.create_app`."""
    app = FastAPI(
        title="sanreid",
        version=__version__,
        description=_ABOUT,
        lifespan=_lifespan(service, refresh_s),
        redoc_url=None,
    )
    app.state.service = service
    guard = [Depends(_guard(token))]

    async def work(function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(service.pool, function, *args)

    @app.post("/embed", **_takes(bodies.EmbedBody, one_image=True), dependencies=guard)
    async def embed(request: Request) -> bodies.Embedded:
        """Embed images: one row of numbers each."""
        images, _ = await read_request(request, bodies.EmbedBody, service.limits, one_image=True)
        embeddings, fingerprint = await work(service.embed, images)
        return bodies.Embedded(embeddings=embeddings.tolist(), fingerprint=fingerprint)

    @app.post("/search", **_takes(bodies.SearchBody, one_image=True), dependencies=guard)
    async def search(request: Request) -> bodies.Found:
        """Find the entries most similar to each image."""
        images, body = await read_request(
            request, bodies.SearchBody, service.limits, one_image=True
        )
        candidates, expand = looks(body.k, body.rerank, body.expand)
        _check_looks(service.limits, k=body.k, rerank=candidates, expand=expand)
        return bodies.Found.model_validate({"hits": await work(service.search, images, body)})

    @app.post("/identify", **_takes(bodies.IdentifyBody, one_image=True), dependencies=guard)
    async def identify(request: Request) -> bodies.Identified:
        """Identify the person on each image, or report it as unknown."""
        images, body = await read_request(
            request, bodies.IdentifyBody, service.limits, one_image=True
        )
        _check_looks(service.limits, top=body.top)
        found = await work(service.identify, images, body)
        return bodies.Identified.model_validate({"identities": found})

    @app.post("/enrol", **_takes(bodies.EnrolBody), dependencies=guard, status_code=201)
    async def enrol(request: Request) -> bodies.Enrolled:
        """Add images of one person; the answer comes when they are on disk."""
        images, body = await read_request(request, bodies.EnrolBody, service.limits)
        return bodies.Enrolled(ids=await work(service.enrol, images, body))

    @app.post(
        "/forget",
        **_takes(bodies.ForgetBody),
        dependencies=guard,
        response_model_exclude_none=True,
    )
    async def forget(request: Request) -> bodies.Forgotten:
        """Remove a person or entries; the answer comes when the files hold nothing of them."""
        _, body = await read_request(request, bodies.ForgetBody, service.limits)
        removed, trace = await work(service.forget, body)
        return bodies.Forgotten(removed=removed, trace=trace)

    @app.get("/health", responses={503: {"model": bodies.ErrorAnswer}})
    async def health() -> bodies.Health:
        """Answer 200 if the gallery can be read, else 503."""
        try:
            # not behind the requests that wait for work
            await asyncio.to_thread(service.check_readable)
        except SanreidError as error:
            logger.error("The gallery cannot be read: %s", error)  # noqa: TRY400 - it says why
            raise HTTPException(503, "The gallery cannot be read; see the log.") from None
        return bodies.Health(status="ok", writable=not service.read_only)

    @app.get("/metrics", dependencies=guard, response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counters and times, in the text format of Prometheus."""
        entries = await asyncio.to_thread(service.num_entries)  # which may ask a server
        gauges = {"entries": entries, "writable": int(not service.read_only)}
        return Response(service.metrics.text(gauges), media_type=CONTENT_TYPE)

    add_error_answers(app)
    if hosts is not None:
        app.add_middleware(HostCheck, hosts=hosts)
    app.add_middleware(  # the last one added is the first to see a request
        Gate,
        metrics=service.metrics,
        max_requests=service.limits.max_requests,
        routes=frozenset(route.path for route in app.routes if isinstance(route, Route)),
    )
    return app


def _check_looks(limits: Limits, **counts: int) -> None:
    for name, count in counts.items():
        if count > limits.max_k:
            raise InputError(f"{name} is at most {limits.max_k} here; got {count}.")


def _guard(token: str | None) -> Callable[..., None]:
    """Return what refuses requests without the token, before their bodies are read."""
    if token is None:
        return lambda: None
    wanted = hashlib.sha256(token.encode()).digest()  # of one length: no time tells the token's

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        sent = "" if given is None else given.credentials
        if not hmac.compare_digest(hashlib.sha256(sent.encode()).digest(), wanted):
            raise HTTPException(
                401,
                "Send the service's token: Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )

    return check


def _lifespan(
    service: Service, refresh_s: float
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        watching = asyncio.create_task(_keep_fresh(service, refresh_s))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])  # however it ended, the gallery is closed
            service.stop()

    return lifespan


async def _keep_fresh(service: Service, refresh_s: float) -> None:
    """Look for changes while nobody asks: a removed person's old files are then let go."""
    loop, failed = asyncio.get_running_loop(), False
    while service.read_only:
        await asyncio.sleep(refresh_s)
        try:
            await loop.run_in_executor(service.pool, service.refresh)
            failed = False
        except SanreidError as error:
            if not failed:  # said once
                logger.warning("The gallery cannot be refreshed: %s", error)
            failed = True


def _takes(model: type[BaseModel], *, one_image: bool = False) -> dict[str, Any]:
    """Return what describes a route that reads its body itself."""
    schema = model.model_json_schema()
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    parameters = []
    if one_image:
        content["image/*"] = {"schema": {"type": "string", "format": "binary"}}
        parameters = [
            {"name": name, "in": "query", "required": False, "schema": field}
            for name, field in schema["properties"].items()
            if name != "images"
        ]
    return {
        "responses": _ERRORS,
        "openapi_extra": {
            "requestBody": {"required": True, "content": content},
            **({"parameters": parameters} if parameters else {}),
        },
    }
