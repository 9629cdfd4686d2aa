from __future__ import annotations

import pytest

from sanreid.gallery.index import approximate


@pytest.fixture
def small_indexes(monkeypatch):
    """Indexes from 300 entries on, and one thread: the threads of FAISS would only wait."""
    faiss = approximate.load_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    monkeypatch.setattr(approximate, "MIN_ROWS", 300)
    yield
    faiss.omp_set_num_threads(threads)
