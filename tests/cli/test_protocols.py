"""Queries and galleries out of one folder, checked against definitions in loops."""

from __future__ import annotations

import numpy as np
import pytest

import sanreid
from sanreid.cli.protocols import combine, rerank_all_pairs
from sanreid.metrics.splits import SPLITS

# Person, camera: person 1 under three cameras, 2 under two, 3 under one; 0 a distractor, -1 junk.
PIDS = np.array([1, 1, 1, 2, 2, 2, 3, 3, 0, -1])
CAMIDS = np.array([1, 2, 5, 1, 1, 2, 2, 2, 1, 5])


def places(sets):
    return [(split.query.tolist(), split.gallery.tolist()) for split in sets]


def test_cross_camera():
    assert places(SPLITS["cross-camera"](PIDS, CAMIDS)) == [
        ([0, 3, 4], [1, 2, 5, 6, 7, 9]),  # camera 1
        ([1, 5, 6, 7], [0, 2, 3, 4, 8, 9]),  # camera 2
        ([2], [0, 1, 3, 4, 5, 6, 7, 8]),  # camera 5: the junk asks nothing
    ]


def test_market1501():
    assert places(SPLITS["market1501"](PIDS, CAMIDS)) == [(list(range(8)), list(range(10)))]


def test_first_per_camera():
    assert places(SPLITS["first-per-camera"](PIDS, CAMIDS)) == [
        ([0, 1, 2, 3, 5, 6], [4, 7, 8, 9]),
    ]


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_nobody_under_two_cameras_gives_no_set(name):
    assert SPLITS[name](np.array([1, 1, 2, 2]), np.array([1, 1, 2, 2])) == []


def random_crops(seed, count=60):
    rng = np.random.default_rng(seed)
    pids, camids = rng.integers(1, 9, count), rng.integers(0, 3, count)
    centres = rng.standard_normal((9, 6))
    embeddings = centres[pids] + 0.8 * rng.standard_normal((count, 6))
    return embeddings.astype(np.float32), pids, camids


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_the_figures_equal_the_rule_written_in_loops(name):
    embeddings, pids, camids = random_crops(3)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    precisions, firsts = [], []
    seen = set()
    for i in range(len(pids)):
        first = (pids[i], camids[i]) not in seen
        seen.add((pids[i], camids[i]))
        if name == "first-per-camera" and not first:
            continue
        before = set()
        right = []
        order = np.argsort(-(unit @ unit[i]), kind="stable")
        for j in order:
            if name == "first-per-camera":
                earlier = [k for k in range(j) if (pids[k], camids[k]) == (pids[j], camids[j])]
                if not earlier:
                    continue  # j is itself a query
            if camids[j] == camids[i] and (name == "cross-camera" or pids[j] == pids[i]):
                continue
            before.add(j)
            if pids[j] == pids[i]:
                right.append(len(before))
        if right:
            precisions.append(np.mean([(k + 1) / place for k, place in enumerate(right)]))
            firsts.append(right[0] == 1)
    sets = SPLITS[name](pids, camids)
    figures = combine(
        [
            sanreid.evaluate(
                embeddings[query], pids[query], camids[query],
                embeddings[gallery], pids[gallery], camids[gallery],
            )
            for query, gallery in sets
        ]
    )  # fmt: skip
    assert figures["num_valid_queries"] == len(precisions)
    assert figures["mAP"] == pytest.approx(np.mean(precisions), abs=1e-6)
    assert figures["rank1"] == pytest.approx(np.mean(firsts), abs=1e-6)
    assert figures["cmc"][0] == pytest.approx(figures["rank1"])


def test_rerank_of_all_pairs_equals_each_query_set_alone():
    embeddings, pids, camids = random_crops(5, count=70)
    _, groups = np.unique(np.stack([pids, camids]), axis=1, return_inverse=True)
    groups = groups.reshape(-1)
    distances = rerank_all_pairs(embeddings, groups, sanreid.k_reciprocal_rerank)
    for group in range(groups.max() + 1):
        query, gallery = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        alone = sanreid.k_reciprocal_rerank(embeddings[query], embeddings[gallery])
        np.testing.assert_allclose(distances[np.ix_(query, gallery)], alone, atol=1e-5)
        assert np.isinf(distances[np.ix_(query, query)]).all()


def test_rerank_of_one_group_has_nothing_to_do():
    embeddings, _, _ = random_crops(1, count=4)
    distances = rerank_all_pairs(embeddings, np.zeros(4, np.int64), sanreid.k_reciprocal_rerank)
    assert np.isinf(distances).all()
