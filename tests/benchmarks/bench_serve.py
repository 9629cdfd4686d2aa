"""Clients that enrol, search and forget at the same time: latency, and no acknowledgement lost.

    python -m tests.benchmarks.bench_serve --seconds 60 --clients 8 --json serve.json

Two processes of ``sanreid serve`` over one gallery, as users start them: one writes, the other
reads. Every client, in turns, enrols a crop of a person of its own with the writer, looks for it
with the reader, and forgets every other person; what was acknowledged must be found, what was
forgotten must not. At the end both processes are told to stop, and the gallery on disk must hold
exactly the entries that were acknowledged and not forgotten.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

from sanreid.gallery import Gallery
from tests.benchmarks.report import write_report
from tests.benchmarks.tables import table, time_text
from tests.people import rendered_person

SHARE = 0.99
START_S, STOP_S = 120, 60


class Client(threading.Thread):
    """One client; ``times`` are its seconds by route, ``kept`` its people still enrolled."""

    def __init__(self, name: str, crop: bytes, writer: int, reader: int, until: float) -> None:
        super().__init__(name=name)
        self._image, self._until = [base64.b64encode(crop).decode()], until
        self._ports = {"/search": reader, "/enrol": writer, "/forget": writer}
        self._connections: dict[int, http.client.HTTPConnection] = {}
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.kept: dict[str, int] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            number = 0
            while time.monotonic() < self._until:
                self._one_person(f"{self.name}-{number}", forget=number % 2 == 0)
                number += 1
        except BaseException as error:  # noqa: BLE001 - reported by the thread that waits
            self.error = error
        finally:
            for connection in self._connections.values():
                connection.close()

    def _one_person(self, pid: str, *, forget: bool) -> None:
        (entry,) = self._ask("/enrol", {"images": self._image, "pid": pid}, 201)["ids"]
        self.kept[pid] = entry
        assert self._found(pid) == [entry], f"{pid} was acknowledged and is not found"
        if forget:
            assert self._ask("/forget", {"pid": pid}, 200) == {"removed": 1}
            del self.kept[pid]
            assert self._found(pid) == [], f"{pid} was forgotten and is found"

    def _found(self, pid: str) -> list[int]:
        body = {"images": self._image, "k": 5, "where": {"pid": pid}}
        (hits,) = self._ask("/search", body, 200)["hits"]
        return [hit["id"] for hit in hits]

    def _ask(self, route: str, body: dict[str, Any], wanted: int) -> Any:
        port = self._ports[route]
        connection = self._connections.setdefault(
            port, http.client.HTTPConnection("127.0.0.1", port, timeout=STOP_S)
        )
        sent = json.dumps(body)
        start = time.perf_counter()
        connection.request("POST", route, sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        raw = answer.read()
        self.times[route].append(time.perf_counter() - start)
        assert answer.status == wanted, f"{route}: {answer.status} {raw[:300]!r}"
        return json.loads(raw)


def measure(weights: str | None, *, seconds: float, clients: int) -> list[dict[str, Any]]:
    """Run the clients; return one row per route.

    Raises:
        AssertionError: An acknowledgement was lost, or a process did not end well.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "people.gallery"
        writer = stack.enter_context(Server(path, weights, "--create"))
        reader = stack.enter_context(Server(path, weights, "--read-only"))
        until = time.monotonic() + seconds
        running = [
            Client(f"client{i}", jpeg(i + 1), writer.port, reader.port, until)
            for i in range(clients)
        ]
        for client in running:
            client.start()
        for client in running:
            client.join()
        for client in running:
            if client.error is not None:
                raise client.error
        for process in (writer, reader):
            process.stop()
        kept = {pid: entry for client in running for pid, entry in client.kept.items()}
        with Gallery.open(path, mode="r") as gallery:
            gallery.verify()
            stored = {entry.pid: entry.id for entry in gallery.get(gallery.ids)}
        assert stored == kept, "the gallery does not hold what was acknowledged"
    times: defaultdict[str, list[float]] = defaultdict(list)
    for client in running:
        for route, taken in client.times.items():
            times[route] += taken
    return [_row(weights, route, taken, seconds) for route, taken in times.items()]


def _row(weights: str | None, route: str, taken: list[float], seconds: float) -> dict[str, Any]:
    percent = statistics.quantiles(taken, n=100, method="inclusive")
    return {
        "contestant": "san-r50" if weights is None else "tiny",
        "route": route,
        "requests": len(taken),
        "requests_per_s": round(len(taken) / seconds, 1),
        "median_s": round(statistics.median(taken), 4),
        "p99_s": round(percent[98], 4),
    }


class Server:
    """A process of ``sanreid serve`` on a port of its own, until the context ends."""

    def __init__(self, path: Path, weights: str | None, *options: str) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        command = [sys.executable, "-m", "sanreid", "serve", str(path), f"--port={self.port}"]
        command += [*options, *([] if weights is None else ["--weights", weights])]
        environment = {key: os.environ[key] for key in os.environ if key != "SANREID_TOKEN"}
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            self._process.communicate()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self._process.poll() is None, "the service ended at its start"
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STOP_S)
                with contextlib.closing(connection):
                    connection.request("GET", "/health")
                    if connection.getresponse().status == 200:
                        return
            time.sleep(0.1)
        raise AssertionError(f"the service did not answer within {START_S} s")

    def stop(self) -> None:
        """Tell the process to end, and see that it ends well."""
        self._process.send_signal(signal.SIGTERM)
        _, told = self._process.communicate(timeout=STOP_S)
        assert self._process.returncode == 0, told.decode()
        assert b"Traceback" not in told, told.decode()


def jpeg(person: int) -> bytes:
    """Return a rendered person as a JPEG file of 256 x 128 pixels."""
    file = io.BytesIO()
    rendered_person(person).save(file, "JPEG", quality=90)
    return file.getvalue()


def section(reports: list[dict[str, Any]]) -> str:
    """Return the page's section."""
    texts = ["## A service"]
    for report in reports:
        rows = [
            [
                row["route"],
                NAMES[row["contestant"]],
                f"{row['requests']:,}",
                f"{row['requests_per_s']:,.1f}",
                time_text(row["median_s"]),
                time_text(row["p99_s"]),
            ]
            for row in report["rows"]
        ]
        texts += [
            (
                f"{report['clients']} clients for {report['seconds']:g} s on one machine, each "
                "with one request at a time: it enrols a crop with the process that writes, looks "
                "for it with the one that reads, forgets every other person and looks again. "
                "Every acknowledged entry was found by the next search and is on disk at the "
                "end; no forgotten one is. Forgetting rewrites the files. The tiny network shows "
                "what the service itself costs; clients and both processes share the cores."
            ),
            table(["request", "network", "requests", "per second", "median", "p99"], rows),
        ]
    return "\n\n".join(texts)


NAMES = {"san-r50": "`san-r50`", "tiny": "a tiny one"}


def save_tiny(folder: Path) -> str:
    """Write the weights of a tiny encoder; return their directory."""
    from sanreid import SANEncoder
    from sanreid.config import EncoderConfig
    from tests.conftest import build_tiny

    config = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32))
    encoder = SANEncoder(build_tiny(config), config, device="cpu", dtype="float32")
    return str(encoder.save_pretrained(folder / "tiny"))


def main() -> None:
    """Run with a tiny network and with the bundled one, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for weights in (save_tiny(Path(folder)), None):
            rows += measure(weights, seconds=args.seconds, clients=args.clients)
    for row in rows:
        print(
            "{contestant:<8} {route:<8} {requests:>6}  {median_s} s, p99 {p99_s} s".format(**row)
        )
    write_report(args.json, "serve", rows, seconds=args.seconds, clients=args.clients)


if __name__ == "__main__":
    main()
