"""Galleries on Milvus Lite and on a real server, against one in memory."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import numpy as np
import pytest

from sanreid.errors import GalleryError, UnsupportedError
from sanreid.gallery import Gallery
from tests.gallery.milvus.filters import random_columns, random_filter, rng_of
from tests.gallery.milvus.server import Server, why_not

pytestmark = pytest.mark.slow
DIM = 32
FILTERS = 300


def embeddings(count, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((50, DIM))
    rows = centres[rng.integers(0, 50, count)] + 0.5 * rng.standard_normal((count, DIM))
    return rows.astype(np.float32)


def both(address, count, columns):
    """Return a gallery at an address and one in memory with the same entries."""
    there, here = Gallery.open(address, dim=DIM), Gallery(DIM)
    rows = embeddings(count)
    rows[count // 2 : count // 2 + 12] = rows[0]  # ties
    for gallery in (there, here):
        gallery.add(rows, **columns)
    return there, here


def assert_equal_searches(there, here, **arguments):
    queries = embeddings(16, seed=1)
    queries[0] = here.get(here.ids[:1])[0].embedding
    found, wanted = there.search(queries, **arguments), here.search(queries, **arguments)
    assert found.ids.tolist() == wanted.ids.tolist(), arguments
    np.testing.assert_allclose(found.similarities, wanted.similarities, rtol=0, atol=1e-5)


def assert_equal_rules(there, here):
    pids, camids = [0, 1, "7", None] * 4, [0, 1, 2, -3, None, 0, 1, 2] * 2
    assert_equal_searches(there, here, k=10)
    assert_equal_searches(there, here, k=10, query_camids=camids)
    assert_equal_searches(there, here, k=10, query_camids=camids, query_pids=pids)
    assert_equal_searches(there, here, k=10, where={"pid": 7}, query_camids=[0] * 16)
    assert_equal_searches(there, here, k=10, min_similarity=0.5)


def assert_equal_filters(there, here, seed):
    rng, query = rng_of(seed), embeddings(1, seed=2)
    for _ in range(FILTERS):
        where = random_filter(rng)
        found, wanted = (
            there.search(query, k=20, where=where),
            here.search(query, k=20, where=where),
        )
        assert found.ids.tolist() == wanted.ids.tolist(), where
        np.testing.assert_allclose(found.similarities, wanted.similarities, rtol=0, atol=1e-5)


@pytest.fixture
def lite(tmp_path):
    pytest.importorskip("milvus_lite")
    return f"milvus-lite://{tmp_path}/gallery.db"


def test_lite_filters_as_memory_does(lite):
    there, here = both(lite, 150, random_columns(rng_of(5), 150))
    with there:
        assert_equal_filters(there, here, seed=6)


def test_lite_searches_as_memory_does(lite):
    there, here = both(lite, 2000, random_columns(rng_of(1), 2000))
    assert_equal_rules(there, here)
    there.remove(where={"camid": 1})
    here.remove(where={"camid": 1})
    ids = here.ids[[2, 3]]
    for gallery in (there, here):
        gallery.update(ids, pids=["new", None], metadata=[{"n": 1}, None])
    assert there.counts("pid") == here.counts("pid")
    assert there.find({"pid": "new"}).tolist() == here.find({"pid": "new"}).tolist() == [ids[0]]
    with pytest.raises(UnsupportedError, match="Milvus Lite decides"):
        there.compact()
    there.close()
    with Gallery.open(lite, mode="r") as again:
        assert again.ids.tolist() == here.ids.tolist()
        assert_equal_searches(again, here, k=5)
    with pytest.raises(GalleryError, match="There is no gallery"):
        Gallery.open(lite + "?name=other")


def test_a_server(tmp_path):
    """One test, since a machine has room for one server."""
    pytest.importorskip("pymilvus")
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Server(tmp_path) as server:
        check_that_acknowledged_rows_survive_kill_9(server)  # first: it reads all data again
        check_searches_at_50_000_rows(server)
        check_that_compaction_waits(server)


def check_searches_at_50_000_rows(server):
    count = 50_000
    few = random_columns(rng_of(3), 2000)
    there, here = both(
        server.address("people"), count, {name: values * 25 for name, values in few.items()}
    )
    assert len(there) == count
    assert_equal_rules(there, here)
    assert_equal_filters(there, here, seed=4)
    for gallery in (there, here):
        gallery.remove(where={"id": {"$lt": 1000}})
        gallery.update([2000], pids=["new"])
    assert there.ids.tolist() == here.ids.tolist()
    assert there.find({"pid": "new"}).tolist() == [2000]
    there.close()


def check_that_compaction_waits(server):
    with Gallery.open(server.address("removed"), dim=DIM) as gallery:
        gallery.add(embeddings(100))
        gallery.remove(where={"id": {"$lt": 60}})
        gallery.compact()
        assert len(gallery) == 40


WRITER = """
import sys
import numpy as np
from sanreid.gallery import Gallery
gallery = Gallery.open(sys.argv[1], dim=32)
rng = np.random.default_rng(0)
while True:
    print(*gallery.add(rng.standard_normal((20, 32))).tolist(), flush=True)
"""


def check_that_acknowledged_rows_survive_kill_9(server):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, server.address("crash", timeout=20)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = threading.Timer(120, writer.kill)
    acknowledged = []
    with writer:
        deadline.start()
        for line in writer.stdout:
            acknowledged += map(int, line.split())
            if len(acknowledged) == 2000:
                server.kill()  # while the writer goes on adding
        deadline.cancel()
    assert writer.returncode == 1, "the writer got an error"
    assert len(acknowledged) >= 2000
    server.restart()
    with Gallery.open(server.address("crash")) as gallery:
        found = set(gallery.ids.tolist())
        lost = set(acknowledged) - found
        report = {"acknowledged": len(acknowledged), "found": len(found), "lost": len(lost)}
        logging.getLogger(__name__).warning("kill -9 while rows are added: %s", report)
        assert not lost
        assert len(found) - len(acknowledged) <= 20, "at most the call that was cut off"
        rows = np.random.default_rng(0).standard_normal((2000, 32))
        stored = np.stack([entry.embedding for entry in gallery.get(range(0, 2000, 100))])
        wanted = rows[::100] / np.linalg.norm(rows[::100], axis=1, keepdims=True)
        np.testing.assert_allclose(stored, wanted, atol=1e-6)
        assert gallery.add(rows[:1])[0] > max(acknowledged)
