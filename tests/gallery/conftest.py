from __future__ import annotations

import pytest

from sanreid.gallery.index import manager
from sanreid.gallery.index.faiss_module import load_faiss


@pytest.fixture
def small_indexes(monkeypatch):
    """Indexes from 300 entries on, and one thread: the threads of FAISS would only wait."""
    faiss = load_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    monkeypatch.setattr(manager, "MIN_ROWS", 300)
    yield
    faiss.omp_set_num_threads(threads)
