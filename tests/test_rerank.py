"""k-reciprocal re-ranking against the published algorithm on dense matrices, row by row."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid import (
    InputError,
    evaluate,
    evaluate_distances,
    k_reciprocal_rerank,
    neighbourhoods,
    rerank,
)


def by_loops(queries, gallery, k1=20, k2=6, lambda_value=0.3):
    """The published algorithm, dense, in float64; each row is its own nearest neighbour."""
    rows = np.concatenate([queries, gallery]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    count, num_queries = len(rows), len(queries)
    original = np.array([[((a - b) ** 2).sum() for b in rows] for a in rows])
    original = (original / original.max(axis=0)).T
    ranks = np.argsort(original - np.eye(count), axis=1, kind="stable")

    def reciprocal(i, k):
        return [j for j in ranks[i, : k + 1] if i in ranks[j, : k + 1]]

    vectors = np.zeros((count, count))
    for i in range(count):
        first = reciprocal(i, k1)
        members = set(first)
        for j in first:
            theirs = reciprocal(j, int(np.around(k1 / 2)))
            if len(set(theirs) & set(first)) > 2 / 3 * len(theirs):
                members |= set(theirs)
        for j in members:
            vectors[i, j] = np.exp(-original[i, j])
        vectors[i] /= vectors[i].sum()
    vectors = np.array([vectors[ranks[i, :k2]].mean(axis=0) for i in range(count)])

    result = np.empty((num_queries, len(gallery)))
    for q in range(num_queries):
        for g in range(num_queries, count):
            shared = np.minimum(vectors[q], vectors[g]).sum()
            jaccard = 1 - shared / (2 - shared)
            result[q, g - num_queries] = (
                jaccard * (1 - lambda_value) + original[q, g] * lambda_value
            )
    return result


def crowd(seed, queries, gallery, dim=12, people=7):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, dim))
    persons = rng.integers(0, people, queries + gallery)
    rows = centres[persons] + 0.8 * rng.standard_normal((queries + gallery, dim))
    return rows[:queries], rows[queries:], persons[:queries], persons[queries:]


@pytest.mark.parametrize(
    ("k1", "k2", "lambda_value"),
    [
        (20, 6, 0.3),
        (1, 1, 0.3),
        (2, 3, 0.0),
        (5, 1, 0.5),
        (7, 4, 0.2),
        (3, 2, 0.0),
        (7, 12, 1.0),
        (10, 4, 0.1),
    ],
)
def test_equals_the_published_algorithm(k1, k2, lambda_value):
    queries, gallery, *_ = crowd(k1, 23, 71)
    result = k_reciprocal_rerank(queries, gallery, k1=k1, k2=k2, lambda_value=lambda_value)
    assert result.shape == (23, 71)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, by_loops(queries, gallery, k1, k2, lambda_value), atol=1e-6)


@pytest.mark.parametrize(("queries", "gallery"), [(1, 1), (1, 2), (3, 1), (4, 5)])
@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (3, 30)])
def test_more_neighbours_than_rows(queries, gallery, k1, k2):
    queries, gallery, *_ = crowd(4, queries, gallery)
    result = k_reciprocal_rerank(queries, gallery, k1=k1, k2=k2)
    np.testing.assert_allclose(result, by_loops(queries, gallery, k1, k2), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), k1=st.integers(1, 12), k2=st.integers(1, 8))
def test_equals_the_published_algorithm_on_random_data(seed, k1, k2):
    queries, gallery, *_ = crowd(seed, 8, 30, people=4)
    result = k_reciprocal_rerank(queries, gallery, k1=k1, k2=k2)
    np.testing.assert_allclose(result, by_loops(queries, gallery, k1, k2), atol=1e-6)


def test_small_blocks_and_grouped_search_do_not_change_the_result(monkeypatch):
    queries, gallery, *_ = crowd(9, 40, 260)
    expected = by_loops(queries, gallery, 5, 3)
    for module in (rerank, neighbourhoods):
        monkeypatch.setattr(module, "_CHUNK", 7)
        monkeypatch.setattr(module, "THREADS", 3)
    monkeypatch.setattr(rerank, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(neighbourhoods, "_PAIRS", 50)
    monkeypatch.setattr(neighbourhoods, "_PRODUCTS", 100)
    for groups in (1, 2, 8, 1000):  # 1000: more groups than columns, plain sorting
        monkeypatch.setattr(rerank, "_GROUPS", groups)
        result = k_reciprocal_rerank(queries, gallery, k1=5, k2=3)
        np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 3, 21])
@pytest.mark.parametrize("values", [2, 50, 10**6])
def test_largest_are_those_of_a_stable_sort(depth, values):
    block = np.random.default_rng(depth).integers(0, values, (13, 2000)).astype(np.float32)
    expected = np.argsort(-block, axis=1, kind="stable")[:, :depth]
    np.testing.assert_array_equal(rerank._largest(block, depth), expected)


def test_duplicates_are_ordered_by_index():
    # Query 0 occurs twice more in the gallery, gallery row 3 five times: deliberate ties.
    queries, gallery, *_ = crowd(2, 6, 40)
    gallery[[1, 8]] = queries[0]
    gallery[[10, 11, 30, 39]] = gallery[3]
    result = k_reciprocal_rerank(queries, gallery, k1=4, k2=3)
    np.testing.assert_allclose(result, by_loops(queries, gallery, 4, 3), atol=1e-6)


@pytest.mark.parametrize("size", [66, 67, 71])
def test_duplicates_are_ties_across_block_boundaries(monkeypatch, size):
    # The last block has few rows, where a matrix product may round equal columns differently.
    monkeypatch.setattr(rerank, "_BLOCK_BYTES", 1)  # blocks of 64 rows
    rows = np.random.default_rng(size).standard_normal((size, 100)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[-25:] = rows[5:30]
    ranks = rerank._Neighbours(rows, size, np.empty((5, size - 5), np.float32)).ranks
    positions = np.argsort(ranks, axis=1)
    for first, repeat in zip(range(5, 30), range(size - 25, size), strict=True):
        others = np.arange(size) != repeat  # each duplicate ranks first in its own row
        assert (positions[others, first] < positions[others, repeat]).all()


def test_all_rows_the_same():
    # All distances are equal: the originals are 0, only the Jaccard term remains.
    result = k_reciprocal_rerank(np.ones((2, 3)), np.ones((30, 3)), k1=3, k2=2)
    assert np.isfinite(result).all()
    assert ((result >= 0) & (result <= 0.7 + 1e-6)).all()


def test_known_value():
    # Two people with orthogonal embeddings, each seen twice; with k1 = 1 each pair is mutual.
    # Same person: original 0, equal neighbourhoods, so 0. Different people: original 2 / 2,
    # nothing in common, so 1.
    result = k_reciprocal_rerank([[1, 0], [0, 1]], [[1, 0], [0, 1]], k1=1, k2=2)
    np.testing.assert_allclose(result, [[0, 1], [1, 0]], atol=1e-6)


def test_lambda_1_is_the_original_distance():
    queries, gallery, *_ = crowd(5, 5, 9)
    result = k_reciprocal_rerank(queries, gallery, lambda_value=1)
    rows = np.concatenate([queries, gallery])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    original = 2 - 2 * rows[:5] @ rows.T
    expected = (original / original.max(axis=1, keepdims=True))[:, 5:]
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_values_are_fractions_and_better_than_plain_cosine():
    queries, gallery, query_pids, pids = crowd(1, 60, 600, dim=24, people=30)
    labels = (query_pids + 1, [0] * 60, pids + 1, [1] * 600)
    result = k_reciprocal_rerank(queries, gallery)
    assert result.min() >= 0
    assert result.max() <= 1
    plain = evaluate(queries, *labels[:2], gallery, *labels[2:])
    assert evaluate_distances(result, *labels).mAP > plain.mAP + 0.02


def test_scale_and_dtype_do_not_matter_and_inputs_are_not_modified():
    queries, gallery, *_ = crowd(3, 5, 20)
    copies = queries.copy(), gallery.copy()
    plain = k_reciprocal_rerank(queries, gallery)
    np.testing.assert_array_equal(queries, copies[0])
    np.testing.assert_array_equal(gallery, copies[1])
    np.testing.assert_allclose(k_reciprocal_rerank(queries * 100, gallery), plain, atol=1e-6)
    as_lists = k_reciprocal_rerank(queries.tolist(), gallery.tolist())
    np.testing.assert_array_equal(as_lists, plain)


@pytest.mark.parametrize(
    ("queries", "gallery", "options", "message"),
    [
        (np.zeros((0, 2)), np.ones((3, 2)), {}, "query_embeddings are empty"),
        (np.ones((3, 2)), np.zeros((0, 2)), {}, "gallery_embeddings are empty"),
        (np.ones((3, 2)), np.ones((3, 4)), {}, "Queries have 2 dimensions and the gallery 4"),
        (np.ones(2), np.ones((3, 2)), {}, r"matrix \(N, D\)"),
        (np.ones((3, 2)), np.zeros((3, 2)), {}, "Row 0 of gallery_embeddings has norm 0.0"),
        (np.full((1, 2), np.nan), np.ones((3, 2)), {}, "Row 0 of query_embeddings has norm nan"),
        (np.ones((3, 2)), np.ones((3, 2)), {"k1": 0}, "k1 must be at least 1; got 0"),
        (np.ones((3, 2)), np.ones((3, 2)), {"k2": -1}, "k2 must be at least 1; got -1"),
        (np.ones((3, 2)), np.ones((3, 2)), {"k1": 2.5}, "k1 must be an int .* got 2.5"),
        (np.ones((3, 2)), np.ones((3, 2)), {"k2": "6"}, "k2 must be an int .* got '6'"),
        (np.ones((3, 2)), np.ones((3, 2)), {"k2": True}, "k2 must be an int .* got True"),
        (np.ones((3, 2)), np.ones((3, 2)), {"lambda_value": 1.1}, "between 0 and 1; got 1.1"),
        (np.ones((3, 2)), np.ones((3, 2)), {"lambda_value": None}, "between 0 and 1; got None"),
        ([[1, 2], [3]], np.ones((3, 2)), {}, "query_embeddings cannot be read as an array"),
        (np.ones((3, 2)), np.ones((3, 2)), {"lambda_value": float("nan")}, "between 0 and 1"),
    ],
)
def test_wrong_input_is_described(queries, gallery, options, message):
    with pytest.raises(InputError, match=message):
        k_reciprocal_rerank(queries, gallery, **options)


def test_memory_does_not_grow_with_the_square_of_the_neighbours(monkeypatch):
    for module in (rerank, neighbourhoods):
        monkeypatch.setattr(module, "THREADS", 2)
    rows = np.random.default_rng(0).standard_normal((600, 4))
    tracemalloc.start()
    k_reciprocal_rerank(rows[:10], rows[10:], k1=300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * 2**20  # all pairs of 256 rows at once: over 400


def test_rerank_does_not_import_torch():
    code = "import sys, sanreid.rerank; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
