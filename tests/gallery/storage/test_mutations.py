"""Bytes of a stored gallery flipped, cut, swapped or gone: an error, never a wrong answer."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.index import manager
from tests.gallery.storage.histories import DIM, contents, step

KINDS = (
    "flip",
    "flip",
    "flip",
    "set",
    "zero",
    "cut",
    "grow",
    "move",
    "swap",
    "delete",
    "exchange",
)


def mutate(folder, rng):
    """Change one file (or exchange two) of a gallery; return what was done."""
    files = sorted(path for path in folder.iterdir() if path.name != "lock")
    path = files[rng.integers(0, len(files))]
    kind = str(rng.choice(KINDS))
    raw = bytearray(path.read_bytes())
    size = max(1, len(raw))
    a, b = sorted(rng.integers(0, size, 2).tolist())
    if kind == "flip":
        for offset in rng.integers(0, size, rng.integers(1, 4)):
            raw[offset] ^= 1 << int(rng.integers(0, 8))
    elif kind == "set":
        raw[a] = int(rng.integers(0, 256))
    elif kind == "zero":
        raw[a:b] = bytes(b - a)
    elif kind == "cut":
        del raw[a:]
    elif kind == "grow":
        raw += rng.bytes(int(rng.integers(1, 5000)))
    elif kind == "move":
        del raw[a : min(b, a + 64)]
    elif kind == "swap":
        length = int(rng.integers(1, 65))
        raw[a : a + length], raw[b : b + length] = raw[b : b + length], raw[a : a + length]
    elif kind == "delete":
        path.unlink()
        return f"{kind} {path.name}"
    else:
        other = files[rng.integers(0, len(files))]
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two)
        other.write_bytes(one)
        return f"{kind} {path.name} {other.name}"
    path.write_bytes(raw)
    return f"{kind} {path.name} {a} {b}"


def answers(gallery):
    rng = np.random.default_rng(9)
    result = gallery.search(rng.standard_normal((3, DIM)), k=6, where={"n": {"$lt": 3}})
    return contents(gallery), result.ids.tolist(), result.similarities.tobytes()


def check_mutations(tmp_path, count, *, index="auto"):
    good, rng = tmp_path / "good", np.random.default_rng(4)
    with Gallery.open(good, dim=DIM, index=index) as gallery:
        for _ in range(12):
            step(gallery, rng, compacts=False)
        if index != "auto":
            gallery.add(
                rng.standard_normal((300, DIM)), metadata=[{"n": n % 4} for n in range(300)]
            )
            gallery.build_index()
        expected = answers(gallery)
    refused = 0
    for number in range(count):
        folder = tmp_path / f"bad-{number}"
        shutil.copytree(good, folder)
        done = mutate(folder, np.random.default_rng(1000 + number))
        try:
            mode = "r" if number % 2 else "rw"
            with Gallery.open(folder, mode=mode, index=index) as gallery:
                found = answers(gallery)
            assert found == expected, f"mutation {number}: {done}"
        except GalleryError:
            refused += 1
        shutil.rmtree(folder)
    assert refused > count // 3


def test_mutations_of_a_gallery_with_an_index(tmp_path, monkeypatch):
    monkeypatch.setattr(manager, "MIN_ROWS", 100)
    check_mutations(tmp_path, 60, index="flat-sq8")


def test_a_hundred_mutations(tmp_path):
    check_mutations(tmp_path, 100)


@pytest.mark.slow
def test_twelve_hundred_mutations(tmp_path):
    check_mutations(tmp_path, 1200)


@pytest.mark.slow
def test_many_mutations_of_a_gallery_with_an_index(tmp_path, monkeypatch):
    monkeypatch.setattr(manager, "MIN_ROWS", 100)
    check_mutations(tmp_path, 300, index="flat-sq8")
