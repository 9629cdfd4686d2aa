"""What a service refuses: without the token, too much at once, or what no image is."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import shutil
import struct
import subprocess
import sys
import threading
import zlib

import pytest
from PIL import Image

from sanreid.errors import (
    ConfigError,
    GalleryError,
    GalleryLockedError,
    MissingExtraError,
    NoGalleryError,
)
from sanreid.gallery import Gallery
from sanreid.serve import Limits, create_app, read_token
from sanreid.serve.running import LOOPBACK_HOSTS, check_exposure
from tests.serve.conftest import base64_of, clients, jpeg

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx is not installed (extra dev)")

TOKEN = "0123456789abcdef-secret"
JPEG_HEADERS = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def of_this_machine(tiny_encoder, tmp_path_factory):
    """A client of a service that answers to this machine's names, and to a proxy's."""
    start = clients(tiny_encoder, tmp_path_factory.mktemp("hosts"))
    yield next(start)(hosts=[*LOOPBACK_HOSTS, "proxy.example"])
    next(start, None)


def refusal(answer):
    """Return the status and the error's type; the body has this form and no other."""
    (error,) = answer.json().values()
    assert set(error) == {"type", "message"}
    assert error["message"]
    return answer.status_code, error["type"]


def test_the_token_is_asked_for_and_never_told(client_of, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    client = client_of(token=TOKEN)
    routes = ("/embed", "/search", "/identify", "/enrol", "/forget")
    wrong = ("Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", b"Bearer \xff")
    for sent in ({}, *({"Authorization": value} for value in wrong)):
        for route in routes:
            answer = client.post(route, content=b"x" * 100, headers=sent)
            assert refusal(answer) == (401, "Unauthorized")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert refusal(client.get("/metrics", headers=sent)) == (401, "Unauthorized")
    assert client.get("/health").status_code == 200
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/embed", json={"images": base64_of(jpeg())}, headers=right).is_success
    assert client.get("/metrics", headers=right).is_success
    told = caplog.text + "".join(capfd.readouterr()) + client.get("/openapi.json").text
    assert TOKEN not in told


def test_where_the_token_comes_from(tmp_path, monkeypatch):
    monkeypatch.delenv("SANREID_TOKEN", raising=False)
    assert read_token() is None
    monkeypatch.setenv("SANREID_TOKEN", TOKEN)
    assert read_token() == TOKEN
    (tmp_path / "token").write_text(f"{TOKEN[::-1]}\n")
    assert read_token(tmp_path / "token") == TOKEN[::-1]
    for wrong in ("short", "with a space in its midst", "ümlaute-sind-keine-hilfe", ""):
        (tmp_path / "token").write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError) as error:
            read_token(tmp_path / "token")
        assert not wrong or wrong not in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read from .*FileNotFoundError"):
        read_token(tmp_path / "nowhere")


def test_other_machines_need_a_token():
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        check_exposure(host, None)
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        check_exposure(host, TOKEN)
        with pytest.raises(ConfigError, match="a token is needed"):
            check_exposure(host, None)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("proxy.example", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example:8000", 400),
        ("[::1].evil.example", 400),
        ("[::2]", 400),
        ("evil.example:@localhost", 400),
        ("", 400),
    ],
)
def test_host_names(of_this_machine, host, status):
    answer = of_this_machine.get("/health", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert refusal(answer) == (400, "UnknownHost")
        assert "answers to the host names 127.0.0.1, ::1, localhost, proxy.exa" in answer.text


def test_two_host_names_and_all_routes(of_this_machine):
    both = [("Host", "localhost"), ("Host", "evil.example")]
    assert refusal(of_this_machine.get("/health", headers=both)) == (400, "UnknownHost")
    for route in ("/embed", "/search", "/identify", "/enrol", "/forget", "/docs", "/nowhere"):
        answer = of_this_machine.post(route, headers={"Host": "evil.example"})
        assert refusal(answer) == (400, "UnknownHost")


def test_bodies_larger_than_the_limit(client_of):
    client = client_of(limits=Limits(max_body_bytes=1000))
    answer = client.post("/embed", content=b"x" * 1001, headers=JPEG_HEADERS)
    assert refusal(answer) == (413, "TooLarge")
    read = []

    def parts():  # without a Content-Length
        for number in range(1000):
            read.append(number)
            yield b"x" * 100

    assert refusal(client.post("/embed", content=parts(), headers=JPEG_HEADERS))[0] == 413
    lying = JPEG_HEADERS | {"Content-Length": "9" * 30}
    assert refusal(client.post("/embed", content=b"x", headers=lying))[0] == 413


def test_a_client_that_hangs_up_is_no_failure(client, caplog):
    scope = {
        "type": "http", "method": "POST", "path": "/embed", "raw_path": b"/embed",
        "query_string": b"", "headers": [(b"content-type", b"image/jpeg")],
    }  # fmt: skip
    coming = iter([{"type": "http.request", "body": b"half", "more_body": True},
                   {"type": "http.disconnect"}])  # fmt: skip

    async def receive():
        return next(coming)

    async def send(message):
        pass

    asyncio.run(client.app(scope, receive, send))
    assert caplog.text == ""
    counted = client.get("/metrics").text
    assert 'sanreid_requests_total{route="/embed",status="499"} 1' in counted
    assert 'status="500"' not in counted


def test_images_that_are_none_or_too_many_or_too_large(client_of):
    client = client_of(limits=Limits(max_crops=2, max_pixels=64 * 32))

    def embed(*pictures):
        return client.post("/embed", json={"images": base64_of(*pictures)})

    assert embed(jpeg(), jpeg()).is_success
    assert refusal(embed(jpeg(), jpeg(), jpeg())) == (422, "InputError")
    assert refusal(embed()) == (422, "InputError")
    large = embed(jpeg(), jpeg(size=(65, 32)))
    assert refusal(large) == (422, "ImageError")
    assert "Image 1 has 65 x 32 pixels" in large.text
    damaged = embed(jpeg()[:200])
    assert refusal(damaged) == (422, "ImageError")
    for foreign in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", gif()):
        assert refusal(embed(foreign)) == (422, "ImageError")
    assert refusal(client.post("/embed", content=b"", headers=JPEG_HEADERS)) == (422, "ImageError")


def gif():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "GIF")
    return file.getvalue()


def test_a_decompression_bomb_is_not_decoded(unchanged, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", None)
    for side in (5_000, 30_000):  # of ours, and of Pillow's own limit
        answer = unchanged.post("/embed", content=png_header(side), headers=JPEG_HEADERS)
        assert refusal(answer) == (422, "ImageError")
        assert "pixels" in answer.text


def png_header(side):
    """Return a PNG file that declares many pixels and holds none."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def test_a_text_is_never_a_path(unchanged, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    for text in (str(tmp_path / "a.jpg"), "file:///etc/passwd", "data:image/jpeg;base64,/9j/"):
        answer = unchanged.post("/embed", json={"images": [text]})
        assert refusal(answer) == (422, "ImageError")
        assert "not base64" in answer.text


@pytest.mark.parametrize(
    ("route", "body", "wanted"),
    [
        ("/search", {"k": 0}, "k: Input should be greater than or equal to 1"),
        ("/search", {"k": 1001}, "k is at most 1000 here"),
        ("/search", {"rerank": 1001}, "rerank is at most 1000 here"),
        ("/search", {"k": 201, "rerank": True}, "rerank is at most 1000 here; got 1005"),
        ("/search", {"expand": 1001}, "expand is at most 1000 here"),
        ("/search", {"k": "5"}, "k: Input should be a valid integer"),
        ("/search", {"timestamps": ["1.5"]}, "timestamps.0: Input should be a valid number"),
        ("/search", {"timestamps": [True]}, "timestamps.0: Input should be a valid number"),
        ("/search", {"kk": 1}, "kk: Extra inputs are not permitted"),
        ("/search", {"where": {"camid": {"$like": 1}}}, "unknown operator"),
        ("/search", {"where": {"$and": []}}, "and"),
        ("/search", {"camids": [1, 2]}, "query_camids"),
        ("/search", {"min_similarity": "much"}, "min_similarity: Input should be a valid number"),
        ("/identify", {}, "not calibrated"),
        ("/identify", {"top": 1001}, "top is at most 1000 here"),
        ("/enrol", {}, "pid: Field required"),
        ("/enrol", {"pid": 1.5}, "pid"),
        ("/enrol", {"pid": True}, "pid"),
        ("/enrol", {"pid": 2**70}, "pid"),
        ("/enrol", {"pid": 1, "camids": [1, 2]}, "camids"),
        ("/forget", {"images": None}, "images: Extra inputs"),
        ("/forget", {"pid": 1, "ids": [1]}, "send either pid or ids"),
        ("/forget", {"ids": []}, "ids: List should have at least 1 item"),
    ],
)
def test_fields_that_do_not_fit(unchanged, route, body, wanted):
    images = {} if route == "/forget" else {"images": base64_of(jpeg())}
    answer = unchanged.post(route, json=images | body)
    assert answer.status_code == 422
    assert wanted.lower() in answer.json()["error"]["message"].lower()
    assert len(unchanged.app.state.service._opened[1]) == 0


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 100_000, b'{"images": NaN}', b"\xff\xfe\x00"])
def test_what_is_not_json(unchanged, raw):
    answer = unchanged.post("/embed", content=raw, headers={"Content-Type": "application/json"})
    assert refusal(answer) == (400, "BadRequest")


def test_other_methods_paths_and_types(unchanged):
    assert refusal(unchanged.get("/search")) == (405, "MethodNotAllowed")
    assert refusal(unchanged.get("/nowhere")) == (404, "NotFound")
    assert refusal(unchanged.post("/forget", json={"pid": "nobody"})) == (404, "UnknownIdError")
    assert refusal(unchanged.post("/forget", json={"ids": [3]})) == (404, "UnknownIdError")
    for route, kind in (("/embed", "text/plain"), ("/embed", ""), ("/enrol", "image/jpeg")):
        answer = unchanged.post(route, content=jpeg(), headers={"Content-Type": kind})
        assert refusal(answer) == (415, "UnsupportedMediaType")
    assert refusal(unchanged.post("/embed", json=[1])) == (422, "InputError")
    beside = unchanged.post(
        "/embed", content=jpeg(), headers=JPEG_HEADERS, params={"images": '["aa"]'}
    )
    assert refusal(beside) == (422, "InputError")


def test_a_pid_that_no_answer_can_hold_is_refused(unchanged):
    body = json.dumps({"images": base64_of(jpeg()), "pid": "\ud800"})
    answer = unchanged.post("/enrol", content=body, headers={"Content-Type": "application/json"})
    assert refusal(answer) == (422, "InputError")


def test_more_requests_than_places(client_of, monkeypatch):
    client = client_of(limits=Limits(max_requests=1, threads=1))
    service, inside, go_on = client.app.state.service, threading.Event(), threading.Event()

    def held(images):
        inside.set()
        go_on.wait(20)
        raise MemoryError

    monkeypatch.setattr(service, "embed", held)
    body, answers = {"images": base64_of(jpeg())}, []
    thread = threading.Thread(target=lambda: answers.append(client.post("/embed", json=body)))
    thread.start()
    assert inside.wait(20)
    busy = client.post("/embed", json=body)
    healthy = client.get("/health")
    go_on.set()
    thread.join()
    assert refusal(busy) == (503, "Busy")
    assert busy.headers["Retry-After"] == "1"
    assert healthy.is_success
    assert refusal(answers[0]) == (500, "InternalError")
    assert "MemoryError" not in answers[0].text


def test_a_damaged_gallery_is_no_crash(client_of, enrol, caplog, tmp_path):
    writer, reader = client_of(), client_of(read_only=True)
    enrol(writer, 7)
    (tmp_path / "people.gallery" / "gallery.json").write_text("{}")
    answer = reader.post("/search", json={"images": base64_of(jpeg())})
    assert refusal(answer) == (500, "GalleryError")
    assert str(tmp_path) not in answer.text
    assert refusal(reader.get("/health"))[0] == 503
    assert "A request failed" in caplog.text


@pytest.mark.parametrize("read_only", [False, True])
def test_the_health_of_a_gallery_that_is_gone(client_of, enrol, caplog, tmp_path, read_only):
    writer = client_of()
    client = client_of(read_only=True) if read_only else writer
    assert client.get("/health").json() == {"status": "ok", "writable": not read_only}
    shutil.rmtree(tmp_path / "people.gallery")
    assert refusal(client.get("/health"))[0] == 503
    assert "The gallery cannot be read" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"max_k": 0}, {"threads": 1.5}, {"max_crops": True}, {"body_timeout_s": "1"}]
)
def test_limits_are_numbers(wrong):
    with pytest.raises(ConfigError, match="must be a number above 0"):
        Limits(**wrong)


def test_the_start_fails_with_the_library_s_errors(tiny_encoder, tmp_path):
    path = tmp_path / "g"
    with pytest.raises(NoGalleryError, match="g. To create one, pass create=True.$"):
        create_app(path, tiny_encoder).state.service.start()
    with Gallery.open(path, dim=16), pytest.raises(GalleryLockedError):
        create_app(path, tiny_encoder, wait=0).state.service.start()
    with Gallery.open(path, encoder_fingerprint="aa"):
        pass
    with pytest.raises(GalleryError, match="aa"):
        create_app(path, tiny_encoder, read_only=True).state.service.start()
    with pytest.raises(ConfigError, match="at least 16 characters"):
        create_app(path, tiny_encoder, token="short")
    for hosts in ("localhost", 5, [b"localhost"]):
        with pytest.raises(ConfigError, match="hosts must be texts"):
            create_app(path, tiny_encoder, hosts=hosts)


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sanreid\[serve\]'"):
        create_app(tmp_path / "g")


def test_importing_the_room_costs_no_server_and_no_torch():
    code = (
        "import sys, sanreid.serve; "
        "sys.exit(any(name in sys.modules for name in ('fastapi', 'uvicorn', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
