"""Clustering against its definition by brute force, what is certain, and odd input."""

from __future__ import annotations

import datetime as dt
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid import (
    CameraNormalizer,
    Clustering,
    InputError,
    cluster_identities,
    evaluate_clustering,
)
from sanreid.clustering import confidence, graph, linkage


def crowd(seed, count, *, people=6, dim=16, noise=0.5, cameras=3):
    """(embeddings, pids, camids)."""
    rng = np.random.default_rng(seed)
    pids = rng.integers(0, people, count)
    rows = rng.standard_normal((people, dim))[pids] + noise * rng.standard_normal((count, dim))
    return rows, pids, rng.integers(0, cameras, count)


def similarities_by_loops(rows, k1=10, k2=4):
    """Cosine plus overlap of k-reciprocal neighbourhoods, as published, dense, in float64."""
    count = len(rows)
    cosine = rows @ rows.T
    ranks = np.argsort(-(cosine + 9 * np.eye(count)), axis=1, kind="stable")

    def reciprocal(i, k):
        near = [j for j in ranks[i, : k + 1] if cosine[i, j] >= 0.4]
        return [j for j in near if i in ranks[j, : k + 1]]

    vectors = np.zeros((count, count))
    for i in range(count):
        first = reciprocal(i, k1)
        members = set(first)
        for j in first:
            theirs = reciprocal(j, round(k1 / 2))
            if len(set(theirs) & set(first)) > 2 / 3 * len(theirs):
                members |= set(theirs)
        for j in members:
            vectors[i, j] = np.exp(-(2 - 2 * cosine[i, j]) / 2)
        vectors[i] /= vectors[i].sum()
    nearest = [[j if cosine[i, j] >= 0.4 else i for j in ranks[i, :k2]] for i in range(count)]
    vectors = np.array([vectors[these].mean(axis=0) for these in nearest])
    shared = np.array([[np.minimum(a, b).sum() for b in vectors] for a in vectors])
    return cosine + shared / (2 - shared), shared


def groups_by_loops(similarity, threshold, forbidden=frozenset(), pieces=()):
    """Average linkage, greedy: the nearest two groups are joined until none are near enough."""
    groups, similarity = [{i} for i in range(len(similarity))], similarity.tolist()
    for piece in pieces:
        joined = set().union(*(one for one in groups if one & piece))
        groups = [one for one in groups if not one & piece] + [joined]
    while True:
        best, pair = threshold, None
        for a, b in itertools.combinations(groups, 2):
            if forbidden and any((i, j) in forbidden or (j, i) in forbidden for i in a for j in b):
                continue
            mean = sum(similarity[i][j] for i in a for j in b) / (len(a) * len(b))
            if mean >= best:
                best, pair = mean, (a, b)
        if pair is None:
            return {frozenset(one) for one in groups}
        groups = [one for one in groups if one not in pair] + [pair[0] | pair[1]]


def as_sets(clustering):
    groups = {}
    for row, label in enumerate(clustering.labels.tolist()):
        groups.setdefault((label, row if label < 0 else -1), set()).add(row)
    return {frozenset(one) for one in groups.values()}


@pytest.mark.parametrize("threshold", [0.4, 0.475, 0.8, 1.2])
@pytest.mark.parametrize("noise", [0.3, 0.6])
@pytest.mark.parametrize("people", [6, 30])  # 10 and 2 crops of each
def test_equals_brute_force(threshold, noise, people):
    rows, _, _ = crowd(int(10 * noise), 60, people=people, noise=noise)
    found = cluster_identities(rows, threshold=threshold)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    similarity, _ = similarities_by_loops(unit)
    assert as_sets(found) == groups_by_loops(similarity, threshold)


def test_equals_brute_force_with_what_is_certain():
    rows, _, camids = crowd(2, 50, noise=0.5)
    timestamps = np.arange(50) // 4.0
    must, cannot = [(0, 9), (9, 17), (3, 30)], [(1, 2), (5, 40)]
    found = cluster_identities(
        rows,
        camids=camids,
        timestamps=timestamps,
        must_link=must,
        cannot_link=cannot,
        normalize_cameras=False,
    )
    frames = [
        (i, j)
        for i, j in itertools.combinations(range(50), 2)
        if camids[i] == camids[j] and timestamps[i] == timestamps[j]
    ]
    assert frames
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    similarity, _ = similarities_by_loops(unit)
    expected = groups_by_loops(
        similarity, found.threshold, {*frames, *cannot}, [{0, 9, 17}, {3, 30}]
    )
    assert as_sets(found) == expected


def test_camids_take_the_cameras_means_out():
    rows, _, camids = crowd(3, 80, noise=0.6)
    rows += np.random.default_rng(0).standard_normal((3, 16))[camids]
    plain = cluster_identities(CameraNormalizer.fit(rows, camids)(rows, camids))
    np.testing.assert_array_equal(cluster_identities(rows, camids=camids).labels, plain.labels)
    without = cluster_identities(rows, camids=camids, normalize_cameras=False)
    np.testing.assert_array_equal(without.labels, cluster_identities(rows).labels)


def test_a_clear_crowd_is_found_whole():
    rows, pids, camids = crowd(4, 300, people=30, dim=64, noise=0.3)
    found = cluster_identities(rows, camids=camids)
    report = evaluate_clustering(found.labels, pids)
    assert report.pairwise_f1 > 0.99
    assert isinstance(found, Clustering)
    assert found.labels.dtype == np.int64
    assert found.confidence.dtype == np.float32
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_the_parts_of_the_result():
    rows, _, _ = crowd(5, 60, noise=0.4)
    camids = [7, None, 9, 7, 8] * 12
    timestamps = [1.5, None, float("nan"), 40.0, 2.0] * 12
    timestamps = [None if t is None else t + 100 * i for i, t in enumerate(timestamps)]
    found = cluster_identities(rows, camids=camids, timestamps=timestamps)
    assert len(found) == found.labels.max() + 1 == len(found.sizes) == len(found.medoids)
    first = [np.flatnonzero(found.labels == k)[0] for k in range(len(found))]
    assert first == sorted(first)
    for cluster in range(len(found)):
        members = found.members(cluster)
        assert len(members) == found.sizes[cluster] > 1
        assert found.medoids[cluster] in members
        assert (np.diff(found.confidence[members]) <= 0).all()
        seen = sorted({camids[i] for i in members} - {None})
        assert list(found.cameras[cluster]) == seen
        known = [timestamps[i] for i in members if timestamps[i] is not None]
        known = [one for one in known if not np.isnan(one)]
        if known:
            assert found.times[cluster].tolist() == [min(known), max(known)]
    assert found.sizes.sum() + found.num_alone == 60
    assert repr(found) == (
        f"<Clustering of 60 crops: {len(found)} clusters, {found.num_alone} alone, "
        "threshold 0.475>"
    )
    for wrong in (-1, len(found), 1.5, "a"):
        with pytest.raises(InputError, match="numbered 0 to .*; got"):
            found.members(wrong)


def test_confidence_and_medoids_equal_their_definition():
    rows, _, _ = crowd(6, 50, people=5, noise=0.7)
    found = cluster_identities(rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    similarity, shared = similarities_by_loops(unit)
    groups = sorted(as_sets(found), key=min)
    of = {row: group for group in groups for row in group}
    for row in range(50):
        own = [similarity[row, i] for i in of[row] - {row}]
        own = np.mean(own) if own else found.threshold
        others = [
            np.mean([similarity[row, i] for i in group])
            for group in groups
            if row not in group and (len(group) > 1 or any(shared[row, i] for i in group))
        ]
        expected = (own - max([0, *others])) / own
        assert found.confidence[row] == pytest.approx(np.clip(expected, 0, 1), abs=1e-5)
    for cluster, medoid in enumerate(found.medoids):
        members = np.flatnonzero(found.labels == cluster)
        sums = similarity[np.ix_(members, members)].sum(axis=1)
        assert medoid == members[sums.argmax()]


def test_a_higher_threshold_gives_smaller_clusters():
    rows, pids, _ = crowd(7, 200, people=15, noise=0.8)
    reports = [
        evaluate_clustering(cluster_identities(rows, threshold=t).labels, pids)
        for t in (0.3, 0.6, 1.2)
    ]
    recalls = [report.pairwise_recall for report in reports]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[0] > recalls[-1]


def test_crops_of_one_frame_never_join_however_alike():
    rows = np.tile(np.eye(3)[0], (4, 1)) + 1e-3 * np.eye(4, 3)
    found = cluster_identities(rows, camids=[1, 1, 2, 2], timestamps=[5, 5, 5, 5])
    assert found.labels[0] != found.labels[1]
    assert found.labels[2] != found.labels[3]
    assert len(set(found.labels.tolist())) == 2  # each with one of the other camera


def test_tracklets_join_whatever_they_look_like():
    rows = np.eye(6)
    found = cluster_identities(rows, tracklets=["a", 7, "a", None, 7, np.int64(7)])
    assert found.labels.tolist() == [0, 1, 0, -1, 1, 1]


def test_identical_crops_do_not_break_a_must_link():
    # 0 and 1 are one person; 1 and 2 are the same picture, but 0 and 2 are two people.
    rows = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    found = cluster_identities(rows, must_link=[(0, 1)], cannot_link=[(2, 0)])
    assert found.labels.tolist() == [0, 0, -1]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_very_few_crops(count):
    rows = np.eye(5)[:count]
    assert cluster_identities(rows).labels.tolist() == [-1] * count
    same = cluster_identities(np.ones((count, 3)))
    assert same.labels.tolist() == ([0] * count if count > 1 else [-1])


def test_all_crops_of_one_person():
    rng = np.random.default_rng(8)
    rows = rng.standard_normal(32) + 0.3 * rng.standard_normal((40, 32))
    found = cluster_identities(rows, camids=np.arange(40) % 2)
    assert found.labels.tolist() == [0] * 40
    assert cluster_identities(rows).labels.tolist() == [0] * 40


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_order_of_crops_does_not_matter(seed):
    rows, _, camids = crowd(seed, 70)
    order = np.random.default_rng(seed).permutation(70)
    found = cluster_identities(rows, camids=camids)
    moved = cluster_identities(rows[order], camids=camids[order])
    assert as_sets(found) == {frozenset(order[list(one)].tolist()) for one in as_sets(moved)}


def test_many_crops_by_an_index_are_nearly_the_same(monkeypatch):
    rows, pids, _ = crowd(9, 3000, people=200, dim=32, noise=0.4)
    exact = cluster_identities(rows)
    monkeypatch.setattr(graph, "_EXACT", 1000)
    monkeypatch.setattr(graph, "_TRAINING", 39)
    found = cluster_identities(rows)
    agreement = evaluate_clustering(found.labels, exact.labels.tolist())
    assert agreement.pairwise_f1 > 0.97
    assert evaluate_clustering(found.labels, pids).pairwise_f1 > 0.9


def test_the_nearest_other_cluster_by_an_index_is_nearly_the_same(monkeypatch):
    rows, pids, _ = crowd(9, 3000, people=600, dim=32, noise=0.4)
    groups = np.unique(pids, return_inverse=True)[1]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sums = np.stack([rows[groups == one].sum(axis=0) for one in range(groups.max() + 1)])
    asked = np.float32(rows), np.float32(sums), groups, np.bincount(groups)
    exact = confidence._nearest_clusters(*asked)
    monkeypatch.setattr(graph, "_EXACT", 1000)
    found = confidence._nearest_clusters(*asked)
    assert (found <= exact + 1e-6).all()
    assert (found > exact - 0.02).mean() > 0.8


def bursts(cosine, *, seed=13, count=30, dim=32, noise=0.02):
    """(embeddings, pids) of two groups of nearly equal crops, so far apart."""
    rng = np.random.default_rng(seed)
    first, second = np.linalg.qr(rng.standard_normal((dim, 2)))[0].T
    second = cosine * first + (1 - cosine**2) ** 0.5 * second
    rows = np.repeat([first, second], count, axis=0)
    return rows + noise * rng.standard_normal(rows.shape), np.repeat([0, 1], count)


@pytest.mark.parametrize(("cosine", "clusters"), [(0.7, 1), (0.4, 2)])
@pytest.mark.parametrize("products", [1, 2**24])  # cosines of groups worked out together
def test_bursts_of_equal_crops_join_though_all_neighbours_lie_within(
    cosine, clusters, products, monkeypatch
):
    monkeypatch.setattr(linkage, "_PRODUCTS", products)
    rows, _ = bursts(cosine)
    assert len(cluster_identities(rows)) == clusters


def test_a_crop_is_unsure_where_another_cluster_is_near():
    rows, pids = bursts(0.9)
    apart = cluster_identities(rows, cannot_link=[(0, 30)])
    np.testing.assert_array_equal(apart.labels, pids)
    assert (apart.confidence < 0.5).all()
    assert (cluster_identities(bursts(0.1)[0]).confidence > 0.9).all()


@pytest.mark.parametrize("count", [2, 8, 30])
def test_confidence_does_not_depend_on_the_size_of_clusters(count):
    rows, pids = bursts(0.3, count=count)
    found = cluster_identities(rows)
    np.testing.assert_array_equal(found.labels, pids)
    # 1 and an overlap of nearly 1 within, 0.3 to the other
    np.testing.assert_allclose(found.confidence, 1 - 0.3 / 2, atol=0.1)


@pytest.mark.parametrize("count", [64, 300])
def test_equal_crops_are_joined_in_few_rounds(count, monkeypatch):
    rounds = []
    join = linkage._Groups.join_nearest
    monkeypatch.setattr(
        linkage._Groups, "join_nearest", lambda groups: rounds.append(1) or join(groups)
    )
    assert len(cluster_identities(np.ones((count, 8)))) == 1
    assert len(rounds) < 40


def test_people_of_one_frame_do_not_hide_those_who_may_join():
    # Each camera sees all 15 people in each of its frames, and they look more alike under one
    # camera than one person does under two.
    rng = np.random.default_rng(15)
    parts = np.linalg.qr(rng.standard_normal((64, 17)))[0].T
    cameras, people = parts[:2], parts[2:]
    pids, camids, frames = np.meshgrid(range(15), range(2), range(12), indexing="ij")
    pids, camids, frames = pids.ravel(), camids.ravel(), frames.ravel()
    rows = 0.714 * cameras[camids] + 0.7 * people[pids]
    rows += 0.005 * rng.standard_normal(rows.shape)
    found = cluster_identities(rows, camids=camids, timestamps=frames, normalize_cameras=False)
    assert evaluate_clustering(found.labels, pids).pairwise_f1 == 1


def test_a_large_tracklet_takes_in_what_is_like_it():
    rows = crowd(14, 1200, people=1, noise=0.3)[0]
    found = cluster_identities(rows, tracklets=["burst"] * 1190 + [None] * 10)
    assert len(found) == 1
    assert not found.num_alone


def test_small_pieces_of_work_change_nothing(monkeypatch):
    rows, _, camids = crowd(11, 90)
    expected = cluster_identities(rows, camids=camids)
    monkeypatch.setattr(graph, "_INCIDENCES", 50)
    found = cluster_identities(rows, camids=camids)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-6)


def test_itself_comes_first_among_its_nearest():
    found = np.array([[2, 0, 1], [0, 2, 1], [0, 1, -1]])
    assert graph._itself_first(found).tolist() == [[0, 2, 1], [1, 0, 2], [2, 0, 1]]
    assert graph._itself_first(np.array([[1, 2], [1, 0], [0, 1]]))[2].tolist() == [2, 0]


def test_columns_of_tables_are_read_as_lists_are():
    rows, _, _ = crowd(5, 4)
    times = pd.to_datetime(["2024-01-01T00:00:00", None, "2024-01-01T00:00:01", None], utc=True)
    found = cluster_identities(
        rows,
        camids=pd.Series([1, None, 1, 2], dtype="Int64"),
        timestamps=pd.Series(times),
        tracklets=pd.Series(["a", None, "a", None]),
    )
    start = 1704067200.0
    wanted = cluster_identities(
        rows,
        camids=[1, None, 1, 2],
        timestamps=[start, None, start + 1, None],
        tracklets=["a", None, "a", None],
    )
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_array_equal(found.times, wanted.times)
    assert found.cameras == wanted.cameras
    assert wanted.times[wanted.labels[0]].tolist() == [start, start + 1]


def test_masked_elements_of_lists_are_not_known():
    rows, _, _ = crowd(5, 4)
    masked = list(np.ma.array([1, 0, 3, 2], mask=[0, 1, 0, 0]))
    found = cluster_identities(rows, camids=masked, timestamps=masked)
    known = [1, None, 3, 2]
    wanted = cluster_identities(rows, camids=known, timestamps=known)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_array_equal(found.times, wanted.times)
    assert found.cameras == wanted.cameras


def test_cameras_may_have_names():
    rows, _, camids = crowd(5, 60, noise=0.4)
    named = np.array(["yard", "hall", 5], dtype=object)[camids]
    timestamps = np.arange(60) // 2
    numbered = cluster_identities(rows, camids=camids, timestamps=timestamps)
    found = cluster_identities(rows, camids=named, timestamps=timestamps)
    np.testing.assert_array_equal(found.labels, numbered.labels)
    for cluster, cameras in enumerate(found.cameras):
        seen = {named[row] for row in found.members(cluster)}
        assert cameras == tuple(one for one in (5, "hall", "yard") if one in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"camids": [1]}, "camids must have one value per row: 3 rows, 1 values"),
        ({"timestamps": [1, 2, 3]}, "only together with camids"),
        ({"camids": [1, 1, 1], "timestamps": [1, 2]}, "timestamps must have one value per row"),
        ({"camids": [1, 1, 1], "timestamps": [1, 2, "x"]}, "timestamps must be finite seconds"),
        ({"camids": [1, 1, 1], "timestamps": [1, 2, np.inf]}, "row 2 is inf"),
        (
            {"camids": [1, 1, 1], "timestamps": [1, dt.datetime(2024, 1, 1), 3]},  # noqa: DTZ001
            r"row 1, datetime.datetime\(2024, 1, 1, 0, 0\), has no time zone",
        ),
        (
            {"camids": [1, 1, 1], "timestamps": pd.date_range("2024", periods=3)},
            "datetime64.* has no time zone",
        ),
        ({"tracklets": [1, 2]}, "tracklets need one value per row"),
        ({"tracklets": "abc"}, "tracklets must be a sequence with one value per row; got 'abc'"),
        ({"tracklets": 5}, "tracklets must be a sequence with one value per row; got 5"),
        ({"tracklets": np.array(5)}, r"tracklets must have one dimension; got shape \(\)"),
        ({"tracklets": [1, 2, 3.5]}, "tracklets must be int, str or None; row 2 is 3.5"),
        ({"normalize_cameras": "no"}, "normalize_cameras must be True or False; got 'no'"),
        ({"threshold": 0}, "above 0, at most 2"),
        ({"threshold": 2.1}, "above 0, at most 2"),
        ({"threshold": float("nan")}, "threshold must be a finite number; got nan"),
        pytest.param({"threshold": 10**5000}, "finite number; got <int>", id="a long number"),
        ({"threshold": "high"}, "got 'high'"),
        ({"must_link": [0, 1]}, "list of pairs"),
        ({"must_link": np.ma.masked_all((1, 2), dtype=int)}, "must_link hold masked numbers"),
        ({"must_link": [(0, 1.5)]}, "list of pairs"),
        ({"must_link": [(0, 3)]}, "pair 0 is \\[0, 3\\]"),
        ({"cannot_link": [(0, 1), (1, 1)]}, "pair 1 is \\[1, 1\\]"),
        ({"must_link": [(0, 1), (1, 2)], "cannot_link": [(2, 0)]}, "Rows 2 and 0 are in cannot"),
        (
            {"tracklets": ["a", "b", "a"], "camids": [4, 4, 4], "timestamps": [1, 2, 1]},
            "Rows 0 and 2 have one camera and one timestamp",
        ),
    ],
)
def test_wrong_input_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        cluster_identities(np.eye(3), **options)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_row_without_a_direction_is_refused(value):
    rows = np.eye(3)
    rows[1] = value
    with pytest.raises(InputError, match="Row 1 of embeddings"):
        cluster_identities(rows)


def test_without_the_extra_the_error_names_it():
    code = (
        "import sys; sys.modules['scipy.sparse'] = None\n"
        "import sanreid, numpy\n"
        "try:\n    sanreid.cluster_identities(numpy.eye(3))\n"
        "except sanreid.MissingExtraError as error:\n"
        "    sys.exit(\"pip install 'sanreid[cluster]'\" not in str(error))\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
