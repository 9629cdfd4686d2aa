"""Seeded lives of a gallery, for tests that interrupt them."""

from __future__ import annotations

DIM = 5


def contents(gallery):
    """Everything a gallery answers with, comparable."""
    return [
        (e.id, e.embedding.tobytes(), e.pid, e.camid, e.timestamp, repr(e.metadata))
        for e in gallery.get(gallery.ids)
    ] + [gallery.encoder_fingerprint]


def step(gallery, rng, *, compacts=True):
    """Do one random thing to ``gallery``; the same generator does the same to an equal one."""
    kind = rng.choice(["add", "add", "remove", "update", "forget", "compact"])
    ids = gallery.ids
    some = rng.permutation(ids)[: rng.integers(1, 6)]
    if kind == "add" or not len(ids):
        count = int(rng.integers(1, 9))
        gallery.add(
            rng.standard_normal((count, DIM)),
            pids=[[None, 1, 2, "a", "b"][index] for index in rng.integers(0, 5, count)],
            camids=rng.integers(0, 3, count),
            timestamps=rng.random(count),
            metadata=[{"n": int(n)} for n in rng.integers(0, 4, count)],
        )
    elif kind == "remove":
        gallery.remove(some)
    elif kind == "update":
        gallery.update(some, rng.standard_normal((len(some), DIM)), pids=["new"] * len(some))
    elif kind == "forget":
        gallery.remove(where={"pid": [1, 2, "a", "b", "new"][rng.integers(0, 5)]})
    elif compacts:
        gallery.compact()
    return str(kind)
