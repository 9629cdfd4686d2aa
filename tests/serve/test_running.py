"""Running the application: the port that it listens on, and its end."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request

import pytest

from sanreid.errors import ConfigError
from sanreid.serve import create_app, run

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")
def test_an_address_in_use_is_our_error(tiny_encoder, tmp_path):
    app = create_app(tmp_path / "g", tiny_encoder, create=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}"):
            run(app, port=port)


def test_the_port_that_the_system_chose_is_told(tiny_encoder, tmp_path):
    app, ports = create_app(tmp_path / "g", tiny_encoder, create=True), []

    def told(port):
        ports.append(port)
        os.kill(os.getpid(), signal.SIGTERM)

    run(app, port=0, on_start=told)
    (port,) = ports
    assert port > 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
