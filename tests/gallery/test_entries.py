from __future__ import annotations

import enum

import numpy as np
import pytest

from sanreid.errors import GalleryError, InputError, UnknownIdError
from sanreid.gallery import Gallery

EYE = np.eye(4)


@pytest.fixture
def gallery():
    gallery = Gallery(4)
    gallery.add(
        EYE[:3],
        pids=[7, "anna", None],
        camids=[1, None, 2],
        timestamps=[0.5, None, 3],
        metadata=[{"path": "a.jpg", "n": [1, {"x": None}]}, None, {}],
    )
    return gallery


def test_what_was_added_is_what_is_got(gallery):
    first, second, third = gallery.get([0, 1, 2])
    assert (first.id, first.pid, first.camid, first.timestamp) == (0, 7, 1, 0.5)
    assert first.metadata == {"path": "a.jpg", "n": [1, {"x": None}]}
    assert (second.pid, second.camid, second.timestamp, second.metadata) == (
        "anna",
        None,
        None,
        {},
    )
    assert (third.pid, third.camid, third.timestamp) == (None, 2, 3.0)
    np.testing.assert_array_equal(second.embedding, EYE[1].astype(np.float32))


def test_get_keeps_the_order_asked_for(gallery):
    assert [entry.id for entry in gallery.get([2, 0, 2])] == [2, 0, 2]
    assert [entry.id for entry in gallery.get(1)] == [1]
    assert gallery.get([]) == []


def test_entries_are_copies(gallery):
    gallery.get([0])[0].embedding[:] = 0
    gallery.get([0])[0].metadata["path"] = "changed"
    entry = gallery.get([0])[0]
    assert entry.embedding[0] == 1
    assert entry.metadata["path"] == "a.jpg"


def test_metadata_is_copied_in():
    gallery, own = Gallery(2), {"tags": ["a"]}
    gallery.add([[1, 0]], metadata=[own])
    own["tags"].append("b")
    assert gallery.get([0])[0].metadata == {"tags": ["a"]}


def test_rows_are_normalised_on_the_way_in(gallery):
    (number,) = gallery.add([[3.0, 0, 4.0, 0]])
    np.testing.assert_allclose(gallery.get(number)[0].embedding, [0.6, 0, 0.8, 0])


def test_len_in_and_ids(gallery):
    assert len(gallery) == 3
    assert 2 in gallery
    assert np.int64(2) in gallery
    assert 3 not in gallery
    assert "2" not in gallery
    assert True not in gallery
    assert gallery.ids.tolist() == [0, 1, 2]
    assert gallery.ids.dtype == np.int64


def test_ids_rise_and_are_never_given_again(gallery):
    gallery.remove([2])
    assert gallery.add(EYE[:2]).tolist() == [3, 4]
    assert gallery.add(EYE[:1], ids=[100]).tolist() == [100]
    assert gallery.add(EYE[:1]).tolist() == [101]
    gallery.remove([101])
    gallery.compact()
    assert gallery.add(EYE[:1]).tolist() == [102]


def test_a_removed_id_may_be_given_by_the_caller(gallery):
    gallery.remove([1])
    gallery.add(EYE[3:], ids=[1], pids=["new"])
    assert gallery.get([1])[0].pid == "new"
    assert len(gallery) == 3


def test_ids_of_numpy_and_of_any_order(gallery):
    given = np.array([9, 5], dtype=np.int32)
    assert gallery.add(EYE[:2], ids=given).tolist() == [9, 5]
    assert gallery.ids.tolist() == [0, 1, 2, 5, 9]


def test_nothing_added_gives_no_ids(gallery):
    assert gallery.add(np.empty((0, 4))).tolist() == []
    assert gallery.add([], pids=[], ids=[]).tolist() == []
    assert len(gallery) == 3


def test_one_vector_is_one_entry(gallery):
    assert gallery.add(EYE[0], pids=[1]).tolist() == [3]


def test_pids_of_numpy_become_plain(gallery):
    ids = gallery.add(EYE[:2], pids=np.array([3, 4]), camids=np.array([5, 6], dtype=np.int16))
    assert [type(entry.pid) for entry in gallery.get(ids)] == [int, int]
    assert [entry.camid for entry in gallery.get(ids)] == [5, 6]
    (number,) = gallery.add(EYE[:1], pids=[np.str_("x")], timestamps=[np.float32(0.5)])
    entry = gallery.get(number)[0]
    assert type(entry.pid) is str
    assert entry.timestamp == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": np.ones((2, 3))}, "embeddings have 3 dimensions, this gallery has 4"),
        ({"embeddings": [EYE[0], EYE[0] * 0]}, "Row 1 of embeddings is all zeros"),
        ({"embeddings": [EYE[0], EYE[0] * np.nan]}, "Row 1 of embeddings holds NaN"),
        ({"embeddings": np.ones((2, 4), dtype=complex)}, "embeddings must be numbers.*complex"),
        ({"pids": [1]}, "pids must have one value per row: 2 rows, 1 values"),
        ({"pids": [1, True]}, "pids must be int, str or None; row 1 is True of type bool"),
        ({"pids": np.array([True, False])}, "row 0 is True of type bool"),
        ({"pids": [1, 2.0]}, "row 1 is 2.0 of type float"),
        (
            {"pids": [1, 2**63]},
            (
                "pids must fit in 64 bits, from -9223372036854775808 to 9223372036854775807; "
                "row 1 is 9223372036854775808"
            ),
        ),
        pytest.param(
            {"pids": [1, 10**5000]},
            "fit in 64 bits, from -9223372036854775808 to 9223372036854775807; row 1 is <int>",
            id="a long pid",
        ),
        ({"pids": "ab"}, "pids must be a sequence with one value per row; got 'ab' of type str"),
        ({"pids": 7}, "pids must be a sequence with one value per row; got 7 of type int"),
        (
            {"pids": np.ones((2, 2), dtype=int)},
            r"pids must have one dimension; got shape \(2, 2\)",
        ),
        (
            {"camids": [1, "2"]},
            "camids must be int, a name or None; row 1 is '2' of type str",
        ),
        ({"camids": [1, False]}, "camids must be int, a name or None; row 1 is False"),
        (
            {"camids": [1, -(2**63)]},
            "camids must fit in 64 bits, from -9223372036854775807 to 9223372036854775807; row 1",
        ),
        (
            {"camids": np.array([1, -(2**63)])},
            "camids must fit in 64 bits, from -9223372036854775807 to 9223372036854775807; row 1",
        ),
        ({"timestamps": [1, float("nan")]}, "timestamps must be finite seconds.*row 1 is nan"),
        ({"timestamps": [float("inf"), 1]}, "timestamps must be finite seconds.*row 0 is inf"),
        ({"timestamps": [10**400, 1]}, "timestamps must be finite seconds.*row 0 is 1000"),
        ({"timestamps": ["now", 1]}, "row 0 is 'now' of type str"),
        ({"timestamps": [True, 1]}, "row 0 is True of type bool"),
        ({"metadata": [{}, "x"]}, "metadata must be a dict or None; row 1 is 'x'"),
        ({"metadata": [{}, np.zeros(2)]}, r"row 1 is ndarray of shape \(2,\)\.$"),
        ({"metadata": {"a": 1}}, "metadata must be one dict per row"),
        ({"metadata": [{}, {"a": {1}}]}, "metadata of row 1 cannot be kept as JSON"),
        (
            {"metadata": [{}, {"a": {"b": [1, float("nan")]}}]},
            "metadata of row 1 cannot be kept as JSON: 'b' is nan. Pass None",
        ),
        ({"metadata": [{}, {"a": {3: 1}}]}, "metadata keys must be str; row 1 has the key 3"),
        ({"metadata": [{}, {"a": [{None: 1}]}]}, "metadata keys must be str; row 1"),
        ({"metadata": [{}, {"a": "\ud800"}]}, "metadata of row 1 cannot be kept as JSON"),
        ({"ids": [5, 5]}, "ids must differ; 5 is given more than once"),
        ({"ids": [5, 0]}, "The id 0 is in the gallery already"),
        ({"ids": [5, -1]}, "ids must be at least 0; row 1 is -1"),
        ({"ids": [5]}, "ids must have one value per row: 2 rows, 1 values"),
        ({"ids": [5, "6"]}, "ids must be ints; row 1 is '6' of type str"),
        ({"ids": [5, True]}, "ids must be ints; row 1 is True of type bool"),
        ({"ids": [5, 2**63]}, "ids must fit in 64 bits"),
        ({"ids": {5: 6}}, "ids must be a sequence"),
        ({"ids": np.ma.array([5, 6], mask=[0, 1])}, "ids must be ints; row 1 is None"),
    ],
)
def test_bad_rows_say_what_is_wrong_and_change_nothing(gallery, arguments, message):
    with pytest.raises(InputError, match=message):
        gallery.add(**{"embeddings": EYE[:2], **arguments})
    assert gallery.ids.tolist() == [0, 1, 2]
    assert gallery.add(EYE[:1]).tolist() == [3]


def test_ids_run_out_at_the_last_one():
    gallery = Gallery(2)
    gallery.add([[1, 0]], ids=[2**63 - 1])
    with pytest.raises(InputError, match="No 1 ids are left"):
        gallery.add([[1, 0]])
    gallery.add([[1, 0]], ids=[5])


@pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="long double is double here"
)
def test_numbers_beyond_float64_are_refused():
    with pytest.raises(InputError, match="Row 0 of embeddings holds NaN or infinity"):
        Gallery(2).add(np.full((1, 2), np.finfo(np.longdouble).max))


class Name(str, enum.Enum):  # noqa: UP042 - the kind whose str() is not its value
    ANNA = "anna"


class Number(enum.IntEnum):
    SEVEN = 7


def test_members_of_enums_are_the_values_they_stand_for(gallery):
    ids = gallery.add(EYE[:2], pids=[Name.ANNA, Number.SEVEN])
    assert [entry.pid for entry in gallery.get(ids)] == ["anna", 7]
    assert [type(entry.pid) for entry in gallery.get(ids)] == [str, int]
    assert gallery.find({"pid": Name.ANNA}).tolist() == [1, 3]
    assert gallery.find({"pid": {"$in": [Number.SEVEN]}}).tolist() == [0, 4]
    assert gallery.find({"pid": {"$gte": Name.ANNA}}).tolist() == [1, 3]


@pytest.mark.parametrize(("depth", "fits"), [(100, True), (101, False)])
def test_metadata_is_nested_no_deeper_than_any_reader_can_parse(depth, fits):
    deep: object = 1
    for _ in range(depth):
        deep = {"a": deep}
    gallery = Gallery(2)
    if fits:
        gallery.add([[1, 0]], metadata=[deep])
        assert gallery.get(0)[0].metadata == deep
    else:
        with pytest.raises(InputError, match="row 0 cannot be kept: it is nested more than 100"):
            gallery.add([[1, 0]], metadata=[deep])


def test_metadata_nested_without_end_is_refused():
    deep: dict = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InputError, match="metadata of row 0 cannot be kept"):
        Gallery(2).add([[1, 0]], metadata=[deep])


def test_remove_by_ids_and_by_condition(gallery):
    assert gallery.remove([0, 0]) == 1
    assert gallery.remove(where={"pid": "anna"}) == 1
    assert gallery.remove(where={"pid": "anna"}) == 0
    assert gallery.remove(2) == 1
    assert len(gallery) == 0
    assert gallery.search(EYE[:1], k=1).counts.tolist() == [0]


def test_removed_entries_are_not_found(gallery):
    gallery.remove([0])
    assert 0 not in gallery
    assert gallery.search(EYE[:1], k=3).ids.tolist() == [[1, 2, -1]]
    assert gallery.find({}).tolist() == [1, 2]
    with pytest.raises(UnknownIdError, match="no entry 0"):
        gallery.get([0])


@pytest.mark.parametrize("call", ["get", "remove", "update"])
def test_an_unknown_id_is_a_key_error_and_changes_nothing(gallery, call):
    with pytest.raises(KeyError, match=r"no entry 9, 8 \(2 of 3 ids are unknown\)"):
        getattr(gallery, call)([0, 9, 8], **({"pids": [1, 2, 3]} if call == "update" else {}))
    with pytest.raises(KeyError, match="no entry -1"):  # an empty place of a search result
        getattr(gallery, call)([-1], **({"pids": [1]} if call == "update" else {}))
    assert len(gallery) == 3
    assert gallery.get(0)[0].pid == 7


def test_remove_wants_one_of_ids_and_where(gallery):
    with pytest.raises(InputError, match="either ids or where"):
        gallery.remove()
    with pytest.raises(InputError, match="either ids or where"):
        gallery.remove([0], where={"pid": 7})
    nothing_compared = (
        {}, {"$and": [{}]}, {"$or": [{"pid": 7}, {}]}, {"$not": {"$not": {}}},
        {"$and": [{}, {"$not": {"$or": [{"$not": {}}]}}]},
    )  # fmt: skip
    for empty in nothing_compared:
        with pytest.raises(InputError, match="An empty where matches every entry"):
            gallery.remove(where=empty)
    assert len(gallery) == 3


def test_update_changes_what_is_given_and_nothing_else(gallery):
    gallery.update([0], pids=["bert"])
    entry = gallery.get(0)[0]
    assert (entry.pid, entry.camid, entry.timestamp) == ("bert", 1, 0.5)
    assert entry.metadata["path"] == "a.jpg"
    gallery.update(
        [0, 1], EYE[[3, 2]], camids=[None, 5], timestamps=[None, 1], metadata=[None, {"z": 1}]
    )
    first, second = gallery.get([0, 1])
    assert (first.pid, first.camid, first.timestamp, first.metadata) == ("bert", None, None, {})
    assert (second.pid, second.camid, second.timestamp, second.metadata) == (
        "anna",
        5,
        1,
        {"z": 1},
    )
    assert gallery.search(EYE[3], k=1).ids.tolist() == [[0]]
    assert gallery.search(EYE[0], k=3, min_similarity=0.5).counts.tolist() == [0]
    assert gallery.ids.tolist() == [0, 1, 2]
    gallery.update([], pids=[])
    assert gallery.find({"pid": "bert"}).tolist() == [0]
    assert gallery.find({"pid": 7}).tolist() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": [0, 0]}, "ids must differ"),
        ({"embeddings": EYE[:1]}, "2 ids, but 1 rows of embeddings"),
        ({"pids": [1]}, "pids must have one value per row"),
        ({"metadata": [{}, 3]}, "metadata must be a dict or None; row 1"),
    ],
)
def test_bad_updates_change_nothing(gallery, arguments, message):
    with pytest.raises(InputError, match=message):
        gallery.update(**{"ids": [0, 1], "camids": [8, 8], **arguments})
    assert [entry.camid for entry in gallery.get([0, 1])] == [1, None]


def test_the_first_fingerprint_given_is_kept():
    gallery = Gallery(2)
    assert gallery.encoder_fingerprint is None
    gallery.add([[1, 0]], encoder_fingerprint="aa")
    gallery.update([0], pids=[1], encoder_fingerprint="aa")
    assert gallery.encoder_fingerprint == "aa"
    with pytest.raises(GalleryError, match="the encoder aa; these come from bb"):
        gallery.add([[1, 0]], encoder_fingerprint="bb")
    with pytest.raises(GalleryError, match="the encoder aa; these come from bb"):
        gallery.update([0], [[1, 0]], encoder_fingerprint="bb")
    assert len(gallery) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim must be at least 1; got 0"),
        ({"dim": 2.0}, "dim must be an int of at least 1; got 2.0"),
        ({"dim": True}, "dim must be an int"),
        ({"dim": 2, "index": "fast"}, "index must be one of 'auto', 'flat'.*got 'fast'"),
        ({"dim": 2, "index": None}, "index must be one of"),
        ({"dim": 2, "encoder_fingerprint": ""}, "encoder_fingerprint must be a non-empty str"),
    ],
)
def test_a_gallery_of_wrong_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        Gallery(**arguments)


def test_much_removing_gives_memory_back():
    gallery = Gallery(2)
    for _ in range(5):
        gallery.add(np.ones((3000, 2)), pids=range(3000))
        gallery.remove(gallery.ids[:-10])
    assert len(gallery) == 10
    assert gallery.stats()["removed_rows"] <= 8192
    assert [entry.pid for entry in gallery.get(gallery.ids)] == list(range(2990, 3000))


def test_stats_and_repr(gallery):
    gallery.remove([2])
    stats = gallery.stats()
    assert stats["entries"] == 2
    assert stats["removed_rows"] == 1
    assert stats["pids"] == 2
    assert stats["camids"] == 1
    assert stats["exact"] is True
    assert stats["path"] is None
    assert repr(gallery) == "Gallery(2 entries, dim=4, in memory, index='auto')"
