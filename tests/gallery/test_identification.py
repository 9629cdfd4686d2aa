"""Identification whatever the shares of people, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.gallery import Gallery
from tests.gallery.reference import unit


def definition(queries, rows, pids, depth, admits):
    """Each person's mean over the ``depth`` best admitted entries, best person first."""
    near = unit(queries).astype(float) @ unit(rows).astype(float).T
    for query, similarities in enumerate(near):
        people = {}
        for row in np.argsort(-similarities, kind="stable"):
            if admits(query, row):
                people.setdefault(pids[row], []).append(similarities[row])
        means = {pid: np.mean(own[:depth]) for pid, own in people.items()}
        yield sorted(means.items(), key=lambda pair: -pair[1])


def assert_same(answers, expected):
    for answer, ranked in zip(answers, expected, strict=True):
        assert answer.candidate == ranked[0][0]
        assert answer.similarity == pytest.approx(ranked[0][1], abs=1e-6)
        if len(ranked) > 1:
            assert answer.margin == pytest.approx(ranked[0][1] - ranked[1][1], abs=1e-6)
        else:
            assert np.isnan(answer.margin)


def skewed(rng, entries=3000):
    """Nine of ten entries are one person's, who lies near everybody; some have one entry."""
    pids = np.where(rng.random(entries) < 0.9, 0, rng.integers(1, 40, entries))
    pids[:5] = [900, 901, 902, 903, 904]
    centers = rng.standard_normal((1000, 6))
    rows = centers[pids] + 0.7 * rng.standard_normal((entries, 6))
    rows[pids == 0] *= rng.choice([-1, 1], ((pids == 0).sum(), 1))
    return rows, pids


@pytest.mark.parametrize(
    ("group", "top"), [("best", 3), ("mean", 3), ("mean", 40), ("mean", 9999)]
)
def test_one_person_with_nearly_all_entries(group, top):
    rng = np.random.default_rng(1)
    rows, pids = skewed(rng)
    camids = rng.integers(0, 3, len(rows))
    gallery = Gallery(6)
    gallery.add(rows, pids=pids, camids=camids)
    queries = np.concatenate([rows[pids == 0][:20], rng.standard_normal((20, 6))])
    depth = top if group == "mean" else 1
    answers = gallery.identify(queries, group=group, top=top, threshold=-1)
    assert_same(answers, definition(queries, rows, pids, depth, lambda query, row: True))
    asked, cameras = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    answers = gallery.identify(
        queries, group=group, top=top, threshold=-1, query_pids=asked, query_camids=cameras
    )
    assert_same(
        answers,
        definition(
            queries, rows, pids, depth,
            lambda query, row: pids[row] != asked[query] or camids[row] != cameras[query],
        ),
    )  # fmt: skip


def test_a_mean_that_falls_below_people_not_seen_yet():
    """Many people have two entries near the query and one far away; one has three at 0.6."""
    angles = {"a": [0.1, 0.1, 3.0], "z": [0.92, 0.92, 0.92]}
    angles |= {f"p{n}": [0.2 + n / 1000, 0.2 + n / 1000, 2.9] for n in range(400)}
    rows = [[np.cos(a), np.sin(a)] for own in angles.values() for a in own]
    pids = [pid for pid, own in angles.items() for _ in own]
    gallery = Gallery(2)
    gallery.add(rows, pids=pids)
    (answer,) = gallery.identify([1, 0], group="mean", top=3, threshold=-1)
    assert answer.candidate == "z"
    assert answer.similarity == pytest.approx(np.cos(0.92), abs=1e-6)
    assert answer.entry_ids == (3, 4, 5)
    second = (2 * np.cos(0.1) + np.cos(3.0)) / 3
    third = (2 * np.cos(0.2) + np.cos(2.9)) / 3
    assert answer.margin == pytest.approx(np.cos(0.92) - max(second, third), abs=1e-6)


def test_work_and_memory_are_bounded_whatever_the_shares(monkeypatch):
    rng = np.random.default_rng(2)
    gallery = Gallery(8)
    gallery.add(rng.standard_normal((20_000, 8)), pids=[7] * 19_999 + [8])
    sizes, search = [], gallery._store.search
    monkeypatch.setattr(
        gallery._store,
        "search",
        lambda request: sizes.append(len(request.queries) * request.k) or search(request),
    )
    for group in ("best", "mean"):
        sizes.clear()
        answers = gallery.identify(rng.standard_normal((50, 8)), group=group, threshold=-1)
        assert {answer.candidate for answer in answers} <= {7, 8}
        assert not np.isnan([answer.margin for answer in answers]).any()
        assert len(sizes) <= 4
        assert sum(sizes) <= 50 * 1000


def test_no_search_of_a_long_mean_holds_more_than_a_bounded_result(monkeypatch):
    rng = np.random.default_rng(3)
    gallery = Gallery(8)
    gallery.add(rng.standard_normal((4000, 8)), pids=rng.integers(0, 3, 4000))
    sizes, search = [], gallery._store.search
    monkeypatch.setattr("sanreid.gallery.identification._RESULT_SIZE", 10_000)
    monkeypatch.setattr(
        gallery._store,
        "search",
        lambda request: sizes.append(len(request.queries) * request.k) or search(request),
    )
    answers = gallery.identify(rng.standard_normal((20, 8)), group="mean", top=4000, threshold=-1)
    assert {len(answer.entry_ids) for answer in answers} <= set(gallery.counts("pid").values())
    assert max(sizes) <= 10_000
