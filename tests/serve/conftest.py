"""A service over a tiny encoder, asked without a network."""

from __future__ import annotations

import base64
import io

import pytest

from tests.people import rendered_person


def jpeg(person=1, camera=1, shot=0, size=(64, 32), form="JPEG"):
    """Return the bytes of a rendered person's picture."""
    file = io.BytesIO()
    rendered_person(person, camera, shot, size=size).save(file, form)
    return file.getvalue()


def base64_of(*pictures):
    return [base64.b64encode(picture).decode() for picture in pictures]


def clients(encoder, folder):
    """Yield what starts applications over one gallery; the first one creates it and writes."""
    from fastapi.testclient import TestClient

    from sanreid.serve import create_app

    running = []

    def start(**options):
        options = {"create": True, "wait": 0, "path": folder / "people.gallery"} | options
        app = create_app(options.pop("path"), encoder, **options)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        running.append(client)
        return client

    yield start
    for client in reversed(running):
        client.__exit__(None, None, None)


@pytest.fixture
def client_of(tiny_encoder, tmp_path):
    """Start applications over one gallery."""
    yield from clients(tiny_encoder, tmp_path)


@pytest.fixture
def client(client_of):
    return client_of()


@pytest.fixture(scope="module")
def unchanged(tiny_encoder, tmp_path_factory):
    """A client of an empty gallery, shared: tests must not change it."""
    start = clients(tiny_encoder, tmp_path_factory.mktemp("unchanged"))
    yield next(start)()
    next(start, None)


@pytest.fixture
def enrol():
    """Enrol one picture of a person."""

    def call(client, pid, person=1, **fields):
        body = {"images": base64_of(jpeg(person)), "pid": pid, **fields}
        answer = client.post("/enrol", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["ids"]

    return call
