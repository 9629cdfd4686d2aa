"""A Milvus server of one's own on loopback, for tests and benchmarks.

``SANREID_MILVUS_SERVER`` names the command ``milvus-server`` of PyPI's package ``milvus``, which
wants a virtual environment of its own; without it the command is looked for on the path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery

START_S = 180
ETCD_PORT = 2380


def server_command() -> str | None:
    """Return the command, or None where it is not installed."""
    return shutil.which(os.environ.get("SANREID_MILVUS_SERVER") or "milvus-server")


def why_not() -> str | None:
    """Return why no server can be started; None if one can."""
    if server_command() is None:
        return "no milvus-server: set SANREID_MILVUS_SERVER to that of PyPI's package milvus"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", ETCD_PORT))
        except OSError:
            return f"port {ETCD_PORT}, which a milvus-server always takes, is taken"
    return None


class Server:
    """A server with its data in a folder; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        command = server_command()
        assert command is not None
        self._command, self._folder = command, folder
        self.port = _free_port()
        self._process = self._started()

    def address(self, name: str, *, timeout: int = 120) -> str:
        """Return the address of a gallery; loading takes a recovering server long."""
        return f"milvus://127.0.0.1:{self.port}/{name}?timeout={timeout}"

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        """Start it again on the same data."""
        self._process = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [self._command, "--data", str(self._folder), "--proxy-port", str(self.port)]
        with (self._folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=self._folder
            )
        until = time.monotonic() + START_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > until:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise RuntimeError(f"Milvus does not start; see {self._folder / 'logs'}.")
            time.sleep(0.5)
        return process

    def _answers(self) -> bool:
        """Return whether it takes calls: its port is open before it does."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            Gallery.open(f"milvus://127.0.0.1:{self.port}/probe?timeout=2")
        except (OSError, GalleryError) as error:
            return "There is no gallery" in str(error)
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
