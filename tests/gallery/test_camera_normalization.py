"""Similarities without the cameras' means: exactly those of normalised embeddings."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from sanreid.cameras import CameraNormalizer
from sanreid.errors import GalleryError, InputError
from sanreid.gallery import Gallery, camera_means
from sanreid.gallery.index import exact
from sanreid.gallery.storage.columns import Column
from sanreid.viz.browse import content
from tests.gallery.reference import assert_same, brute_force, unit


def crops(count, dim=16, *, cameras=3, people=20, seed=0):
    """Crops of people under cameras that each add something of their own."""
    rng = np.random.default_rng(seed)
    pids, camids = rng.integers(0, people, count), rng.integers(1, cameras + 1, count)
    rows = np.random.default_rng(99).standard_normal((people, dim))[pids]
    rows += 1.5 * np.random.default_rng(98).standard_normal((cameras + 1, dim))[camids]
    return rows + 0.3 * rng.standard_normal((count, dim)), pids, camids


@pytest.fixture
def entries():
    return crops(300)


@pytest.fixture
def gallery(entries):
    rows, pids, camids = entries
    gallery = Gallery(16)
    gallery.add(rows, pids=pids, camids=camids)
    gallery.normalize_cameras()
    return gallery


def normalised_entries(gallery):
    normalizer = gallery.camera_normalizer
    return [
        {
            "id": entry.id,
            "embedding": normalizer([entry.embedding], [entry.camid])[0],
            "camid": entry.camid,
            "pid": entry.pid,
        }
        for entry in gallery.get(gallery.ids)
    ]


def test_search_equals_that_of_normalised_embeddings(gallery):
    queries, _, camids = crops(40, cameras=5, seed=1)  # cameras 4 and 5 are not known
    asked = gallery.camera_normalizer(unit(queries), camids)
    expected = brute_force(asked, normalised_entries(gallery), 10)
    result = gallery.search(queries, k=10, query_camids=camids, same_camera="keep")
    assert_same(result, expected)
    assert result.query_camids == tuple(camids.tolist())


def test_queries_without_a_camera_take_the_mean_over_cameras(gallery):
    queries, _, _ = crops(20, seed=2)
    asked = gallery.camera_normalizer(unit(queries), [None] * 20)
    expected = brute_force(asked, normalised_entries(gallery), 5)
    assert_same(gallery.search(queries, k=5), expected)
    found = gallery.search(queries, k=5, query_camids=[None] * 20, same_camera="keep")
    assert_same(found, expected)


def test_rules_filters_and_least_similarities_hold(gallery):
    queries, pids, camids = crops(30, seed=3)
    asked = gallery.camera_normalizer(unit(queries), camids)
    expected = brute_force(
        asked,
        normalised_entries(gallery),
        7,
        admits=lambda entry, query: (
            entry["pid"] < 12
            and not (entry["camid"] == camids[query] and entry["pid"] == pids[query])
        ),
        least=0.1,
    )
    result = gallery.search(
        queries, 7, where={"pid": {"$lt": 12}}, query_pids=pids, query_camids=camids,
        min_similarity=0.1,
    )  # fmt: skip
    assert_same(result, expected)
    alone = gallery.search(queries, 7, query_camids=camids)
    assert all(hit.camid != camids[query] for query, hits in enumerate(alone) for hit in hits)


def test_keeping_the_camera_changes_nothing_without_normalisation():
    rows, pids, camids = crops(50)
    gallery = Gallery(16)
    gallery.add(rows, pids=pids, camids=camids)
    kept = gallery.search(rows, 3, query_pids=pids, query_camids=camids, same_camera="keep")
    assert kept.ids.tolist() == gallery.search(rows, 3).ids.tolist()
    assert kept.ids[:, 0].tolist() == list(range(50))
    assert kept.query_pids == tuple(pids.tolist())
    with pytest.raises(InputError, match="same_camera must be 'exclude' or 'keep'; got"):
        gallery.search(rows, 3, query_camids=camids, same_camera="leave")


@pytest.mark.parametrize("block", [1, 7, 64])
def test_block_sizes_do_not_matter(gallery, monkeypatch, block):
    queries, _, camids = crops(20, seed=4)
    before = gallery.search(queries, 8, query_camids=camids, same_camera="keep")
    monkeypatch.setattr(exact, "_BLOCK", block)
    monkeypatch.setattr(exact, "_FIRST_BLOCK", block)
    monkeypatch.setattr(exact, "_QUERIES", 3)
    after = gallery.search(queries, 8, query_camids=camids, same_camera="keep")
    np.testing.assert_array_equal(before.ids, after.ids)
    np.testing.assert_array_equal(before.similarities, after.similarities)


def test_crops_close_to_their_cameras_mean_are_ranked_exactly():
    # Their lengths after subtraction are tiny, so products must be exact to be worth anything.
    rng = np.random.default_rng(5)
    base = unit(rng.standard_normal((2, 32)))
    camids = np.repeat([1, 2], 200)
    rows = base[camids - 1] + 0.01 * rng.standard_normal((400, 32)).astype(np.float32)
    gallery = Gallery(32)
    gallery.add(rows, camids=camids)
    gallery.normalize_cameras(shrinkage=0.0)
    asked = gallery.camera_normalizer(unit(rows[::20]), camids[::20])
    found = gallery.search(rows[::20], 10, query_camids=camids[::20], same_camera="keep")
    assert_same(found, brute_force(asked, normalised_entries(gallery), 10))


def test_equal_rows_keep_equal_similarities_and_the_order_of_ids():
    rows, _, camids = crops(10)
    gallery = Gallery(16)
    gallery.add(np.tile(rows, (200, 1)), camids=np.tile(camids, 200))
    gallery.normalize_cameras()
    result = gallery.search(rows[0], k=200, query_camids=camids[:1], same_camera="keep")
    assert result.ids[0].tolist() == list(range(0, 2000, 10))
    assert len(set(result.similarities[0].tolist())) == 1


def test_stored_embeddings_stay_and_it_can_be_turned_off(gallery, entries):
    rows, _, camids = entries
    plain = Gallery(16)
    plain.add(rows, camids=camids)
    np.testing.assert_array_equal(
        [entry.embedding for entry in gallery.get(gallery.ids)],
        [entry.embedding for entry in plain.get(plain.ids)],
    )
    assert gallery.search(rows[:5]).ids.tolist() != plain.search(rows[:5]).ids.tolist()
    assert gallery.stats()["normalized_cameras"] == 3
    assert gallery.normalize_cameras(None) is None
    assert gallery.camera_normalizer is None
    assert gallery.search(rows[:5]).ids.tolist() == plain.search(rows[:5]).ids.tolist()
    assert gallery.stats()["normalized_cameras"] == 0
    assert gallery.stats()["camera_means_moved"] is None


def test_new_entries_are_normalised_by_the_stored_means(gallery):
    normalizer = gallery.camera_normalizer
    assert gallery.stats()["camera_means_moved"] == 0
    rows, pids, camids = crops(200, cameras=4, seed=6)  # one camera is new
    gallery.add(rows, pids=pids, camids=camids)
    gallery.update([0], rows[:1], camids=[None])
    assert gallery.camera_normalizer is normalizer
    queries, _, cameras = crops(20, cameras=4, seed=7)
    asked = normalizer(unit(queries), cameras)
    found = gallery.search(queries, 9, query_camids=cameras, same_camera="keep")
    assert_same(found, brute_force(asked, normalised_entries(gallery), 9))
    fitted = CameraNormalizer.fit(
        [entry.embedding for entry in gallery.get(gallery.ids)],
        [entry.camid for entry in gallery.get(gallery.ids)],
    )
    moved = [
        np.linalg.norm(fitted.means[place] - normalizer.means[min(place, 3)]) for place in range(4)
    ]
    assert gallery.stats()["camera_means_moved"] == pytest.approx(max(moved), rel=1e-5)
    assert max(moved) > 0
    gallery.normalize_cameras()
    assert gallery.camera_normalizer is not normalizer
    assert gallery.stats()["camera_means_moved"] == 0


def test_identify_and_open_set_rates_are_those_of_normalised_embeddings(gallery, entries):
    rows, pids, camids = entries
    normalizer = gallery.camera_normalizer
    other = Gallery(16)
    other.add(normalizer(rows, camids), pids=pids, camids=camids)
    queries, people, cameras = crops(60, seed=8)
    asked = normalizer(queries, cameras)
    arguments = {"query_pids": people, "query_camids": cameras, "threshold": 0.2}
    for group in ("best", "mean"):
        for found, wanted in zip(
            gallery.identify(queries, group=group, **arguments),
            other.identify(asked, group=group, **arguments),
            strict=True,
        ):
            assert (found.pid, found.candidate) == (wanted.pid, wanted.candidate)
            assert found.similarity == pytest.approx(wanted.similarity, abs=1e-6)
    people = np.where(people < 5, 1000, people)
    found = gallery.evaluate_open_set(queries, people, cameras)
    wanted = other.evaluate_open_set(asked, people, cameras)
    assert found.identification_rates == wanted.identification_rates
    assert found.thresholds == pytest.approx(wanted.thresholds, abs=1e-6)
    kept = gallery.identify(queries, threshold=0, query_camids=cameras, same_camera="keep")
    assert [one.candidate for one in kept] == [
        one.candidate for one in other.identify(asked, threshold=0)
    ]


def test_calibration_is_one_of_normalised_similarities(gallery, entries):
    rows, pids, camids = entries
    asked = gallery.camera_normalizer(rows, camids)
    wanted = Gallery(16).calibrate(asked, pids, camids, false_match_rate=0.05)
    found = gallery.calibrate(rows, pids, camids, false_match_rate=0.05)
    assert found.threshold == pytest.approx(wanted.threshold, abs=1e-4)
    assert found.num_impostor == wanted.num_impostor
    gallery.calibrate(rows, pids, false_match_rate=0.05)
    gallery.normalize_cameras()
    assert gallery.calibration is None  # its threshold was one of other similarities
    with pytest.raises(InputError, match="not calibrated"):
        gallery.identify(rows[:1])


def test_a_fitted_normalizer_is_used_as_it_is(entries):
    rows, pids, camids = entries
    normalizer = CameraNormalizer.fit(rows, camids, shrinkage=0.5)
    gallery = Gallery(16)
    gallery.add(rows[:50], pids=pids[:50])  # without cameras
    assert gallery.normalize_cameras(normalizer) is normalizer
    asked = normalizer(unit(rows[:5]), [None] * 5)
    assert_same(gallery.search(rows[:5], 4), brute_force(asked, normalised_entries(gallery), 4))


@pytest.mark.parametrize(
    ("camids", "arguments", "message"),
    [
        ([1, 2], {"normalizer": "on"}, "normalizer must be a CameraNormalizer"),
        ([1, 2], {"normalizer": 3}, "normalizer must be a CameraNormalizer"),
        ([1, 2], {"shrinkage": 2}, "shrinkage must be a number between 0 and 1; got 2"),
        ([1, 2], {"shrinkage": float("nan")}, "shrinkage must be a number between 0 and 1"),
        ([1, 1], {}, "at least two"),
        ([None, None], {}, "needs entries with camids; this gallery has none"),
        ([], {}, "needs entries with camids; this gallery has none"),
    ],
)
def test_bad_normalisations_change_nothing(camids, arguments, message):
    gallery = Gallery(2)
    gallery.add(np.eye(2)[: len(camids)], camids=camids)
    with pytest.raises(InputError, match=message):
        gallery.normalize_cameras(**arguments)
    assert gallery.camera_normalizer is None


def test_a_normalizer_of_another_encoder_is_refused(gallery):
    with pytest.raises(InputError, match="has 16 dimensions, this gallery 4"):
        Gallery(4).normalize_cameras(gallery.camera_normalizer)


def test_the_page_to_browse_shows_normalised_neighbours(gallery):
    listed = gallery.get(gallery.ids[:40])
    indices, cosines = content.neighbours(gallery, listed, None)
    rows = gallery.camera_normalizer(
        [entry.embedding for entry in listed], [entry.camid for entry in listed]
    )
    near = rows.astype(float) @ rows.astype(float).T
    for row, (found, shown) in enumerate(zip(indices, cosines, strict=True)):
        others = found[found >= 0]
        np.testing.assert_allclose(shown[: len(others)] / 32767, near[row, others], atol=1e-4)


def test_it_is_kept_with_a_stored_gallery(tmp_path, entries):
    rows, pids, camids = entries
    queries, _, cameras = crops(10, seed=9)

    def answers(gallery):
        found = gallery.search(queries, 5, query_camids=cameras, same_camera="keep")
        return found.ids.tolist(), found.similarities.tolist()

    with Gallery.open(tmp_path / "g", dim=16) as gallery:
        gallery.add(rows, pids=pids, camids=camids)
        gallery.normalize_cameras()
        state = gallery.camera_normalizer.to_dict()
        wanted = answers(gallery)
        size = (tmp_path / "g").joinpath("entries-000001.log").stat().st_size
        for _ in range(20):  # the means are not written again by each change
            gallery.remove(gallery.add(rows[:1]))
        grown = (tmp_path / "g").joinpath("entries-000001.log").stat().st_size - size
        assert grown < 20 * 2 * len(str(state)) / 2
        reader = Gallery.open(tmp_path / "g", mode="r")
        gallery.normalize_cameras(None)
        assert answers(reader) == wanted
        reader.refresh()
        assert reader.camera_normalizer is None
        with pytest.raises(GalleryError, match='mode="r"'):
            reader.normalize_cameras(None)
        gallery.normalize_cameras(CameraNormalizer.from_dict(state))
        reader.refresh()
        assert answers(reader) == wanted
        reader.close()
        gallery.compact()
        assert answers(gallery) == wanted
        gallery.save(tmp_path / "copy")
    for path in ("g", "copy"):
        with Gallery.open(tmp_path / path) as gallery:
            assert gallery.camera_normalizer.to_dict() == state
            assert answers(gallery) == wanted
            gallery.verify()
    loaded = Gallery.load(tmp_path / "g")
    assert answers(loaded) == wanted
    assert answers(copy.deepcopy(loaded)) == wanted


@pytest.mark.usefixtures("small_indexes")
@pytest.mark.parametrize(
    "kind", ["ivf", "hnsw", "flat-sq8", pytest.param("ivf-pq", marks=pytest.mark.slow)]
)
def test_approximate_indexes_find_normalised_neighbours(kind, tmp_path):
    rows, pids, camids = crops(1500, 24, people=200)
    queries, _, cameras = crops(50, 24, people=200, seed=10)
    gallery = Gallery.open(tmp_path / "g", dim=24, index=kind)
    gallery.add(rows, pids=pids, camids=camids)
    flat = Gallery(24)
    flat.add(rows, pids=pids, camids=camids)

    def recall():
        arguments = {"query_camids": cameras, "same_camera": "keep"}
        found = gallery.search(queries, 10, **arguments)
        wanted = flat.search(queries, 10, **arguments)
        for hits, true in zip(found, wanted, strict=True):
            exact = {hit.id: hit.similarity for hit in true}
            assert all(hit.similarity == exact.get(hit.id, hit.similarity) for hit in hits)
        return np.mean([len({*a} & {*b}) / 10 for a, b in zip(found.ids, wanted.ids, strict=True)])

    assert recall() > 0.9
    gallery.normalize_cameras()
    flat.normalize_cameras(gallery.camera_normalizer)
    assert gallery.stats()["exact"] is False
    assert recall() > 0.9
    assert gallery.recall(10) > 0.9
    gallery.close()
    gallery = Gallery.open(tmp_path / "g", index=kind)  # from the stored index
    assert recall() > 0.9
    assert gallery.stats()["indexed_rows"] == 1500
    gallery.normalize_cameras(None)
    flat.normalize_cameras(None)
    assert recall() > 0.9
    gallery.close()


@pytest.mark.parametrize("shrinkage", [0.0, 0.4, "auto"])
def test_means_that_have_not_moved_are_said_not_to_have(entries, tmp_path, shrinkage):
    rows, _, camids = entries
    with Gallery.open(tmp_path / "g", dim=16) as gallery:
        gallery.add(rows, camids=camids)
        gallery.normalize_cameras(shrinkage=shrinkage)
        assert gallery.stats()["camera_means_moved"] == 0
    loaded = Gallery.load(tmp_path / "g")
    assert loaded.camera_normalizer.shrinkage == shrinkage
    assert loaded.stats()["camera_means_moved"] == 0
    loaded.update([0], rows[:1], camids=[3])
    assert loaded.stats()["camera_means_moved"] > 0


def test_means_are_fitted_once_a_state(gallery, monkeypatch):
    fits = []
    fit = camera_means.fit_to_entries
    monkeypatch.setattr(
        camera_means, "fit_to_entries", lambda *given: (fits.append(1), fit(*given))[1]
    )
    first = gallery.stats()["camera_means_moved"]
    assert gallery.stats()["camera_means_moved"] == first
    assert len(fits) == 1
    gallery.add(np.eye(16)[:1], camids=[1])
    assert gallery.stats()["camera_means_moved"] != first
    assert len(fits) == 2


def test_an_interrupt_between_two_columns_of_terms_shifts_nothing(gallery, monkeypatch):
    rows, _, camids = crops(40, seed=11)
    wanted = Gallery(16)
    wanted.add(rows, camids=camids)
    wanted.normalize_cameras(gallery.camera_normalizer)
    other = Gallery(16)
    other.add(rows, camids=camids)
    other.normalize_cameras(gallery.camera_normalizer)
    extend, calls = Column.extend, []

    def interrupted(column, values):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        extend(column, values)

    with monkeypatch.context() as patch:
        patch.setattr(Column, "extend", interrupted)
        with pytest.raises(KeyboardInterrupt):
            other.search(rows[:1])
    assert other.search(rows, 5).ids.tolist() == wanted.search(rows, 5).ids.tolist()
    more, _, cameras = crops(30, seed=12)  # rows behind those that were cut off
    for one in (wanted, other):
        one.add(more, camids=cameras)
    assert other.search(rows, 5).ids.tolist() == wanted.search(rows, 5).ids.tolist()


def test_the_normalizer_of_a_gallery_cannot_be_written_to(gallery):
    for array in (gallery.camera_normalizer.means, gallery.camera_normalizer.camids):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
