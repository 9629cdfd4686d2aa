"""Rows divided by their length."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.utils.vectors import normalize_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_length_one(dtype):
    rows = np.array([[3, 4], [0, 0], [0, -2]], dtype)
    before = rows.copy()
    unit = normalize_rows(rows)
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)
    assert unit.dtype == dtype
    np.testing.assert_array_equal(rows, before)


def test_the_rows_of_each_matrix_of_a_stack():
    stack = np.arange(1, 13, dtype=np.float32).reshape(2, 3, 2)
    np.testing.assert_array_equal(normalize_rows(stack)[1], normalize_rows(stack[1]))
    np.testing.assert_allclose(np.linalg.norm(normalize_rows(stack), axis=2), 1, rtol=1e-6)


def test_rows_shorter_than_the_least_norm_stay_short():
    unit = normalize_rows(np.array([[3e-8, 4e-8], [3.0, 4.0]]), least=1e-6)
    np.testing.assert_allclose(unit, [[0.03, 0.04], [0.6, 0.8]])
