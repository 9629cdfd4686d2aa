from __future__ import annotations

import threading

import numpy as np
import pytest

from sanreid.errors import GalleryError, InputError
from sanreid.gallery import Gallery
from sanreid.gallery.index import faiss_index, kinds
from sanreid.gallery.index.kinds import KINDS, GraphKind, register_index_kind

QUICK = ["flat-sq8", "ivf", "ivf-sq8", "hnsw"]
DIM, COUNT = 16, 900

pytestmark = pytest.mark.usefixtures("small_indexes")


def crops(seed=0, count=COUNT):
    """Embeddings around 60 people."""
    rng = np.random.default_rng(seed)
    people = np.random.default_rng(99).standard_normal((60, DIM))
    pids = rng.integers(0, 60, count)
    return people[pids] + 0.5 * rng.standard_normal((count, DIM)), pids


def filled(gallery):
    rows, pids = crops()
    gallery.add(rows, pids=pids, camids=np.arange(COUNT) % 4, metadata=[{"n": 1}] * COUNT)
    return gallery


def check_against_exact(gallery, exact, **rules):
    queries, pids = crops(seed=1, count=40)
    if rules.pop("market", False):
        rules |= {"query_pids": pids, "query_camids": np.arange(40) % 4}
    found, true = (one.search(queries, k=8, **rules) for one in (gallery, exact))
    if "min_similarity" not in rules:  # an index may overlook an entry above the bound
        np.testing.assert_array_equal(found.counts, true.counts)
    same = [len(set(a) & set(b) - {-1}) for a, b in zip(found.ids, true.ids, strict=True)]
    assert sum(same) >= 0.85 * true.counts.sum()
    for query, number in zip(*np.nonzero(found.ids == true.ids), strict=True):
        if found.ids[query, number] >= 0:  # the very same similarity, not the index's own
            assert found.similarities[query, number] == true.similarities[query, number]
    assert (np.diff(found.similarities, axis=1)[~np.isnan(np.diff(found.similarities))] <= 0).all()


@pytest.mark.parametrize(
    "kind", [*QUICK, *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k not in QUICK)]
)
def test_every_kind_searches_filters_and_forgets(kind):
    gallery, exact = filled(Gallery(DIM, index=kind)), filled(Gallery(DIM))
    check_against_exact(gallery, exact)
    assert gallery.stats()["exact"] is False
    assert gallery.stats()["index_in_use"] == kind
    assert gallery.stats()["indexed_rows"] == COUNT
    assert gallery._store._index._held[0].index.ntotal == COUNT
    assert gallery.recall(k=5, sample=60) >= 0.9
    for one in (gallery, exact):
        one.remove(where={"camid": 3})
        one.update(range(0, 40, 4), crops(seed=3, count=10)[0], pids=["new"] * 10)
    for rules in (
        {},
        {"where": {"camid": {"$in": [0, 1]}}},
        {"where": {"pid": "new"}},
        {"market": True},
        {"query_camids": [0, 1, 2, None] * 10},
        {"min_similarity": 0.8},
        {"market": True, "where": {"n": 1}, "min_similarity": 0.5},
    ):
        check_against_exact(gallery, exact, **rules)
    assert not {"new"} & set(gallery.search(crops()[0], k=3, where={"camid": 1}).pids.ravel())


def test_k_entries_come_back_though_the_index_is_narrow(monkeypatch):
    monkeypatch.setattr(faiss_index, "_TARGET_RECALL", 0.0)
    monkeypatch.setattr(faiss_index, "_SPARSE", 0.0)
    gallery, exact = filled(Gallery(DIM, index="ivf")), filled(Gallery(DIM))
    result = gallery.search(crops(seed=1, count=20)[0], k=60, where={"camid": 2})
    assert result.counts.tolist() == [60] * 20
    assert gallery.recall() < 1
    true = exact.search(crops(seed=1, count=20)[0], k=60, where={"camid": 2})
    assert (result.ids == true.ids).mean() > 0.1


def test_auto_and_flat_and_small_galleries_are_exact():
    for kind in ("auto", "flat"):
        gallery = filled(Gallery(DIM, index=kind))
        assert gallery.stats()["exact"] is True
        assert gallery.stats()["index_in_use"] == "flat"
        assert gallery.recall() == 1.0
        gallery.build_index()
        assert gallery.stats()["indexed_rows"] == 0
    gallery = Gallery(DIM, index="ivf")
    gallery.add(crops()[0][:100])
    gallery.search(crops()[0][:2])
    assert gallery.stats()["exact"] is True
    assert gallery.recall() == 1.0
    with pytest.raises(InputError, match="sample must be at least 1"):
        gallery.recall(sample=0)


def test_auto_says_that_an_index_would_be_quicker(monkeypatch, caplog):
    monkeypatch.setattr("sanreid.gallery.index.manager._MANY", 500)
    gallery = filled(Gallery(DIM))
    with caplog.at_level("INFO", logger="sanreid.gallery"):
        gallery.search(crops()[0][:1])
        gallery.search(crops()[0][:1])
    assert caplog.text.count('index="auto" searches 900 entries exactly') == 1


def test_new_entries_are_found_before_and_after_the_index_takes_them_in():
    gallery = filled(Gallery(DIM, index="ivf"))
    gallery.build_index(progress=False)
    one = -np.ones((1, DIM))
    (number,) = gallery.add(one, pids=["one"])
    assert gallery.search(one, k=1).ids.tolist() == [[number]]
    assert gallery.stats()["indexed_rows"] == COUNT
    rows = crops(seed=7, count=1100)[0]
    ids = gallery.add(rows)
    assert (gallery.search(rows, k=1).ids[:, 0] == ids).mean() > 0.95
    assert gallery.stats()["indexed_rows"] == COUNT + 1101
    gallery.compact()
    assert gallery.search(one, k=1).pids.tolist() == [["one"]]


@pytest.mark.parametrize("where", [{"camid": 1}, {"camid": {"$in": [0, 1, None]}}])
def test_rules_hold_for_entries_the_index_does_not_cover(where, monkeypatch):
    monkeypatch.setattr(faiss_index, "_SPARSE", 0.0)
    gallery, exact = Gallery(DIM, index="ivf"), Gallery(DIM)
    rows, pids = crops(count=COUNT + 200)
    camids = [[0, 1, 2, None][number % 4] for number in range(len(rows))]
    queries = crops(seed=2, count=30)[0]
    for part in (slice(COUNT), slice(COUNT, None)):
        for one in (gallery, exact):
            one.add(rows[part], pids=pids[part], camids=camids[part])
        gallery.search(queries[:1])
    assert gallery.stats()["indexed_rows"] == COUNT
    monkeypatch.setattr(
        gallery._store._index._held[0], "width", 10_000
    )  # all lists: nothing missed
    for rules in ({}, {"query_camids": [0, None, 2] * 10}):
        found, true = (one.search(queries, 7, where=where, **rules) for one in (gallery, exact))
        np.testing.assert_array_equal(found.ids, true.ids)


def test_a_progress_bar_if_asked_for(capsys):
    filled(Gallery(DIM, index="flat-sq8")).build_index(progress=True)
    assert "Building flat-sq8" in capsys.readouterr().err
    filled(Gallery(DIM, index="flat-sq8")).build_index()
    assert capsys.readouterr().err == ""


def test_the_index_is_kept_beside_the_entries(tmp_path, monkeypatch):
    with Gallery.open(tmp_path / "g", dim=DIM, index="ivf") as gallery:
        filled(gallery).build_index()
        expected = gallery.search(crops()[0][:9], k=5).ids
        gallery.verify()
        gallery.add(crops(seed=5, count=3)[0])
    (cache,) = (tmp_path / "g").glob("index-*")

    def refuse(*_, **__):
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(faiss_index.FaissIndex, "build", refuse)
        for mode in ("r", "rw"):
            with Gallery.open(tmp_path / "g", mode=mode, index="ivf") as gallery:
                result = gallery.search(crops()[0][:9], k=5, where={"id": {"$lt": COUNT}})
                np.testing.assert_array_equal(result.ids, expected)
                assert gallery.stats()["indexed_rows"] == COUNT
    with Gallery.open(tmp_path / "g", index="ivf") as gallery:
        gallery.remove([0])
        gallery.compact()
        assert not cache.exists()
        gallery.search(crops()[0][:1])
        assert len(list((tmp_path / "g").glob("index-*"))) == 1


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "foreign"])
def test_a_damaged_cache_is_built_again(tmp_path, how, caplog):
    for name in "ab":
        with Gallery.open(tmp_path / name, dim=DIM, index="flat-sq8") as gallery:
            rows, _ = crops(seed=ord(name))
            gallery.add(rows)
            gallery.build_index()
    (cache,) = (tmp_path / "a").glob("index-*")
    raw = bytearray(cache.read_bytes())
    raw[len(raw) // 2] ^= 8
    foreign = next((tmp_path / "b").glob("index-*")).read_bytes()
    cache.write_bytes({"flip": raw, "cut": raw[:-9], "empty": b"", "foreign": foreign}[how])
    with Gallery.open(tmp_path / "a", mode="r", index="flat-sq8") as gallery:
        if how != "foreign":
            with pytest.raises(GalleryError, match="rebuilt when it is next needed"):
                gallery.verify()
        rows, _ = crops(seed=ord("a"))
        assert (gallery.search(rows[:50], k=1).ids[:, 0] == np.arange(50)).all()
    assert "is not used and is built again" in caplog.text


def test_no_room_for_the_cache_is_no_error(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError("No space left on device")

    with Gallery.open(tmp_path / "g", dim=DIM, index="flat-sq8") as gallery:
        filled(gallery)
        monkeypatch.setattr("sanreid.gallery.storage.files.disk.Disk.replace", refuse)
        gallery.build_index()
        assert gallery.search(crops()[0][:1], k=1).counts.tolist() == [1]
        gallery.verify()
    assert "The index cannot be kept" in caplog.text


def test_searches_do_not_wait_while_the_index_is_built(monkeypatch):
    gallery, exact = filled(Gallery(DIM, index="flat-sq8")), filled(Gallery(DIM))
    building, go_on = threading.Event(), threading.Event()
    build = faiss_index.FaissIndex.build

    def slow(*arguments, **options):
        building.set()
        assert go_on.wait(20)
        return build(*arguments, **options)

    monkeypatch.setattr(faiss_index.FaissIndex, "build", slow)
    thread = threading.Thread(target=gallery.build_index)
    thread.start()
    assert building.wait(20)
    queries = crops(seed=1, count=5)[0]
    np.testing.assert_array_equal(gallery.search(queries).ids, exact.search(queries).ids)
    go_on.set()
    thread.join()
    assert gallery.stats()["indexed_rows"] == COUNT


def test_searches_while_the_index_grows():
    gallery = filled(Gallery(DIM, index="ivf"))
    problems, done = [], threading.Event()

    def search():
        queries = crops(seed=1, count=5)[0]
        while not done.is_set():
            result = gallery.search(queries, k=7)
            if (result.counts != 7).any() or not (result.ids >= 0).all():
                problems.append(result)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for seed in range(5):
        gallery.add(crops(seed=seed, count=1200)[0])
        gallery.remove(gallery.ids[:100])
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_kind_of_ones_own_is_registered_by_name(tmp_path, monkeypatch):
    class WideGraph(GraphKind):
        """64 neighbours per node instead of 32."""

        def recipe(self, dim, num_rows):
            return "HNSW64,Flat"

    monkeypatch.setattr("sanreid.gallery.index.kinds.KINDS", dict(KINDS))
    monkeypatch.setattr("sanreid.gallery.index.faiss_index.KINDS", kinds.KINDS)
    with pytest.raises(InputError, match="index must be one of .*got 'wide'"):
        Gallery(DIM, index="wide")
    register_index_kind(WideGraph("wide"))
    with pytest.raises(InputError, match="named 'wide' is registered already"):
        register_index_kind(WideGraph("wide"))
    with pytest.raises(InputError, match="named 'flat' is registered already"):
        register_index_kind(WideGraph("flat"))
    exact = filled(Gallery(DIM))
    with Gallery.open(tmp_path / "g", dim=DIM, index="wide") as gallery:
        check_against_exact(filled(gallery), exact)
        assert gallery.stats()["index_in_use"] == "wide"
    with Gallery.open(tmp_path / "g", mode="r", index="wide") as gallery:
        check_against_exact(gallery, exact)
