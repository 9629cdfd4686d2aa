"""A writer killed at a random moment loses nothing it acknowledged."""

from __future__ import annotations

import os
import signal
import struct
import time

import numpy as np
import pytest

from sanreid.gallery import Gallery
from tests.gallery.storage.histories import DIM, contents, step

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill"),
    # Python 3.12 and later warn of fork beside threads; the children here use none.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def work(path, copy, seed, pipe):
    """In the child: step until killed, reporting when each step starts and when it ends."""
    rng = np.random.default_rng(seed)
    with Gallery.open(path) as gallery:
        for number in range(10_000):
            os.write(pipe, struct.pack("<Bi", 1, number))
            step(gallery, rng)
            os.write(pipe, struct.pack("<Bi", 2, number))
            if number % 4 == 3:
                os.write(pipe, struct.pack("<Bi", 3, number))
                gallery.save(copy)
                os.write(pipe, struct.pack("<Bi", 4, number))


def killed_after(path, copy, seed, delay):
    """Return what a worker reported before it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            work(path, copy, seed, writing)
        finally:
            os._exit(1)
    os.close(writing)
    reports = os.read(reading, 5)  # it has opened the gallery
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(reading, 1 << 16):
        reports += chunk
    os.close(reading)
    return [struct.unpack_from("<Bi", reports, offset) for offset in range(0, len(reports) - 4, 5)]


@pytest.fixture(autouse=True)
def few_commits_are_many(monkeypatch):
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 5)


def check_kills(tmp_path, kills):
    path, copy = tmp_path / "g", tmp_path / "copy"
    Gallery.open(path, dim=DIM).close()
    rng = np.random.default_rng(0)
    acknowledged = interrupted = 0
    saved = [None]  # what the copy may hold
    for seed in range(kills):
        expected = Gallery.load(path)
        reports = killed_after(path, copy, seed, float(rng.random()) ** 2 * 0.1)
        done = sum(1 for kind, _ in reports if kind == 2)
        replay = np.random.default_rng(seed)
        for number in range(done):
            step(expected, replay)
            if (3, number) in reports:
                state = contents(expected)
                saved = [state] if (4, number) in reports else [*saved, state]
        allowed = [contents(expected)]
        if reports[-1][0] == 1:  # a step had begun: it is there whole, or not at all
            step(expected, replay)
            allowed.append(contents(expected))
            interrupted += 1
        with Gallery.open(path) as gallery:
            gallery.verify()
            found = contents(gallery)
            assert found in allowed, f"kill {seed} after {done} steps"
            if len(gallery) > 400:
                gallery.remove(gallery.ids[:-50])
        if copy.exists():
            stored = Gallery.load(copy)
            stored.verify()
            saved = [contents(stored)] if contents(stored) in saved else pytest.fail("a torn copy")
        else:
            assert saved[0] is None
        acknowledged += done
    assert acknowledged > kills // 4
    assert interrupted > kills // 8
    left = [one.name for one in tmp_path.iterdir() if one.name not in ("g", "copy")]
    assert all(name.startswith(".copy.new-") for name in left)


def test_a_few_kills(tmp_path):
    check_kills(tmp_path, 12)


@pytest.mark.slow
def test_two_hundred_and_twenty_kills(tmp_path):
    check_kills(tmp_path, 220)
