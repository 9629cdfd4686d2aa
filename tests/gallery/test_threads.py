from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from sanreid.gallery import Gallery


@pytest.mark.parametrize("stored", [False, True])
def test_searches_beside_a_writer_see_only_states_that_existed(tmp_path, stored):
    # Batch b replaces all of batch b - 1 in two steps, so a state holds one batch or two that
    # follow each other, always whole.
    gallery = Gallery.open(tmp_path / "g", dim=4) if stored else Gallery(4)
    size, batches = 50, 30
    rng = np.random.default_rng(0)
    gallery.add(rng.standard_normal((size, 4)), pids=[0] * size, metadata=[{"b": 0}] * size)
    done, problems = threading.Event(), []

    def search(seed):
        queries = np.random.default_rng(seed).standard_normal((2, 4))
        while not done.is_set():
            result = gallery.search(queries, k=3 * size, where={"b": {"$gte": 0}})
            for hits in result:
                seen = {hit.pid for hit in hits}
                whole = len(hits) == size * len(seen)
                follow = max(seen) - min(seen) == len(seen) - 1
                same = all(hit.metadata == {"b": hit.pid} for hit in hits)
                if not (whole and follow and same and 1 <= len(seen) <= 2):
                    problems.append((len(hits), seen))

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for batch in range(1, batches):
        rows = rng.standard_normal((size, 4))
        gallery.add(rows, pids=[batch] * size, metadata=[{"b": batch}] * size)
        gallery.remove(where={"pid": batch - 1})
        if batch % 10 == 0:
            gallery.compact()
    done.set()
    for thread in threads:
        thread.join()
    gallery.close()
    assert problems == []


def test_two_threads_adding_lose_nothing():
    gallery = Gallery(2)

    def add(pid):
        for _ in range(100):
            gallery.add(np.ones((3, 2)), pids=[pid] * 3)

    threads = [threading.Thread(target=add, args=(pid,)) for pid in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gallery.ids.tolist() == list(range(1200))
    assert [len(gallery.find({"pid": pid})) for pid in range(4)] == [300] * 4


def test_importing_the_gallery_loads_neither_torch_nor_faiss():
    code = (
        "import sys, sanreid.gallery; "
        "sys.exit(bool({'torch', 'faiss', 'PIL', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
