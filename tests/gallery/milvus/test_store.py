"""What is particular to galleries on Milvus, with a server in a dict."""

from __future__ import annotations

import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from sanreid.errors import GalleryError, InputError, MissingExtraError, UnsupportedError
from sanreid.gallery import Gallery
from sanreid.gallery.milvus import connection, search
from sanreid.gallery.milvus.address import parse_address
from sanreid.utils import extras

ADDRESS = "milvus://someone:secret@host/people"


def rows(count, dim=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


@pytest.fixture
def gallery(fake_server):
    with Gallery.open(ADDRESS, dim=8) as gallery:
        yield gallery


def client(gallery):
    return gallery._store._connection._client


def twins(count):
    """Return entries and queries of which the nearest are all of the query's own camera."""
    embeddings = rows(count)
    embeddings[: count // 2] = embeddings[0] + 0.01 * embeddings[: count // 2]
    return embeddings, [1] * (count // 2) + [2] * (count - count // 2)


@pytest.mark.parametrize("noise", [0.0, 4e-7])
def test_rules_are_exact_though_the_server_knows_none(gallery, fake_server, noise, monkeypatch):
    monkeypatch.setattr(fake_server, "noise", noise)
    embeddings, camids = twins(200)
    embeddings[120:140] = embeddings[119]  # ties, across the border of k
    here = Gallery(8)
    for one in (gallery, here):
        one.add(embeddings, pids=[n % 5 for n in range(200)], camids=camids, timestamps=range(200))
    client(gallery).calls.clear()
    queries = embeddings[[0, 1, 119, 150]]
    for rules in (
        {}, {"query_camids": [1, 1, 2, None]},
        {"query_camids": [1, 1, 2, 2], "query_pids": [0, 1, None, 9]},
        {"query_camids": [1, 1, 2, 2], "query_timestamps": [0, 50, 100, None], "min_gap_s": 60.0},
        {"min_similarity": 0.9}, {"where": {"camid": 2}, "query_camids": [1, 1, 1, 1]},
    ):  # fmt: skip
        found, wanted = gallery.search(queries, k=5, **rules), here.search(queries, k=5, **rules)
        assert found.ids.tolist() == wanted.ids.tolist(), rules
        np.testing.assert_array_equal(found.similarities, wanted.similarities)
        assert found.camids.tolist() == wanted.camids.tolist()
    asked = client(gallery).calls
    assert asked[0] == (4, 13), "all queries in one call, a few rows more than k"
    assert max(limit for _, limit in asked) > 100, "asked again for twice as many"


def test_what_no_limit_suffices_for_is_read_page_by_page(gallery, monkeypatch):
    monkeypatch.setattr(search, "MAX_LIMIT", 20)
    monkeypatch.setattr(connection, "PAGE", 7)
    embeddings, camids = twins(100)
    here = Gallery(8)
    for one in (gallery, here):
        one.add(embeddings, camids=camids, metadata=[{"n": 2**60 + n} for n in range(100)])
    for arguments in (
        {"k": 60}, {"k": 3, "query_camids": [1, 2]}, {"k": 3, "where": {"n": {"$gte": 2**60 + 7}}},
    ):  # fmt: skip
        found = gallery.search(embeddings[[0, 70]], **arguments)
        assert found.ids.tolist() == here.search(embeddings[[0, 70]], **arguments).ids.tolist()
    assert gallery.find({"n": {"$gt": 2**60 + 90}}).tolist() == list(range(91, 100))
    assert gallery.ids.tolist() == list(range(100))


def test_it_is_there_when_it_is_opened_again(gallery):
    gallery.add(rows(4), pids=["a", 1, None, 1], encoder_fingerprint="f" * 64)
    gallery.normalize_cameras(None)
    gallery.remove([3])
    gallery.close()
    with Gallery.open(ADDRESS) as again:
        assert again.encoder_fingerprint == "f" * 64
        assert again.ids.tolist() == [0, 1, 2]
        assert again.add(rows(1)).tolist() == [4], "the id of a removed entry is not used again"
    with Gallery.open(ADDRESS) as again:
        assert again.add(rows(1)).tolist() == [5], "nor one that no removal told of"
    with pytest.raises(GalleryError, match="dim=9 was asked for"):
        Gallery.open(ADDRESS, dim=9)
    with pytest.raises(GalleryError, match="no gallery at milvus://host:19530/other"):
        Gallery.open("milvus://host/other")


def test_nobody_waits_where_the_next_writer_takes_over(gallery):
    with pytest.raises(InputError, match="On Milvus a new writer takes over"):
        Gallery.open(ADDRESS, wait=1)
    with Gallery.open(ADDRESS, mode="r", wait=1) as reader:  # a reader never waits
        assert len(reader) == 0


def test_names_of_cameras_are_kept(gallery):
    gallery.add(rows(2), camids=["north gate", None])
    with Gallery.open(ADDRESS, mode="r") as again:
        assert again.get([0])[0].camid == "north gate"
        assert again.find({"camid": "north gate"}).tolist() == [0]


def test_nothing_of_the_protocol_is_passed_over():
    from dataclasses import fields

    from sanreid.gallery.store import SearchRequest, Settings

    known = {"encoder_fingerprint", "calibration", "camera_normalizer", "camera_names"}
    assert {one.name for one in fields(Settings)} == known, "settings.py keeps these"
    known = {
        "queries", "k", "condition", "exclude_pids", "exclude_camids", "min_similarity",
        "query_pids", "query_camids", "is_normalized", "travel",
    }  # fmt: skip
    assert {one.name for one in fields(SearchRequest)} == known, "search.py heeds these"


def test_large_camera_means_are_kept_in_parts(gallery, fake_server):
    wide = Gallery.open("milvus://host/wide", dim=256)
    wide.add(rows(60, 256), camids=[n % 30 for n in range(60)])
    fitted = wide.normalize_cameras(shrinkage=0.0) or wide.camera_normalizer
    again = Gallery.open("milvus://host/wide", mode="r")
    np.testing.assert_array_equal(again.camera_normalizer.means, fitted.means)
    texts = client(wide).collections["wide__settings"].rows
    assert len(texts) > 3
    assert max(len(row["text"]) for row in texts.values()) < 65_535
    wide.normalize_cameras(None)
    assert len(texts) == 2, "the old settings are gone"
    assert again.camera_normalizer is not None
    again.refresh()
    assert again.camera_normalizer is None


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_refreshing_finds_out_whether_the_server_answers(gallery, fake_server, mode):
    with Gallery.open(ADDRESS, mode=mode) as other:
        other.refresh()
        fake_server.fails["query"] = 0
        with pytest.raises(GalleryError, match="out of order"):
            other.refresh()
        fake_server.fails.clear()
        other.refresh()


def test_the_last_writer_is_the_only_one(gallery):
    gallery.add(rows(1))
    with Gallery.open(ADDRESS) as other:
        for change in (
            lambda: gallery.add(rows(1)), lambda: gallery.remove([0]),
            lambda: gallery.update([0], pids=[1]), lambda: gallery.normalize_cameras(None),
        ):  # fmt: skip
            with pytest.raises(GalleryError, match="opened for writing elsewhere"):
                change()
        other.add(rows(1))
        assert len(gallery.search(rows(1), k=5)[0]) == 2, "but it may read"
    with (
        Gallery.open(ADDRESS, mode="r") as reader,
        pytest.raises(GalleryError, match='open with mode="r"'),
    ):
        reader.add(rows(1))


def test_bad_rows_are_refused_before_any_is_sent(gallery):
    gallery.add(rows(2))
    with pytest.raises(InputError, match="Row 1 does not fit into Milvus"):
        gallery.add(rows(2), pids=["a", "b" * 70_000], encoder_fingerprint="f" * 64)
    with pytest.raises(InputError, match="Row 0 does not fit"):
        gallery.update([1], metadata=[{"x": "y" * 70_000}])
    assert gallery.ids.tolist() == [0, 1]
    assert gallery.encoder_fingerprint is None


def test_a_failed_addition_is_taken_back(gallery, fake_server, monkeypatch):
    monkeypatch.setattr("sanreid.gallery.milvus.rows._PART_BYTES", 1000)
    gallery.add(rows(2))
    fake_server.fails["insert"] = 1
    with pytest.raises(GalleryError, match=r"insert is out of order. Nothing was added"):
        gallery.add(rows(100))
    assert len(gallery) == 2
    fake_server.fails |= {"insert": 1, "delete": 0}
    with pytest.raises(GalleryError, match="Some of the entries 102 to 201 may have been added"):
        gallery.add(rows(100))
    fake_server.fails.clear()
    fake_server.fails["upsert"] = 1
    ids = gallery.ids[:20]
    with pytest.raises(GalleryError, match=r"\d+ of 20 entries were changed before"):
        gallery.update(ids, pids=["new"] * 20)


def test_indexes_have_the_names_of_milvus(gallery, fake_server):
    gallery.add(rows(40))
    assert gallery.stats()["index_in_use"] == "flat"
    assert gallery.recall(k=3) == 1.0
    gallery.close()
    with Gallery.open(ADDRESS, index="hnsw") as other:
        assert other.stats()["exact"] is True, "until it is built"
        other.build_index()
        assert (other.stats()["index_in_use"], other.stats()["exact"]) == ("hnsw", False)
        assert other.recall(k=3, sample=8) == 1.0
        assert other.search(rows(1), k=50).counts.tolist() == [40]
    kinds = "'auto', 'flat', 'ivf', 'ivf-sq8', 'hnsw', 'diskann'"
    with pytest.raises(InputError, match=f"on Milvus must be one of {kinds}; got 'ivf-pq'"):
        Gallery.open(ADDRESS, index="ivf-pq")


def test_what_a_server_cannot_do_is_an_error_by_name(gallery, tmp_path):
    gallery.add(rows(3), pids=[1, 2, 3])
    with pytest.raises(UnsupportedError, match="Milvus shows no checksums"):
        gallery.verify()
    with pytest.raises(GalleryError, match="cannot be pickled"):
        pickle.dumps(gallery)
    gallery.save(tmp_path / "copy")
    for copy in (Gallery.load(tmp_path / "copy"), Gallery.load(ADDRESS)):
        assert copy.ids.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(copy.get([2])[0].embedding, gallery.get([2])[0].embedding)


def test_a_count_is_not_kept_if_entries_came_meanwhile(gallery, monkeypatch):
    store = gallery._store
    counted = store._count_rows

    def slow_count():
        count = counted()
        monkeypatch.undo()
        gallery.add(rows(3))
        return count

    monkeypatch.setattr(store, "_count_rows", slow_count)
    assert len(gallery) == 0
    assert len(gallery) == 3
    assert gallery.stats()["removed_rows"] is None  # not 0: whoever forgets people must compact


@pytest.fixture
def compacting(gallery, monkeypatch):
    """Let the server compact as the answers of this dict say."""
    answers = {"flush": lambda: None, "compact": lambda: 1}
    answers["get_compaction_state"] = lambda: "Completed"
    monkeypatch.setattr("time.sleep", lambda _: None)
    made = type(client(gallery))
    for name in tuple(answers):
        monkeypatch.setattr(made, name, lambda *_, name=name, **__: answers[name](), raising=False)
    monkeypatch.setattr(
        made,
        "list_persistent_segments",
        lambda _, name, timeout: [
            SimpleNamespace(num_rows=2 if "__" in name else answers["stored"](), state="Flushed")
        ],
        raising=False,
    )
    return answers


def test_compaction_waits_for_the_segments(gallery, compacting):
    segments = iter([7, 5, 3])
    gallery.add(rows(3))
    compacting["stored"] = lambda: next(segments)
    gallery.compact()
    assert next(segments, None) is None


def test_entries_are_added_while_the_server_compacts_and_not_while_it_counts(gallery, compacting):
    states, written, adding = iter(["Executing", "Completed", "Completed"]), [], []

    def state():
        if not adding:
            adding.append(threading.Thread(target=gallery.add, args=(rows(4),)))
            adding[0].start()
            adding[0].join(5)
            assert len(gallery) == 4
            adding.append(threading.Thread(target=gallery.add, args=(rows(1),)))
        return next(states)

    def flush():
        if len(adding) == 2 and adding[1].ident is None:
            adding[1].start()
            adding[1].join(0.05)
        written.append(len(gallery))

    compacting |= {"get_compaction_state": state, "flush": flush, "stored": lambda: written[-1]}
    gallery.compact()
    adding[1].join()
    assert written[:2] == [0, 4], "what came is written out and counted, and no more comes"
    assert len(gallery) == 5


def test_a_token_is_in_no_message_and_no_repr(gallery):
    for text in (repr(gallery), repr(gallery._store._connection), str(gallery.stats())):
        assert "secret" not in text
    assert client(gallery).options["token"] == "someone:secret"
    with pytest.raises(GalleryError, match="cannot be reached") as raised:
        Gallery.open("milvus://someone:secret@nowhere/people", dim=8)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    gallery.close()
    with pytest.raises(GalleryError, match="is closed"):
        gallery.search(rows(1))


def test_a_collection_of_something_else_is_refused(gallery):
    held = client(gallery).collections
    held["people"].fields = held["people"].fields[:2]
    with pytest.raises(GalleryError, match="is not a sanreid gallery: it has the fields"):
        Gallery.open(ADDRESS)
    del held["people"]
    held["people__settings"].rows.clear()
    with Gallery.open(ADDRESS, dim=8) as fresh:
        assert len(fresh) == 0
        held["people__settings"].rows["head"]["text"] = '{"format": 2}'
        with pytest.raises(GalleryError, match="format 2; this sanreid reads 1"):
            Gallery.open(ADDRESS)
        held["people__settings"].rows["head"]["text"] = "{"
        with pytest.raises(GalleryError, match="cannot be read"):
            Gallery.open(ADDRESS)


@pytest.mark.parametrize("module", ["pymilvus", "milvus_lite"])
def test_without_the_extra(module, monkeypatch, tmp_path):
    real = extras.import_module

    def without(name):
        if name == module:
            raise ImportError(name)
        return real("json") if name == "pymilvus" else real(name)

    monkeypatch.setattr(extras, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'sanreid\[milvus\]'"):
        Gallery.open(f"milvus-lite:{tmp_path}/x.db", dim=8)
    assert not (tmp_path / "x.db").exists()


def test_the_filter_of_the_noise_of_lite_passes_other_messages():
    import logging

    record = logging.LogRecord("grpc._server", logging.ERROR, "", 0, "out of memory", None, None)
    assert connection._is_of_interest(record)
    assert parse_address(ADDRESS).token
