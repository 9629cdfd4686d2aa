"""Searches that look twice, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid import k_reciprocal_rerank
from sanreid.errors import InputError
from sanreid.gallery import Gallery, refinement
from sanreid.gallery.storage.memory_store import MemoryStore
from tests.gallery.reference import unit


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(20), 8)
    rows = rng.standard_normal((20, 16))[pids] + 0.9 * rng.standard_normal((160, 16))
    camids = rng.integers(1, 4, 160)
    gallery = Gallery(16)
    gallery.add(rows, pids=pids, camids=camids, metadata=[{"n": n} for n in range(160)])
    return gallery, unit(rows), pids, camids, unit(rng.standard_normal((12, 16)))


def test_rerank_orders_the_candidates_by_their_neighbourhoods(scene):
    gallery, rows, _, _, queries = scene
    result = gallery.search(queries, 7, rerank=60)
    for query, ids, similarities in zip(queries, result.ids, result.similarities, strict=True):
        near = rows @ query
        candidates = np.argsort(-near, kind="stable")[:60]
        distances = k_reciprocal_rerank(query[None], rows[candidates])[0]
        wanted = candidates[np.argsort(distances, kind="stable")[:7]]
        assert ids.tolist() == wanted.tolist()
        np.testing.assert_allclose(similarities, near[wanted], atol=1e-6)
    assert result.counts.tolist() == [7] * 12
    assert [hit.metadata["n"] for hit in result[3]] == result.ids[3].tolist()
    assert (np.diff(result.similarities, axis=1) > 0).any()  # cosines that fall no longer
    everything = gallery.search(queries, 7, rerank=True)
    assert everything.ids.tolist() == gallery.search(queries, 7, rerank=100).ids.tolist()


def test_expand_adds_the_best_hits_to_the_query(scene):
    gallery, rows, _, _, queries = scene
    result = gallery.search(queries, 9, expand=3)
    for query, ids, similarities in zip(queries, result.ids, result.similarities, strict=True):
        near = rows @ query
        best = np.argsort(-near, kind="stable")[:3]
        mean = query + (np.clip(near[best], 0, 1) ** 3) @ rows[best]
        again = rows @ (mean / np.linalg.norm(mean))
        wanted = np.argsort(-again, kind="stable")[:9]
        assert ids.tolist() == wanted.tolist()
        np.testing.assert_allclose(similarities, again[wanted], atol=1e-6)


def test_both_hold_the_rules_of_a_search(scene, monkeypatch):
    gallery, _, pids, camids, queries = scene
    monkeypatch.setattr("sanreid.gallery.refinement._HELD", 25)
    arguments = {"where": {"n": {"$lt": 100}}, "query_camids": camids[:12], "min_similarity": 0.05}
    for look in ({"rerank": True}, {"expand": 2}, {"rerank": 30, "expand": 2}):
        result = gallery.search(queries, 5, query_pids=pids[:12], **arguments, **look)
        for query, hits in enumerate(result):
            assert all(hit.metadata["n"] < 100 for hit in hits)
            assert all(hit.similarity >= 0.05 for hit in hits)
            assert not any(hit.pid == pids[query] and hit.camid == camids[query] for hit in hits)
        assert result.query_pids == tuple(pids[:12].tolist())


def test_both_use_normalised_similarities(scene):
    gallery, rows, _, camids, queries = scene
    gallery.normalize_cameras()
    normalizer = gallery.camera_normalizer
    other = Gallery(16)
    other.add(normalizer(rows, camids))
    asked = normalizer(queries, camids[:12])
    for look in ({"rerank": 40}, {"expand": 3}, {"rerank": 40, "expand": 3}):
        result = gallery.search(queries, 6, query_camids=camids[:12], same_camera="keep", **look)
        wanted = other.search(asked, 6, **look)
        assert result.ids.tolist() == wanted.ids.tolist()
        np.testing.assert_allclose(result.similarities, wanted.similarities, atol=1e-5)


def test_rerank_puts_more_of_the_same_people_first(scene):
    gallery, rows, pids, _, _ = scene
    plain = gallery.search(rows, 8).pids == pids[:, None]
    better = gallery.search(rows, 8, rerank=True).pids == pids[:, None]
    assert better.mean() > plain.mean()


def test_few_entries_and_none():
    gallery = Gallery(2)
    assert gallery.search([[1, 0]], rerank=True, expand=2).counts.tolist() == [0]
    gallery.add([[1, 0]])
    result = gallery.search([[1, 0.1]], 3, rerank=True, expand=2)
    assert result.ids.tolist() == [[0, -1, -1]]
    assert gallery.search(np.empty((0, 2)), 3, rerank=True, expand=2).ids.shape == (0, 3)


@pytest.mark.parametrize(
    ("look", "message"),
    [
        ({"rerank": -1}, "rerank must be at least 0"),
        ({"rerank": 2.5}, "rerank must be an int"),
        ({"rerank": "yes"}, "rerank must be an int"),
        ({"rerank": 10**6}, "rerank must be at most 10,000; got 1000000"),
        ({"expand": -1}, "expand must be at least 0"),
        ({"expand": True}, "expand must be an int"),
        ({"expand": 10**6}, "expand must be at most 10,000; got 1000000"),
    ],
)
def test_bad_looks(look, message):
    with pytest.raises(InputError, match=message):
        Gallery(2).search([[1, 0]], **look)


def test_only_as_many_as_asked_for_are_reranked(scene):
    gallery, _, _, _, queries = scene
    plain = gallery.search(queries, 30)
    result = gallery.search(queries, 30, rerank=10)
    assert result.ids[:, :10].tolist() == gallery.search(queries, 10, rerank=10).ids.tolist()
    assert result.ids[:, 10:].tolist() == plain.ids[:, 10:].tolist()


def test_more_candidates_than_entries_take_no_more_room(scene, monkeypatch):
    gallery, _, _, _, queries = scene
    widths = []
    search = MemoryStore.search
    monkeypatch.setattr(
        MemoryStore,
        "search",
        lambda store, request: (widths.append(request.k), search(store, request))[1],
    )
    assert gallery.search(queries, 3, rerank=10_000).ids.shape == (12, 3)
    assert widths == [160]


def test_both_looks_are_of_one_normalisation(scene, monkeypatch):
    gallery, _, _, _, queries = scene
    fitted = gallery.normalize_cameras()
    wanted = gallery.search(queries, 6, expand=3)
    gallery.normalize_cameras(None)
    expanded = refinement._expanded

    def cut_in(store, request, expand):
        found = expanded(store, request, expand)
        if gallery.camera_normalizer is None:
            gallery.normalize_cameras(fitted)
        return found

    monkeypatch.setattr(refinement, "_expanded", cut_in)
    found = gallery.search(queries, 6, expand=3)
    assert found.similarities.tolist() == wanted.similarities.tolist()
