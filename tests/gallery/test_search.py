from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid.errors import GalleryError, InputError
from sanreid.gallery import Gallery, SearchResult
from sanreid.gallery.index import exact
from tests.gallery.reference import assert_same, brute_force, found, unit

SQUARE = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 1.0]]


@pytest.fixture
def square():
    gallery = Gallery(2)
    gallery.add(SQUARE, pids=[7, 7, "7", None], camids=[1, 2, 1, None])
    return gallery


def test_cosines_one_can_see(square):
    result = square.search([[2.0, 0.0]], k=4)
    assert result.ids.tolist() == [[0, 3, 1, 2]]
    np.testing.assert_allclose(result.similarities, [[1, np.sqrt(0.5), 0, -1]], atol=1e-7)
    assert result.pids.tolist() == [[7, None, 7, "7"]]
    assert result.camids.tolist() == [[1, None, 2, 1]]
    assert result.counts.tolist() == [4]


def test_types_and_fills(square):
    result = square.search([[1.0, 0.0], [0.0, 1.0]], k=6)
    assert result.ids.dtype == np.int64
    assert result.similarities.dtype == np.float32
    assert result.pids.dtype == result.camids.dtype == object
    assert result.ids.shape == result.similarities.shape == result.pids.shape == (2, 6)
    assert (result.ids[:, 4:] == -1).all()
    assert np.isnan(result.similarities[:, 4:]).all()
    assert (result.pids[:, 4:] == None).all()  # noqa: E711 - elementwise
    assert (result.camids[:, 4:] == None).all()  # noqa: E711 - elementwise
    assert [len(hits) for hits in result] == [4, 4]


def test_an_empty_gallery_gives_empty_rows():
    result = Gallery(3).search(np.ones((2, 3)), k=2)
    assert result.counts.tolist() == [0, 0]
    assert result.ids.tolist() == [[-1, -1], [-1, -1]]
    assert list(result) == [[], []]


def test_no_queries_give_no_rows(square):
    for nothing in ([], np.empty((0, 2))):
        assert square.search(nothing, k=3).ids.shape == (0, 3)


def test_one_vector_is_one_query(square):
    assert found(square.search(np.array([1.0, 0.0]), k=1)) == [[(0, 1.0)]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_queries_of_any_number_type(square, dtype):
    queries = np.array([[3, 0]], dtype=dtype)
    assert square.search(queries, k=1).ids.tolist() == [[0]]
    assert queries.tolist() == [[3, 0]]  # the caller's array is left as it was


def test_rows_too_large_or_small_for_plain_squares():
    gallery = Gallery(2)
    gallery.add(np.array([[1e300, 0], [1e-300, 1e-300]]))
    np.testing.assert_allclose(
        [entry.embedding for entry in gallery.get([0, 1])], unit([[1, 0], [1, 1]])
    )


def test_ties_fall_to_the_smaller_id_whatever_the_order_of_adding():
    gallery = Gallery(3)
    gallery.add(np.ones((6, 3)), ids=[50, 3, 40, 9, 2, 30])
    assert gallery.search(np.ones((1, 3)), k=4).ids.tolist() == [[2, 3, 9, 30]]


def test_ties_at_the_border_of_k_among_many_copies():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((3, 33))
    which = rng.integers(0, 3, 5000)
    ids = rng.permutation(5000)
    gallery = Gallery(33)
    gallery.add(base[which], ids=ids)
    result = gallery.search(base, k=7)
    for query in range(3):
        assert result.ids[query].tolist() == sorted(ids[which == query])[:7]
        assert len(set(result.similarities[query].tolist())) == 1


def test_result_does_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    gallery = Gallery(24)
    gallery.add(rng.standard_normal((3000, 24)))
    queries = rng.standard_normal((9, 24))
    whole = gallery.search(queries, k=12)
    monkeypatch.setattr(exact, "_BLOCK", 7)
    monkeypatch.setattr(exact, "_FIRST_BLOCK", 5)
    monkeypatch.setattr(exact, "_QUERIES", 4)
    monkeypatch.setattr(exact, "_RESCORE", 3)
    pieces = gallery.search(queries, k=12)
    np.testing.assert_array_equal(whole.ids, pieces.ids)
    np.testing.assert_array_equal(whole.similarities, pieces.similarities)


def test_result_does_not_depend_on_the_rounding_of_products(monkeypatch):
    rng = np.random.default_rng(3)
    near = rng.standard_normal(256) + 3e-5 * rng.standard_normal((400, 256))
    gallery = Gallery(256)
    gallery.add(np.concatenate([near, rng.standard_normal((2000, 256))]))
    plain = gallery.search(near[:5], k=9)

    def noisy(block, queries_t, out):
        np.matmul(block, queries_t, out=out)
        out += rng.uniform(-1, 1, out.shape) * 256 * 2.0**-24  # as wrong as a product may be

    monkeypatch.setattr(exact, "_product", noisy)
    for _ in range(3):
        again = gallery.search(near[:5], k=9)
        np.testing.assert_array_equal(again.ids, plain.ids)
        np.testing.assert_array_equal(again.similarities, plain.similarities)


def test_rising_similarities_do_not_pile_up_candidates():
    # Each row is nearer than all before it: the worst order for a running threshold.
    angles = np.linspace(3.0, 0.001, 60_000)
    gallery = Gallery(2)
    gallery.add(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    result = gallery.search([[1.0, 0.0]] * 40, k=3)
    assert (result.ids == [59_999, 59_998, 59_997]).all()


def test_min_similarity_takes_in_its_own_value(square):
    near = square.search([[1.0, 0.0]], k=4, min_similarity=np.float32(np.sqrt(0.5)) - 1e-6)
    assert near.ids.tolist() == [[0, 3, -1, -1]]
    assert square.search([[1.0, 0.0]], k=4, min_similarity=0.0).counts.tolist() == [3]
    assert square.search([[1.0, 0.0]], k=4, min_similarity=-5).counts.tolist() == [4]
    assert square.search([[1.0, 0.0]], k=4, min_similarity=1.5).counts.tolist() == [0]
    assert square.search([[1.0, 0.0]], k=4, min_similarity=1e300).counts.tolist() == [0]
    assert square.search([[1.0, 0.0]], k=4, min_similarity=-1e300).counts.tolist() == [4]


def test_market_rule_leaves_out_same_person_under_same_camera(square):
    result = square.search(
        [[1.0, 0.0]] * 5, k=4, query_pids=[7, 7, "7", None, 8], query_camids=[1, 2, 1, 1, None]
    )
    assert result.ids.tolist() == [
        [3, 1, 2, -1],
        [0, 3, 2, -1],
        [0, 3, 1, -1],
        [0, 3, 1, 2],
        [0, 3, 1, 2],
    ]


def test_camera_alone_leaves_out_its_entries(square):
    result = square.search([[1.0, 0.0]] * 3, k=4, query_camids=[1, 2, None])
    assert result.ids.tolist() == [[3, 1, -1, -1], [0, 3, 2, -1], [0, 3, 1, 2]]


def test_a_rule_that_bars_thousands_still_fills_k():
    rng = np.random.default_rng(2)
    query = rng.standard_normal(8)
    gallery = Gallery(8)
    gallery.add(query + 0.01 * rng.standard_normal((4000, 8)), pids=[1] * 4000, camids=[1] * 4000)
    gallery.add(rng.standard_normal((5, 8)), pids=[1] * 5, camids=[2] * 5)
    result = gallery.search(query, k=5, query_pids=[1], query_camids=[1])
    assert sorted(result.ids[0].tolist()) == [4000, 4001, 4002, 4003, 4004]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": [[1.0, 0.0, 0.0]]}, "queries have 3 dimensions, this gallery has 2"),
        ({"queries": [[1.0, 0.0], [0.0, 0.0]]}, "Row 1 of queries is all zeros"),
        ({"queries": [[1.0, np.nan]]}, "Row 0 of queries holds NaN or infinity"),
        ({"queries": [[1.0, np.inf]]}, "Row 0 of queries holds NaN or infinity"),
        ({"queries": [["a", "b"]]}, "queries must be numbers"),
        ({"queries": [[True, False]]}, "queries must be numbers.*bool"),
        ({"queries": [[1.0], [1.0, 2.0]]}, "queries cannot be read"),
        ({"queries": np.ones((1, 1, 2))}, r"queries must have shape \(N, 2\); got \(1, 1, 2\)"),
        ({"queries": np.float32(1)}, r"queries must have shape \(N, 2\); got \(\)"),
        ({"k": 0}, "k must be at least 1; got 0"),
        ({"k": True}, "k must be an int of at least 1; got True"),
        ({"k": 2.0}, "k must be an int"),
        ({"k": 2**63 - 1}, "larger result than fits in memory; the gallery has 4 entries: k=4"),
        ({"queries": np.empty((0, 2)), "k": 2**62}, "k=.* for 0 queries is a larger result"),
        ({"query_pids": [1]}, "query_pids need query_camids"),
        ({"query_pids": [1, 2], "query_camids": [1]}, "query_pids must have one value per row"),
        ({"query_camids": [1, 2]}, "query_camids must have one value per row: 1 rows, 2 values"),
        (
            {"query_camids": ["1"]},
            "query_camids must be int, a name or None; row 0 is '1'",
        ),
        ({"min_similarity": float("nan")}, "min_similarity must be a finite number"),
        ({"min_similarity": 10**400}, "min_similarity must be a finite number"),
        ({"min_similarity": "0.5"}, "min_similarity must be a finite number"),
        ({"min_similarity": True}, "min_similarity must be a finite number"),
        ({"where": 3}, "where must be a dict"),
        ({"encoder_fingerprint": 3}, "encoder_fingerprint must be a non-empty str"),
    ],
)
def test_bad_searches_say_what_is_wrong(square, arguments, message):
    with pytest.raises(InputError, match=message):
        square.search(**{"queries": [[1.0, 0.0]], **arguments})


def test_another_encoder_is_refused_by_name():
    gallery = Gallery(2, encoder_fingerprint="a" * 64)
    with pytest.raises(GalleryError, match="encoder aaaaaaaaaaaa; these come from bbbbbbbbbbbb"):
        gallery.search([[1.0, 0.0]], encoder_fingerprint="b" * 64)
    gallery.search([[1.0, 0.0]], encoder_fingerprint="a" * 64)
    gallery.search([[1.0, 0.0]])


PIDS = st.sampled_from([None, 1, 2, "1", "b"])
CAMIDS = st.sampled_from([None, 0, 1, 2])


@st.composite
def histories(draw):
    """A gallery lived through adds, updates and removals, and what should be in it."""
    dim = draw(st.integers(1, 4))
    small = st.integers(-2, 2).map(float)
    vectors = st.lists(small, min_size=dim, max_size=dim).filter(any)
    gallery, entries = Gallery(dim), {}
    for _ in range(draw(st.integers(1, 3))):
        for vector in draw(st.lists(vectors, max_size=12)):
            pid, camid, meta = draw(PIDS), draw(CAMIDS), draw(st.sampled_from([{}, {"a": 1}]))
            (number,) = gallery.add([vector], pids=[pid], camids=[camid], metadata=[meta])
            entries[int(number)] = {
                "id": int(number), "embedding": vector, "pid": pid, "camid": camid, "meta": meta,
            }  # fmt: skip
        for number in draw(st.lists(st.sampled_from(sorted(entries)), unique=True)
                           if entries else st.just([])):  # fmt: skip
            if draw(st.booleans()):
                gallery.remove([number])
                del entries[number]
            else:
                vector = draw(vectors)
                gallery.update([number], [vector])
                entries[number]["embedding"] = vector
    if draw(st.booleans()):
        gallery.compact()
    queries = draw(st.lists(vectors, min_size=1, max_size=4))
    return gallery, list(entries.values()), queries


@settings(max_examples=120, deadline=None)
@given(histories(), st.integers(1, 8), st.data())
def test_search_equals_brute_force(history, k, data):
    gallery, entries, queries = history
    wheres = {
        "all": (None, lambda entry: True),
        "camera": ({"camid": {"$in": [0, 1]}}, lambda entry: entry["camid"] in (0, 1)),
        "person": ({"pid": "1"}, lambda entry: entry["pid"] == "1"),
        "not": ({"pid": {"$ne": 1}}, lambda entry: entry["pid"] != 1),
        "metadata": ({"a": 1, "id": {"$gt": 3}}, lambda e: e["meta"] and e["id"] > 3),
    }
    where, matches = wheres[data.draw(st.sampled_from(sorted(wheres)))]
    rule = data.draw(st.sampled_from(["none", "camera", "market"]))
    pids = data.draw(st.lists(PIDS, min_size=len(queries), max_size=len(queries)))
    camids = data.draw(st.lists(CAMIDS, min_size=len(queries), max_size=len(queries)))
    least = data.draw(st.sampled_from([None, 0.5]))

    def admits(entry, query):
        same_camera = camids[query] is not None and entry["camid"] == camids[query]
        same_pid = pids[query] is not None and entry["pid"] == pids[query]
        barred = {"none": False, "camera": same_camera, "market": same_camera and same_pid}
        return bool(matches(entry)) and not barred[rule]

    result = gallery.search(
        queries,
        k,
        where=where,
        query_pids=pids if rule == "market" else None,
        query_camids=None if rule == "none" else camids,
        min_similarity=least,
    )
    assert isinstance(result, SearchResult)
    assert len(gallery) == len(entries)
    expected = brute_force(queries, entries, k, admits=admits, least=-2 if least is None else 0.5)
    assert_same(result, expected)
