from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from sanreid.errors import InputError
from sanreid.metrics import evaluate, evaluate_distances, vectors
from sanreid.metrics.vectors import identical_rows, keep_rows, unit_rows


def test_negative_zeros_become_zeros():
    rows = unit_rows(np.array([[-0.0, 2.0], [0.0, 1.0], [-1.0, -0.0]]), "rows")
    assert rows.tolist() == [[0, 1], [0, 1], [-1, 0]]
    assert np.signbit(rows).tolist() == [[False, False], [False, False], [True, False]]


def test_rows_equal_but_for_the_sign_of_a_zero_are_identical():
    repeats, firsts = identical_rows(unit_rows(np.array([[0.0, 1.0], [-0.0, 3.0]]), "rows"))
    assert (repeats.tolist(), firsts.tolist()) == ([1], [0])


def test_tiny_numbers_that_vanish_leave_no_negative_zero():
    rows = unit_rows(np.array([[-1e-60, 1.0]]), "rows")  # below the least float32
    assert rows.tolist() == [[0, 1]]
    assert not np.signbit(rows).any()


def test_a_column_of_embeddings_is_a_matrix():
    column = pd.Series([np.array([0.0, 2.0]), np.array([3.0, 0.0])])
    assert unit_rows(column, "rows").tolist() == [[0, 1], [1, 0]]


def test_what_stands_behind_a_mask_is_not_counted():
    masked = np.ma.array([[1.0, 2.0]], mask=[[False, True]])
    with pytest.raises(InputError, match="rows hold masked numbers"):
        unit_rows(masked, "rows")
    with pytest.raises(InputError, match="distances hold masked numbers"):
        evaluate_distances(masked, [1], [0], [1, 2], [1, 1])
    assert unit_rows(np.ma.array([[0.0, 2.0]]), "rows").tolist() == [[0, 1]]


def test_kept_rows_move_to_the_front(monkeypatch):
    monkeypatch.setattr(vectors, "_ROWS_AT_A_TIME", 3)
    rows = np.arange(20, dtype=np.float32).reshape(10, 2)
    kept = np.array([0, 2, 3, 6, 7, 8, 9])
    wanted = rows[kept]
    moved = keep_rows(rows, kept)
    assert moved.tolist() == wanted.tolist()
    assert np.shares_memory(moved, rows)
    assert len(keep_rows(rows, kept[:0])) == 0


def test_a_gallery_with_junk_is_copied_once():
    gallery = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    pids = np.arange(len(gallery)) % 100
    pids[::3] = -1
    labels = [1, 2], [0, 0], gallery, pids, np.ones(len(gallery), int)
    evaluate(gallery[:2], *labels)  # what is loaded once does not count
    tracemalloc.start()
    evaluate(gallery[:2], *labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * gallery.nbytes
