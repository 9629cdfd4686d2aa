"""Travel time between cameras: against its definition, pair by pair, for every way to search."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.gallery import Gallery
from tests.gallery.reference import assert_same, brute_force

GAPS = [
    ({"min_gap_s": 20.0}, lambda a, b: (20.0, np.inf)),
    ({"max_gap_s": 45}, lambda a, b: (0.0, 45.0)),
    ({"min_gap_s": 10, "max_gap_s": 60}, lambda a, b: (10.0, 60.0)),
    (
        {"min_gap_s": {(2, 1): 30, (3, 3): 5}, "max_gap_s": {(1, 2): 50, (1, 3): 0}},
        lambda a, b: {
            (1, 2): (30.0, 50.0), (1, 3): (0.0, 0.0), (3, 3): (5.0, np.inf)
        }.get((min(a, b), max(a, b)), (0.0, np.inf)),
    ),
    (
        {"min_gap_s": 15, "max_gap_s": {(1, 2): 40}},
        lambda a, b: (15.0, 40.0 if {a, b} == {1, 2} else np.inf),
    ),
]  # fmt: skip


def possible(entry, query, gaps, *, own=False):
    """The rule in words: both times and cameras known, and the gap is one of the pair's."""
    a, b = query["camid"], entry["camid"]
    if a is None or b is None or query["timestamp"] is None or entry["timestamp"] is None:
        return True
    if a == b and not own:
        return True
    least, most = gaps(a, b)
    return least <= abs(entry["timestamp"] - query["timestamp"]) <= most


def column(rng, values, count):
    return [values[index] for index in rng.integers(0, len(values), count)]


def sightings(seed, count, dim=6):
    rng = np.random.default_rng(seed)
    times = [None if rng.random() < 0.1 else float(rng.integers(0, 100)) for _ in range(count)]
    return rng.standard_normal((count, dim)), column(rng, [1, 2, 3, 9, None], count), times


@pytest.mark.parametrize(("options", "gaps"), GAPS)
@pytest.mark.parametrize("same_camera", ["keep", "exclude"])
def test_search_equals_its_definition(options, gaps, same_camera):
    rows, camids, times = sightings(0, 90)
    queries, query_camids, query_times = sightings(1, 12)
    gallery = Gallery(6)
    gallery.add(rows, camids=camids, timestamps=times)
    gallery.remove([3, 7])
    entries = [
        {"id": n, "embedding": row, "camid": camid, "timestamp": time}
        for n, (row, camid, time) in enumerate(zip(rows, camids, times, strict=True))
        if n not in (3, 7)
    ]
    asked = [{"camid": c, "timestamp": t} for c, t in zip(query_camids, query_times, strict=True)]
    own = any((3, 3) in gap for gap in options.values() if isinstance(gap, dict))

    def admits(entry, query):
        one = asked[query]
        own_camera = one["camid"] is not None and one["camid"] == entry["camid"]
        if same_camera == "exclude" and own_camera:
            return False
        return possible(entry, one, gaps, own=own)

    result = gallery.search(
        queries, 12, query_camids=query_camids, query_timestamps=query_times,
        same_camera=same_camera, **options,
    )  # fmt: skip
    assert_same(result, brute_force(queries, entries, 12, admits=admits))
    without = gallery.search(queries, 12, query_camids=query_camids, same_camera=same_camera)
    assert (result.ids != without.ids).any()


def test_a_journey_one_can_follow():
    gallery = Gallery(2)
    gallery.add(
        [[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4]],
        camids=[2, 2, 2, 1],
        timestamps=[101.0, 130.0, 900.0, 102.0],
    )
    query = {"query_camids": [1], "query_timestamps": [100.0], "same_camera": "keep"}

    def found(**gaps):
        return gallery.search([[1.0, 0.0]], **query, **gaps)[0]

    assert [hit.id for hit in found(min_gap_s=30)] == [1, 2, 3]  # 30 s itself is possible
    assert [hit.id for hit in found(min_gap_s=30, max_gap_s=600)] == [1, 3]
    assert [hit.id for hit in found(max_gap_s={(2, 1): 5})] == [0, 3]
    assert [hit.id for hit in found(min_gap_s={(1, 1): 60})] == [0, 1, 2]
    query["query_timestamps"] = [None]
    assert len(found(min_gap_s=30)) == 4


def test_identify_keeps_the_rule_of_each_query():
    rows, camids, times = sightings(5, 150)
    gallery = Gallery(6)
    pids = [0 if n < 120 else 1 + n % 4 for n in range(150)]  # one person fills a first search
    gallery.add(rows, pids=pids, camids=camids, timestamps=times)
    queries, query_camids, query_times = sightings(6, 8)
    rule = {
        "query_camids": query_camids, "query_timestamps": query_times, "same_camera": "keep",
        "min_gap_s": 10, "max_gap_s": {(1, 2): 40, (3, 2): 25},
    }  # fmt: skip
    found = gallery.identify(queries, threshold=-1, **rule)
    free = gallery.identify(queries, threshold=-1)
    assert [one.entry_ids for one in found] != [one.entry_ids for one in free]
    for one, hits in zip(found, gallery.search(queries, 150, **rule), strict=True):
        assert one.entry_ids == (hits[0].id,)
        other = next(hit for hit in hits if hit.pid != hits[0].pid)
        assert one.margin == pytest.approx(hits[0].similarity - other.similarity, abs=1e-6)


def test_the_rule_joins_the_others():
    rows, camids, times = sightings(2, 120)
    gallery = Gallery(6)
    gallery.add(rows, pids=[n % 10 for n in range(120)], camids=camids, timestamps=times)
    plain = gallery.search(rows[:5], 120, query_camids=[1] * 5, query_pids=[0] * 5,
                           where={"pid": {"$lt": 5}}, min_similarity=0)  # fmt: skip
    ruled = gallery.search(rows[:5], 120, query_camids=[1] * 5, query_pids=[0] * 5,
                           where={"pid": {"$lt": 5}}, min_similarity=0,
                           query_timestamps=[50.0] * 5, min_gap_s=30)  # fmt: skip
    for query in range(5):
        kept = [
            hit.id for hit in plain[query]
            if hit.timestamp is None or hit.camid in (None, 1) or abs(hit.timestamp - 50) >= 30
        ]  # fmt: skip
        assert [hit.id for hit in ruled[query]] == kept
    assert ruled.counts.sum() < plain.counts.sum()


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_approximate_index_keeps_the_rule(kind, small_indexes):
    rows, camids, times = sightings(3, 600)
    gallery, exact = Gallery(6, index=kind), Gallery(6)
    for one in (gallery, exact):
        one.add(rows, camids=camids, timestamps=times)
    rule = {"query_camids": [1] * 9, "query_timestamps": [40.0] * 9, "max_gap_s": 20}
    found = gallery.search(rows[:9], 5, **rule)
    assert gallery.stats()["exact"] is False
    hits = [hit for query in range(9) for hit in found[query]]
    assert len(hits) == 45
    for hit in hits:
        unknown = hit.timestamp is None or hit.camid is None
        assert unknown or abs(hit.timestamp - 40) <= 20
    assert (found.ids == exact.search(rows[:9], 5, **rule).ids).mean() > 0.6


def test_expansion_reranking_and_disk_keep_the_rule(tmp_path):
    rows, camids, times = sightings(4, 80)
    with Gallery.open(tmp_path / "g", dim=6) as gallery:
        gallery.add(rows, camids=camids, timestamps=times)
        for options in ({}, {"rerank": True}, {"expand": 3}):
            found = gallery.search(
                rows[:4], 80, query_camids=[2] * 4, query_timestamps=[10.0] * 4,
                min_gap_s={(1, 2): 50}, same_camera="keep", **options,
            )  # fmt: skip
            here = [hit for query in range(4) for hit in found[query] if hit.camid == 1]
            assert here
            assert all(hit.timestamp is None or hit.timestamp >= 60 for hit in here)


def test_times_of_any_kind():
    gallery = Gallery(2)
    noon = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
    gallery.add(np.eye(2), camids=[1, 2], timestamps=[noon, noon])
    query = np.datetime64("2026-05-01T12:00:10")
    found = gallery.search(np.eye(2)[:1], query_camids=[3], query_timestamps=[query],
                           min_gap_s={(np.int64(3), 1.0): np.float32(20)})  # fmt: skip
    assert [hit.id for hit in found[0]] == [1]


def test_cameras_with_names():
    gallery = Gallery(2)
    gallery.add(np.eye(2), camids=["gate", "hall"], timestamps=[5.0, 5.0])
    found = gallery.search([[1.0, 1.0]], query_camids=["yard"], query_timestamps=[0.0],
                           min_gap_s={("hall", "yard"): 9})  # fmt: skip
    assert [hit.camid for hit in found[0]] == ["gate"]


GIVEN = {"query_camids": [1], "query_timestamps": [0.0]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_gap_s": 5}, "give query_timestamps and query_camids too"),
        ({"min_gap_s": 5, "query_timestamps": [0.0]}, "give query_timestamps and query_camids"),
        (GIVEN, "query_timestamps need min_gap_s or max_gap_s"),
        (GIVEN | {"max_gap_s": -1}, "max_gap_s must be at least 0 seconds; got -1"),
        (GIVEN | {"max_gap_s": "5"}, "max_gap_s must be a finite number; got '5'"),
        (GIVEN | {"min_gap_s": {(1, 2): None}}, r"min_gap_s\[1, 2\] must be a finite number"),
        (GIVEN | {"min_gap_s": {1: 5}}, r"pairs of camids, such as \(1, 2\), to seconds; .* 1\."),
        (GIVEN | {"min_gap_s": {(1, 2, 3): 5}}, "maps pairs of camids"),
        (GIVEN | {"min_gap_s": {"12": 5}}, "maps pairs of camids"),
        (GIVEN | {"min_gap_s": {(1, "2"): 5}}, "maps pairs of camids"),
        (GIVEN | {"min_gap_s": {(1, 2): 5, (2, 1): 6}}, "two values for the cameras 2 and 1"),
        (GIVEN | {"min_gap_s": 9, "max_gap_s": {(1, 2): 5}},
         "min_gap_s is 9 and max_gap_s 5 between the same two cameras"),
        (GIVEN | {"min_gap_s": 9, "max_gap_s": 5}, "min_gap_s is 9 and max_gap_s 5 between"),
        (GIVEN | {"min_gap_s": {(1, None): 5}}, "maps pairs of camids"),
        (GIVEN | {"min_gap_s": 9, "query_timestamps": [0.0, 1.0]},
         "query_timestamps must have one value per row: 1 rows, 2 values"),
        (GIVEN | {"min_gap_s": 9, "query_timestamps": [float("nan")]},
         "query_timestamps must be finite"),
    ],
)  # fmt: skip
def test_wrong_gaps(options, message):
    gallery = Gallery(2)
    gallery.add(np.eye(2), camids=[1, 2], timestamps=[0.0, 1.0])
    with pytest.raises(InputError, match=message):
        gallery.search([[1.0, 0.0]], **options)
