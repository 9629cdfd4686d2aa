"""CMC, mAP and mINP against their definitions, one query at a time."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid import EvaluationReport, InputError, evaluate, evaluate_distances
from sanreid.metrics import evaluation, joined_report, ranking


def ranked_matches(distances, pid, camid, pids, camids):
    """The definition: the admissible entries of one query, nearest first, True for a match."""
    order = sorted(range(len(pids)), key=lambda g: (distances[g], g))
    matches = []
    for g in order:
        junk = pids[g] == -1
        own_view = pids[g] == pid and camids[g] == camid
        if not junk and not own_view:
            matches.append(bool(pids[g] == pid and pid != 0))
    return matches


def by_loops(distances, query_pids, query_camids, pids, camids, max_rank=50):
    cmc, precisions, penalties, valid = np.zeros(max_rank), [], [], []
    for q, row in enumerate(distances):
        matches = ranked_matches(row, query_pids[q], query_camids[q], pids, camids)
        if True not in matches:
            continue
        valid.append(q)
        places = [place for place, match in enumerate(matches, start=1) if match]
        cmc[places[0] - 1 :] += 1
        precisions.append(np.mean([n / place for n, place in enumerate(places, start=1)]))
        penalties.append(len(places) / places[-1])
    return cmc / len(valid), np.mean(precisions), np.mean(penalties), valid, precisions


def assert_same(report: EvaluationReport, expected) -> None:
    cmc, mean_precision, mean_penalty, valid, precisions = expected
    assert report.mAP == pytest.approx(mean_precision, abs=1e-6)
    assert report.mINP == pytest.approx(mean_penalty, abs=1e-6)
    assert report.rank1 == pytest.approx(cmc[0], abs=1e-6)
    np.testing.assert_allclose(report.cmc, cmc, atol=1e-6)
    assert report.num_valid_queries == len(valid)
    assert report.query_index.tolist() == valid
    np.testing.assert_allclose(report.average_precision, precisions, atol=1e-6)


def scene(seed, queries=37, gallery=211, dim=16, people=12, cameras=3, first_pid=-1):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people + 2, dim))
    query_pids = rng.integers(max(first_pid, 1), people, queries)
    pids = rng.integers(first_pid, people, gallery)
    return (
        centres[query_pids] + rng.standard_normal((queries, dim)),
        query_pids,
        rng.integers(0, cameras, queries),
        centres[pids] + rng.standard_normal((gallery, dim)),
        pids,
        rng.integers(0, cameras, gallery),
    )


def cosine_distances(queries, gallery):
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    return -queries @ gallery.T


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_evaluate_equals_its_definition(seed, dtype):
    queries, query_pids, query_camids, gallery, pids, camids = scene(seed)
    report = evaluate(
        queries.astype(dtype), query_pids, query_camids, gallery.astype(dtype), pids, camids
    )
    distances = cosine_distances(queries, gallery)
    assert_same(report, by_loops(distances, query_pids, query_camids, pids, camids))


@pytest.mark.parametrize("dtype", [np.int16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("values", [3, 40, 30_000])
def test_distances_with_ties_equal_the_definition(dtype, values):
    rng = np.random.default_rng(values)
    _, query_pids, query_camids, _, pids, camids = scene(values, people=6)
    distances = rng.integers(0, values, (37, 211)).astype(dtype)
    report = evaluate_distances(distances, query_pids, query_camids, pids, camids)
    assert_same(report, by_loops(distances, query_pids, query_camids, pids, camids))


@pytest.mark.parametrize(("many", "share"), [(0, 8), (10_000, 8), (10_000, 1), (10_000, 10**6)])
@pytest.mark.parametrize("values", [5, 10_000])
def test_every_way_of_counting_equals_the_definition(monkeypatch, many, share, values):
    monkeypatch.setattr(ranking, "_MANY_MATCHES", many)
    monkeypatch.setattr(ranking, "_CLOSE_SHARE", share)
    rng = np.random.default_rng(values)
    _, query_pids, query_camids, _, pids, camids = scene(values, people=9, first_pid=0)
    distances = rng.integers(0, values, (37, 211)).astype(np.float32)
    report = evaluate_distances(distances, query_pids, query_camids, pids, camids)
    assert_same(report, by_loops(distances, query_pids, query_camids, pids, camids))


def test_blocks_and_threads_do_not_change_the_result(monkeypatch):
    inputs = scene(5)
    for protocol in ("market1501", "cuhk03"):
        whole = evaluate(*inputs, protocol=protocol)
        with monkeypatch.context() as patch:
            patch.setattr(evaluation, "_BLOCK_QUERIES", (5, 5))
            patch.setattr(evaluation, "_THREADS", 3)
            parts = evaluate(*inputs, protocol=protocol)
        assert parts.as_dict() == whole.as_dict()
        np.testing.assert_array_equal(parts.average_precision, whole.average_precision)


def test_known_value():
    # One query; the ranking is match, stranger, match: AP = (1/1 + 2/3) / 2, INP = 2/3.
    report = evaluate_distances([[0.3, 0.1, 0.2]], [7], [0], [7, 7, 8], [1, 2, 1])
    assert report.mAP == pytest.approx(5 / 6)
    assert report.mINP == pytest.approx(2 / 3)
    assert report.rank1 == 1.0
    assert report.cmc.tolist() == [1.0] * 50
    assert type(report.mAP) is float
    assert type(report.rank1) is float


def test_cmc_counts_from_the_first_match():
    # Query 0 finds its person at place 2, query 1 at place 3 of 3.
    distances = [[0.2, 0.1, 0.3], [0.1, 0.2, 0.3]]
    report = evaluate_distances(distances, [1, 3], [0, 0], [1, 2, 3], [1, 1, 1], max_rank=4)
    assert report.cmc.tolist() == [0.0, 0.5, 1.0, 1.0]
    assert report.mAP == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_junk_is_ignored_and_a_distractor_is_not():
    distances = [[0.1, 0.2, 0.3]]
    assert evaluate_distances(distances, [1], [0], [-1, -1, 1], [1, 1, 1]).mAP == 1.0
    assert evaluate_distances(distances, [1], [0], [0, -1, 1], [1, 1, 1]).mAP == 0.5
    assert evaluate_distances(distances, [1], [0], [0, 0, 1], [1, 1, 1]).rank1 == 0.0
    junk_nearby = evaluate([[1, 0]], [1], [0], [[1, 0], [1, 1]], [-1, 1], [1, 1])
    assert (junk_nearby.mAP, junk_nearby.num_gallery) == (1.0, 1)


def test_own_camera_is_left_out():
    # The nearest entry is the query's own view; without it the match is first.
    report = evaluate_distances([[0.1, 0.2, 0.3]], [1], [0], [1, 1, 2], [0, 1, 0])
    assert report.mAP == 1.0
    # A stranger under the same camera stays.
    assert evaluate_distances([[0.1, 0.2]], [1], [0], [2, 1], [0, 1]).mAP == 0.5


def test_queries_without_a_match_are_not_counted():
    distances = [[0.1, 0.2], [0.1, 0.2], [0.1, 0.2]]
    report = evaluate_distances(distances, [1, 9, 2], [0, 0, 5], [1, 2], [1, 5])
    assert report.num_valid_queries == 1  # 9 is not there; 2 only under its own camera
    assert report.num_queries == 3
    assert report.query_index.tolist() == [0]
    assert report.query_pids.tolist() == [1]
    assert report.mAP == 1.0


def test_people_counted_from_0_are_all_people():
    distances = [[0.1, 0.2], [0.1, 0.2]]
    report = evaluate_distances(distances, [0, 1], [0, 0], [0, 1], [1, 1])
    assert report.query_index.tolist() == [0, 1]
    assert report.average_precision.tolist() == [1.0, 0.5]


def test_equal_distances_keep_gallery_order():
    assert evaluate_distances([[0.5, 0.5]], [1], [0], [2, 1], [1, 1]).mAP == 0.5
    assert evaluate_distances([[0.5, 0.5]], [1], [0], [1, 2], [1, 1]).mAP == 1.0
    both = evaluate_distances([[0.5, 0.5, 0.5]], [1], [0], [1, 2, 1], [1, 1, 1])
    assert both.mAP == pytest.approx((1 + 2 / 3) / 2)
    # A tied entry that is left out takes no place.
    assert evaluate_distances([[0.5, 0.5]], [1], [0], [1, 1], [0, 1]).mAP == 1.0


@pytest.mark.parametrize("copies", [2, 3, 37, 1000])
@pytest.mark.parametrize("dim", [5, 100])
def test_identical_entries_keep_gallery_order(copies, dim):
    # A matrix product may round equal columns differently; the order must not show it.
    row = np.random.default_rng(copies).standard_normal((1, dim)).astype(np.float32)
    gallery = np.repeat(row, copies, axis=0)
    gallery[::2] *= 4  # equal again once normalised
    for place in {0, copies // 2, copies - 1}:
        pids = np.full(copies, 2)
        pids[place] = 1
        query = np.random.default_rng(place).standard_normal((1, dim))
        assert evaluate(query, [1], [0], gallery, pids, [1] * copies).mAP == 1 / (place + 1)


def test_infinite_distances_rank_last():
    inf = float("inf")
    report = evaluate_distances([[inf, 3.0, inf]], [1], [0], [1, 2, 2], [1, 1, 1])
    assert report.mAP == 0.5
    assert evaluate_distances([[inf, inf]], [1], [0], [2, 1], [1, 1]).mAP == 0.5
    assert evaluate_distances([[-inf, -inf]], [1], [0], [2, 1], [1, 1]).mAP == 0.5


def test_plain_lists_text_pids_and_mixed_pids():
    report = evaluate([[1, 0]], ["anna"], [0], [[1, 0], [0, 1]], ["anna", "ben"], [1, 1])
    assert report.mAP == 1.0
    assert report.query_pids.tolist() == ["anna"]
    mixed = np.array(["anna", 7, 0, -1], dtype=object)
    distances = [[3, 4, 2, 1], [3, 4, 2, 1]]
    report = evaluate_distances(distances, np.array(["anna", 7], object), [0, 0], mixed, [1] * 4)
    assert report.average_precision.tolist() == [1 / 2, 1 / 3]
    # "7" is not 7
    with pytest.raises(InputError, match="no query pid occurs"):
        evaluate_distances([[1.0]], ["7"], [0], [7], [1])


def test_inputs_are_not_changed():
    inputs = scene(3)
    before = [array.copy() for array in inputs]
    evaluate(*inputs)
    distances = cosine_distances(inputs[0], inputs[3])
    distances_before = distances.copy()
    evaluate_distances(distances, inputs[1], inputs[2], inputs[4], inputs[5])
    for array, copy in zip((*inputs, distances), (*before, distances_before), strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_of_the_rows_does_not_matter(scale):
    queries, query_pids, query_camids, gallery, pids, camids = scene(1)
    plain = evaluate(queries, query_pids, query_camids, gallery, pids, camids)
    scaled = evaluate(
        queries.astype(np.float32) * np.float32(scale),
        query_pids,
        query_camids,
        gallery * scale,
        pids,
        camids,
    )
    assert scaled.mAP == pytest.approx(plain.mAP, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), protocol=st.sampled_from(["market1501", "cuhk03"]))
def test_figures_are_fractions_and_the_curve_never_falls(seed, protocol):
    report = evaluate(*scene(seed, queries=9, gallery=60), protocol=protocol)
    for figure in (report.mAP, report.mINP, report.rank1):
        assert 0 <= figure <= 1
    assert (np.diff(report.cmc) >= 0).all()
    assert report.cmc[0] >= 0
    assert report.cmc[-1] <= 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_the_gallery_does_not_matter_without_ties(seed):
    queries, query_pids, query_camids, gallery, pids, camids = scene(seed, queries=9, gallery=60)
    shuffle = np.random.default_rng(seed).permutation(60)
    distances = cosine_distances(queries, gallery)
    a = evaluate_distances(distances, query_pids, query_camids, pids, camids)
    b = evaluate_distances(
        distances[:, shuffle], query_pids, query_camids, pids[shuffle], camids[shuffle]
    )
    assert a.as_dict() == b.as_dict()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), protocol=st.sampled_from(["market1501", "cuhk03"]))
def test_a_perfect_ranking_scores_1(seed, protocol):
    rng = np.random.default_rng(seed)
    query_pids, pids = np.arange(1, 8), rng.permutation(np.repeat(np.arange(8), 5))
    directions = np.eye(8)
    report = evaluate(
        directions[query_pids], query_pids, [0] * 7, directions[pids], pids, [1] * 40,
        protocol=protocol,
    )  # fmt: skip
    assert (report.mAP, report.mINP, report.rank1) == (1.0, 1.0, 1.0)


def test_cuhk03_with_one_entry_a_person_is_market1501():
    rng = np.random.default_rng(8)
    queries, gallery = rng.standard_normal((20, 6)), rng.standard_normal((20, 6))
    inputs = (queries, np.arange(1, 21), [0] * 20, gallery, np.arange(1, 21), [1] * 20)
    assert (
        evaluate(*inputs, protocol="cuhk03").as_dict() | {"protocol": "market1501"}
        == evaluate(*inputs).as_dict()
    )


def test_cuhk03_known_share():
    # The stranger has one entry between two matches: rank-1 when the nearer match is drawn.
    distances = [[0.1, 0.3, 0.2]]
    report = evaluate_distances(
        distances,
        [1],
        [0],
        [1, 1, 2],
        [1, 1, 1],
        protocol="cuhk03",
        num_repeats=20_000,
        max_rank=3,
    )
    assert report.rank1 == pytest.approx(0.5, abs=0.02)
    assert report.cmc[1:].tolist() == [1.0, 1.0]
    assert report.mAP == pytest.approx((1 + 2 / 3) / 2)  # of the whole gallery


def test_cuhk03_equals_drawing_by_loops():
    queries, query_pids, query_camids, gallery, pids, camids = scene(11, queries=6, gallery=40)
    distances = np.round(cosine_distances(queries, gallery), 1)  # ties
    report = evaluate_distances(
        distances, query_pids, query_camids, pids, camids, protocol="cuhk03", num_repeats=4000
    )
    rng = np.random.default_rng(0)
    curve, valid = np.zeros(50), 0
    for q, row in enumerate(distances):
        own = (pids == query_pids[q]) & (camids == query_camids[q])
        groups = [np.flatnonzero((pids == p) & ~own) for p in np.unique(pids) if p > 0]
        if not ((pids == query_pids[q]) & ~own).any():
            continue
        valid += 1
        for _ in range(1000):
            drawn = [rng.choice(group) for group in groups if len(group)]
            drawn += np.flatnonzero(pids == 0).tolist()
            order = sorted(drawn, key=lambda g: (row[g], g))
            curve[[pids[g] == query_pids[q] for g in order].index(True) :] += 1 / 1000
    np.testing.assert_allclose(report.cmc, curve / valid, atol=0.02)


@pytest.mark.parametrize(("pids", "rank1"), [([1, 2], 1.0), ([2, 1], 0.0), ([0, 1], 0.0)])
def test_cuhk03_equal_distances_keep_gallery_order(pids, rank1):
    report = evaluate_distances([[0.5, 0.5]], [1], [0], pids, [1, 1], protocol="cuhk03")
    assert report.rank1 == rank1
    assert report.cmc[1] == 1.0


def test_cuhk03_is_seeded():
    inputs = scene(2)
    first = evaluate(*inputs, protocol="cuhk03")
    assert first.as_dict() == evaluate(*inputs, protocol="cuhk03").as_dict()
    assert (first.cmc != evaluate(*inputs, protocol="cuhk03", seed=1).cmc).any()


def test_metrics_load_neither_torch_nor_faiss():
    code = (
        "import sys, sanreid.metrics; sys.exit('torch' in sys.modules or 'faiss' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_report_reads_well_and_goes_into_json():
    report = evaluate_distances([[0.3, 0.1, 0.2]], [7], [0], [7, 7, 8], [1, 2, 1], max_rank=7)
    assert str(report) == (
        "mAP 83.3%  rank-1 100.0%  rank-5 100.0%  mINP 66.7%  "
        "(market1501, 1 of 1 queries, gallery 3)"
    )
    assert repr(report) == f"<EvaluationReport {report}>"
    assert json.loads(json.dumps(report.as_dict()))["mINP"] == pytest.approx(2 / 3)


def test_interval_holds_the_mean_and_narrows_with_people():
    few, many = (
        evaluate(*scene(4, queries=20 * people, gallery=20 * people, people=people))
        for people in (6, 30)
    )
    widths = []
    for report in (few, many):
        low, high = report.mAP_interval()
        assert low < report.mAP < high
        assert (low, high) == report.mAP_interval()
        widths.append(high - low)
    assert widths[1] < widths[0]
    alone = evaluate_distances([[0.2, 0.1]], [1], [0], [1, 2], [1, 1])
    assert alone.mAP_interval() == (0.5, 0.5)
    with pytest.raises(InputError, match="between 0 and 1"):
        alone.mAP_interval(confidence=95)
    with pytest.raises(InputError, match="at least 1"):
        alone.mAP_interval(num_resamples=0)
    with pytest.raises(InputError, match="seed must be at least 0"):
        alone.mAP_interval(seed=-1)


def test_interval_tells_7_from_its_text():
    pids = np.array([7, "7"], dtype=object)
    report = evaluate_distances([[0.1, 0.2]] * 2, pids, [0, 0], pids, [1, 1])
    assert report.mAP_interval() == (0.5, 1.0)


def test_interval_draws_people_not_queries():
    # Two people: one always found first, the other never; all queries of a person go together.
    distances = np.array([[0.1, 0.2]] * 200)
    report = evaluate_distances(distances, [1, 2] * 100, [0] * 200, [1, 2], [1, 1])
    assert report.mAP == 0.75
    assert report.mAP_interval() == (0.5, 1.0)


def test_a_gain_on_the_same_queries_is_surer_than_either_figure():
    parts = scene(4, queries=120, gallery=120, people=20)
    report = evaluate(*parts)
    noisy = np.asarray(parts[0]) + 0.2 * np.random.default_rng(0).standard_normal(parts[0].shape)
    other = evaluate(noisy, *parts[1:])
    gain, low, high = report.mAP_gain(other)
    assert gain == pytest.approx(report.mAP - other.mAP)
    assert low <= gain <= high
    own = report.mAP_interval()
    assert high - low < (own[1] - own[0]) / 2
    # By hand: people are drawn, each with the gains of all its queries.
    gains = report.average_precision - other.average_precision
    people = [gains[report.query_pids == pid] for pid in np.unique(report.query_pids)]
    rng = np.random.default_rng(1)
    means = [
        np.concatenate([people[n] for n in rng.integers(len(people), size=len(people))]).mean()
        for _ in range(4000)
    ]
    assert [low, high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)
    assert report.mAP_gain(report) == (0.0, 0.0, 0.0)
    with pytest.raises(InputError, match="same queries and the same gallery"):
        report.mAP_gain(evaluate(*scene(5, queries=120, gallery=120, people=20)))
    with pytest.raises(InputError, match="cuhk03"):
        report.mAP_gain(evaluate(*parts, protocol="cuhk03"))
    with pytest.raises(InputError, match="baseline must be an EvaluationReport; got None"):
        report.mAP_gain(None)


def test_a_gain_is_of_galleries_of_one_size():
    asked = [1, 2], [0, 0]
    report = evaluate_distances([[0.1, 0.2]] * 2, *asked, [1, 2], [1, 1])
    larger = evaluate_distances([[0.1, 0.2, 0.3]] * 2, *asked, [1, 2, 3], [1, 1, 1])
    with pytest.raises(InputError, match="in 2 and 3 entries .* that are not the same"):
        report.mAP_gain(larger)


def test_joined_reports_are_one_on_all_queries():
    queries, pids, camids, *gallery = scene(4, queries=60, gallery=80, people=10)
    whole = evaluate(queries, pids, camids, *gallery)
    parts = [
        evaluate(queries[rows], np.asarray(pids)[rows], np.asarray(camids)[rows], *gallery)
        for rows in (slice(0, 17), slice(17, 60))
    ]
    joined = joined_report(parts)
    for name in ("mAP", "mINP", "rank1"):
        assert getattr(joined, name) == pytest.approx(getattr(whole, name))
    assert joined.cmc == pytest.approx(whole.cmc)
    assert joined.num_valid_queries == whole.num_valid_queries
    assert joined.average_precision == pytest.approx(whole.average_precision)
    assert joined.mAP_interval() == pytest.approx(whole.mAP_interval())


ONE = ([[1.0, 0.0]], [1], [0], [[1.0, 0.0]], [1], [1])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, [1.0, 0.0], r"query_embeddings are a matrix .* got shape \(2,\)"),
        (0, [["a", "b"]], "query_embeddings are a matrix .* real numbers"),
        (0, np.zeros((0, 2)), "query_embeddings are empty"),
        (3, np.zeros((0, 2)), "gallery_embeddings are empty"),
        (0, [[1.0, 0.0], [1.0]], "query_embeddings cannot be read as an array"),
        (3, [[1.0, 0.0, 0.0]], "2 dimensions and the gallery 3"),
        (0, [[0.0, 0.0]], "Row 0 of query_embeddings has norm 0.0"),
        (3, [[float("nan"), 0.0]], "Row 0 of gallery_embeddings has norm nan"),
        (3, [[float("inf"), 0.0]], "Row 0 of gallery_embeddings has norm inf"),
        (1, [1, 2], r"query_pids need one value per row, 1 in all; got shape \(2,\)"),
        (4, [[1]], "gallery_pids need one value per row"),
        (5, [], "gallery_camids must have one value per row: 1 rows, 0 values"),
        (1, [None], "query_pids must be int or str; row 0 is None"),
        (4, [1.5], "gallery_pids must be int or str; row 0 is 1.5 of type float"),
        (4, [True], "gallery_pids must be int or str; row 0 is True"),
        (1, [[1], [2, 3]], "query_pids cannot be read as an array"),
        (1, [float("inf")], "query_pids must be int or str; row 0 is inf"),
        (4, [1e30], "gallery_pids must be int or str; row 0 is 1e.30"),
        (
            4,
            np.array([2**64 - 1], np.uint64),
            (
                "must fit in 64 bits, from -9223372036854775808 to 9223372036854775807; "
                "row 0 is 18446744073"
            ),
        ),
        pytest.param(
            1,
            [10**5000],
            "query_pids must fit in 64 bits, from -9223372036854775808 to 9223372036854775807; "
            "row 0 is <int>",
            id="long",
        ),
        (
            2,
            [10**30],
            (
                "query_camids must fit in 64 bits, from -9223372036854775807 to "
                "9223372036854775807; row 0 is 1000"
            ),
        ),
        (
            2,
            ["1"],
            "query_camids must be int or a name; row 0 is '1' of type str. It reads as a n",
        ),
        (5, [float("nan")], "gallery_camids must be int or a name; row 0 is nan of type float.$"),
        (2, [None], "query_camids must be int or a name; row 0 is None"),
        (1, [2], "no query pid occurs in the gallery"),
        (4, [-1], "no query pid occurs in the gallery"),
        (5, [0], r"1 of 1 queries .* \(every camera id is 0\)"),
    ],
)
def test_wrong_input_says_what_is_wrong(place, value, message):
    inputs = [*ONE]
    inputs[place] = value
    with pytest.raises(InputError, match=message):
        evaluate(*inputs)


@pytest.mark.parametrize(
    ("pids", "held"),
    [
        (pd.Series([7, None], dtype="Int64"), "None"),
        (pd.Series(["anna", None]), "None"),
        (np.ma.array([7, 7], mask=[0, 1]), "None"),
        (np.array([7, np.nan]), "nan"),
        (torch.tensor([7.0, np.nan], requires_grad=True), "nan"),
    ],
)
def test_a_missing_label_is_told_by_its_own_row(pids, held):
    with pytest.raises(InputError, match=f"query_pids must be int or str; row 1 is {held}"):
        evaluate_distances(np.ones((2, 1)), pids, [0, 0], [7], [1])


def test_tensors_with_gradients_are_measured():
    rows = torch.eye(2, requires_grad=True)
    assert evaluate(rows, torch.tensor([1, 2]), [0, 0], rows, [1, 2], [1, 1]).mAP == 1.0


def test_the_row_in_the_message_is_the_callers():
    gallery = np.ones((5000, 2))
    gallery[4567] = 0
    with pytest.raises(InputError, match="Row 4567 of gallery_embeddings"):
        evaluate([[1, 0]], [1], [0], gallery, [1] * 5000, [1] * 5000)


def test_matches_under_several_cameras_yet_all_their_own():
    with pytest.raises(
        InputError,
        match="2 of 2 queries .* only under their own camera, .* out. Give",
    ):
        evaluate_distances(np.ones((2, 2)), [1, 2], [0, 1], [1, 2], [0, 1])


def test_numpy_numbers_serve_as_labels_wherever_they_stand():
    query_pids = np.array([np.int64(7)], dtype=object)  # as in a table's column
    camids = np.array([np.uint8(1)] * 2, dtype=object)
    report = evaluate_distances([[1, 2]], query_pids, [0], [np.int64(7), "anna"], camids)
    assert report.mAP == 1.0
    assert evaluate_distances([[1, 2]], [7], [0], np.uint64([7, 8]), np.uint8([1, 1])).mAP == 1.0


@pytest.mark.parametrize(
    "as_column", [list, np.array, pd.Series, lambda names: np.array(names, dtype=object)]
)
def test_cameras_may_have_names(as_column):
    queries, query_pids, query_camids, gallery, pids, camids = scene(3)
    names = [f"gate {'abcdefgh'[camera]}" for camera in range(8)]
    numbered = evaluate(queries, query_pids, query_camids, gallery, pids, camids)
    named = evaluate(
        queries,
        query_pids,
        as_column([names[camera] for camera in query_camids]),
        gallery,
        pids,
        as_column([names[camera] for camera in camids]),
    )
    assert named.as_dict() == numbered.as_dict()
    with pytest.raises(InputError, match=r"\(every camera id is hall\)"):
        evaluate_distances([[1]], [7], ["hall"], [7], as_column(["hall"]))


def test_a_number_and_a_name_are_two_cameras():
    distances = [[1, 2, 3]]
    report = evaluate_distances(distances, [7], ["hall"], [7, 7, 7], ["hall", 4, "yard"])
    assert report.num_matches.tolist() == [2]


def test_the_largest_and_the_smallest_label():
    ends = np.array([-(2**63), 2**63 - 1], dtype=object)
    assert evaluate_distances([[1, 2], [2, 1]], ends, [0, 0], ends, [1, 1]).mAP == 1.0


@pytest.mark.parametrize("protocol", ["market1501", "cuhk03"])
def test_people_may_be_numbered_from_0(protocol):
    queries, query_pids, query_camids, gallery, pids, camids = scene(7, first_pid=1)
    from_1 = evaluate(queries, query_pids, query_camids, gallery, pids, camids, protocol=protocol)
    from_0 = evaluate(
        queries, query_pids - 1, query_camids, gallery, pids - 1, camids, protocol=protocol
    )
    assert (query_pids == 1).any()
    assert from_0.as_dict() == from_1.as_dict()


def test_tensors_that_numpy_cannot_read_are_input_errors():
    with pytest.raises(InputError, match="query_embeddings cannot be read .*Sparse layout"):
        evaluate(torch.ones(1, 2).to_sparse(), *ONE[1:])
    with pytest.raises(InputError, match="distances cannot be read as an array"):
        evaluate_distances(torch.ones(1, 1).to_sparse(), [1], [0], [1], [1])


def test_integral_floats_serve_as_labels():
    assert evaluate([[1, 0]], np.ones(1), np.zeros(1), [[1, 0]], [1], np.ones(1)).mAP == 1.0


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        ([0.1], r"matrix \(Q, G\).* got shape \(1,\)"),
        (np.zeros((0, 3)), "at least one query"),
        ([[0.1, 0.2], [0.3]], "distances cannot be read as an array"),
        ([["a"]], "real numbers"),
        ([[0.1, float("nan")]], "NaN, first for query 0, entry 1"),
    ],
)
def test_wrong_distances(distances, message):
    with pytest.raises(InputError, match=message):
        evaluate_distances(distances, [1], [0], [1, -1], [1, 1])


def test_nan_in_a_later_block_is_named_by_its_place(monkeypatch):
    monkeypatch.setattr(evaluation, "_BLOCK_QUERIES", (4, 4))
    distances = np.zeros((11, 3))
    distances[9, 2] = np.nan
    with pytest.raises(InputError, match="query 9, entry 2"):
        evaluate_distances(distances, [1] * 11, [0] * 11, [1, 2, 3], [1, 1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "market"}, "protocol must be 'market1501' or 'cuhk03'; got 'market'"),
        ({"max_rank": 0}, "max_rank must be at least 1; got 0"),
        ({"max_rank": 5.0}, "max_rank must be an int of at least 1; got 5.0"),
        ({"max_rank": None}, "max_rank must be an int"),
        ({"max_rank": True}, "max_rank must be an int"),
        ({"num_repeats": 0}, "num_repeats must be at least 1"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"seed": None}, "seed must be an int of at least 0; got None"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        evaluate(*ONE, **options)


def test_tensors_of_a_type_that_numpy_lacks():
    rows = torch.eye(3, dtype=torch.bfloat16)
    report = evaluate(rows, [1, 2, 3], [0, 0, 0], rows, [1, 2, 4], [1, 1, 1])
    assert (report.mAP, report.num_valid_queries) == (1.0, 2)
