"""``sanreid serve``: what it says, refuses, and passes on; tests/serve has the service itself."""

from __future__ import annotations

import pytest

from sanreid import serve as served
from sanreid.gallery import Gallery

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@pytest.fixture
def started(monkeypatch):
    """Catch the application in place of running it."""
    monkeypatch.delenv("SANREID_TOKEN", raising=False)
    calls = []

    def run(app, *, on_start, **options):
        calls.append((app, options))
        on_start(options["port"] or 54321)
        app.state.service.stop()

    monkeypatch.setattr(served, "run", run)
    return calls


def test_what_is_served_is_said(run, tiny, tmp_path, started):
    path = tmp_path / "g"
    status, out, err = run("serve", path, "--create", "--weights", tiny, "--max-crops", 3)
    assert (status, out) == (0, "")
    assert f"serving {path} at http://127.0.0.1:8000, reading and writing" in err
    assert "to everybody on this machine, no token; described at http://127.0.0.1:8000/docs" in err
    ((app, options),) = started
    assert options == {"host": "127.0.0.1", "port": 8000}
    assert app.state.service.limits.max_crops == 3
    with Gallery.open(path) as gallery:  # and it was closed
        assert gallery.dim == 16


def test_readers_and_tokens(run, tiny, tmp_path, started, monkeypatch):
    path = tmp_path / "g"
    (tmp_path / "token").write_text("0123456789abcdef")
    reader = ("serve", path, "--read-only", "--weights", tiny, "--port", 0, "--host", "0.0.0.0")
    with Gallery.open(path, dim=16):
        status, _, err = run(*reader)
        assert status == 1
        assert "a token is needed" in err
        for more in (("--token-file", tmp_path / "token"), ()):
            status, _, err = run(*reader, *more)
            assert status == 0
            assert "reading only, to whoever has the token" in err
            assert "0123456789abcdef" not in err
            monkeypatch.setenv("SANREID_TOKEN", "0123456789abcdef")
        status, _, err = run("serve", path, "--weights", tiny, "--wait", 0)
        assert status == 1
        assert "open for writing by process" in err
    assert len(started) == 2


def test_without_a_token_host_names_are_checked(run, tiny, tmp_path, monkeypatch, started):
    asked = []
    create = served.create_app

    def create_app(*args, **options):
        asked.append(options["hosts"])
        return create(*args, **options)

    monkeypatch.setattr(served, "create_app", create_app)
    options = ("serve", tmp_path / "g", "--create", "--weights", tiny, "--host", "127.0.0.2")
    assert run(*options, "--allow-host", "proxy.example")[0] == 0
    monkeypatch.setenv("SANREID_TOKEN", "0123456789abcdef")
    assert run(*options)[0] == 0
    names = ["localhost", "127.0.0.1", "::1", "127.0.0.2", "proxy.example"]
    assert asked == [names, None]


def test_the_address_that_is_said_can_be_asked(run, tiny, tmp_path, started):
    options = ("serve", tmp_path / "g", "--create", "--weights", tiny)
    _, _, err = run(*options, "--host", "::1", "--port", 0)
    assert "at http://[::1]:54321, " in err
    assert "described at http://[::1]:54321/docs" in err


def test_an_address_is_no_path(run, tiny, started, monkeypatch):
    opened = []

    def open_gallery(path, **options):
        opened.append((path, options["wait"]))
        return Gallery(16)

    monkeypatch.setattr(Gallery, "open", open_gallery)
    address = "milvus://ann:secret@milvus.example/people"
    status, _, err = run("serve", address, "--weights", tiny)
    assert status == 0
    assert opened == [(address, 0)], "a new writer takes over"
    assert "serving milvus://milvus.example:19530/people at" in err
    assert "secret" not in err


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), "g. Pass --create for an empty one, or make one with 'sanreid gallery build'."),
        (("--read-only",), "g. Make one with 'sanreid gallery build'."),
        (("--wait", "nan"), "wait must be seconds"),
        (("--token-file", "nowhere"), "The token cannot be read from"),
    ],
)
def test_what_cannot_start(run, tiny, tmp_path, started, options, wanted):
    status, _, err = run("serve", tmp_path / "g", "--weights", tiny, *options)
    assert status == 1
    assert wanted in err
    assert not started


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_wrong_port_is_wrong_usage(run, tmp_path, port):
    with pytest.raises(SystemExit) as stop:
        run("serve", tmp_path, f"--port={port}")
    assert stop.value.code == 2


def test_a_reader_creates_nothing(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run("serve", tmp_path / "g", "--create", "--read-only")
    assert stop.value.code == 2
    assert "--read-only does not write" in capsys.readouterr().err
