"""Cameras with names: kept with the gallery, taken and returned wherever cameras are."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest

from sanreid import CameraNormalizer, Gallery
from sanreid.errors import GalleryError, InputError
from sanreid.gallery import filters
from sanreid.gallery.validation import NO_CAMID, as_camids, camera_number

GATE, DOOR = "north gate", "Tür 2"
EMBEDDINGS = np.eye(4, dtype=np.float32) + 0.1


def with_names(gallery: Gallery) -> Gallery:
    gallery.add(EMBEDDINGS, pids=[1, 1, 2, 2], camids=[GATE, DOOR, 3, None])
    return gallery


def check(gallery: Gallery) -> None:
    """What a gallery of ``with_names`` answers, however it was kept."""
    assert [entry.camid for entry in gallery.get([0, 1, 2, 3])] == [GATE, DOOR, 3, None]
    assert gallery.search(EMBEDDINGS[0], k=4).camids.tolist()[0][0] == GATE
    assert gallery.find({"camid": GATE}).tolist() == [0]
    assert gallery.find({"camid": {"$in": [DOOR, 3]}}).tolist() == [1, 2]
    for operator in ("$lt", "$lte", "$gt", "$gte"):  # a name is no number
        assert gallery.find({"camid": {operator: 3}}).tolist() == ([2] if "e" in operator else [])
        assert GATE in [
            e.camid for e in gallery.get(gallery.find({"$not": {"camid": {operator: 0}}}))
        ]
    assert gallery.find({"camid": {"$gte": -(2**62)}}).tolist() == [2]
    assert gallery.counts("camid") == {GATE: 1, DOOR: 1, 3: 1, None: 1}


def test_names_are_returned_and_found_in_memory():
    check(with_names(Gallery(4)))


def test_names_and_a_calibration_that_come_at_once_are_both_kept():
    gallery = Gallery(2)
    rows = {"embeddings": [[1.0, 0.0]], "camids": ["north gate"]}
    adding = threading.Thread(target=gallery.add, kwargs=rows)

    def calibrated(settings):
        adding.start()
        adding.join(0.05)  # it waits for this change
        return replace(settings, encoder_fingerprint="f")

    gallery._store.change_settings(calibrated)
    adding.join()
    assert gallery.encoder_fingerprint == "f"
    assert gallery.get([0])[0].camid == "north gate"


def test_names_survive_closing_saving_and_exports(tmp_path):
    with with_names(Gallery.open(tmp_path / "kept", dim=4)) as gallery:
        gallery.save(tmp_path / "saved")
        gallery.export(tmp_path / "entries.npz")
        gallery.update(2, camids=["new"])
        gallery.compact()
    with Gallery.open(tmp_path / "kept", mode="r") as gallery:
        assert gallery.get([1, 2])[1].camid == "new"
    check(Gallery.load(tmp_path / "saved"))
    copy = Gallery(4)
    copy.import_from(tmp_path / "entries.npz")
    check(copy)


def test_names_survive_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    with_names(Gallery(4)).export(tmp_path / "entries.parquet")
    copy = Gallery(4)
    copy.import_from(tmp_path / "entries.parquet")
    check(copy)


def test_rules_know_cameras_by_their_names():
    gallery = with_names(Gallery(4))
    found = gallery.search(EMBEDDINGS[:1], k=4, query_camids=[GATE])
    assert sorted(found.ids[0].tolist()) == [-1, 1, 2, 3]
    assert found.query_camids == (GATE,)
    assert gallery.person(1).camids == (DOOR, GATE)
    nobody = gallery.search(EMBEDDINGS[:1], k=4, query_camids=["a camera that has no entries"])
    assert nobody.counts.tolist() == [4]


def test_camera_means_are_told_by_name(tmp_path):
    with Gallery.open(tmp_path / "kept", dim=4) as gallery:
        gallery.add(EMBEDDINGS, camids=[GATE, DOOR, GATE, 3])
        gallery.normalize_cameras()
        before = gallery.search(EMBEDDINGS[:2], query_camids=[GATE, DOOR]).similarities
    with Gallery.open(tmp_path / "kept", mode="r") as gallery:
        assert gallery.camera_normalizer.counts == {GATE: 2, DOOR: 1, 3: 1}
        after = gallery.search(EMBEDDINGS[:2], query_camids=[GATE, DOOR]).similarities
        np.testing.assert_array_equal(after, before)


def test_means_fitted_outside_know_the_same_cameras():
    rows, cameras = np.eye(4, dtype=np.float32) + 0.3, [GATE, GATE, DOOR, DOOR]
    normalizer = CameraNormalizer.fit(rows, cameras, shrinkage=0.0)
    gallery = Gallery(4)
    gallery.add(rows, camids=cameras)
    gallery.normalize_cameras(normalizer)
    found = gallery.search(rows[:1], k=4, query_camids=[GATE], same_camera="keep")
    normalized = normalizer(rows, cameras)
    np.testing.assert_allclose(
        found.similarities[0], -np.sort(-normalized @ normalized[0]), atol=1e-6
    )


def test_clusters_tell_cameras_in_order():
    pytest.importorskip("scipy")
    gallery = Gallery(4)
    gallery.add(EMBEDDINGS[[0, 0, 0, 1]], camids=[DOOR, GATE, 3, None])
    assert gallery.cluster().cameras == ((3, DOOR, GATE),)


def test_tracklets_keep_the_name_of_their_camera():
    gallery = Gallery(4)
    gallery.add_tracklets(EMBEDDINGS, ["a", "a", "b", "b"], camids=[GATE, GATE, DOOR, DOOR])
    assert gallery.counts("camid") == {GATE: 1, DOOR: 1}


def test_tables_have_the_names():
    pytest.importorskip("pandas")
    gallery = with_names(Gallery(4))
    frame = gallery.to_pandas(embeddings=True)
    assert frame["camid"].tolist() == [GATE, DOOR, 3, None]
    check(Gallery.from_dataframe(frame))


def test_a_name_has_one_number_everywhere_that_no_camera_has():
    assert camera_number(GATE) == camera_number(GATE) != camera_number(DOOR)
    assert NO_CAMID < camera_number(GATE) <= -(2**62)
    assert as_camids([GATE, 3, None], 3).tolist() == [camera_number(GATE), 3, NO_CAMID]


@pytest.mark.parametrize("camid", ["2", "", " ", "٣", "-1", "1.0", " 7", "nan", True])
def test_a_number_in_a_text_is_no_name_and_change_nothing(camid):
    gallery = Gallery(4)
    with pytest.raises(InputError, match="camids must be int, a name or None; row 1 is"):
        gallery.add(EMBEDDINGS[:2], camids=[GATE, camid])
    assert len(gallery) == 0
    assert gallery.stats()["camids"] == 0


def test_a_camera_may_be_called_by_two_numbers():
    gallery = Gallery(4)
    gallery.add(EMBEDDINGS[:1], camids=["1_2"])
    assert gallery.get(0)[0].camid == "1_2"


def test_a_key_that_no_entry_has_is_said_once(caplog):
    gallery = with_names(Gallery(4))
    with caplog.at_level(logging.WARNING, "sanreid"):
        for _ in range(2):
            assert len(gallery.find({"colour": "red"})) == 0
        assert len(gallery.find({"colour": {"$ne": "red"}})) == 4
    assert [record.getMessage() for record in caplog.records] == [
        "No entry has the metadata key 'colour', which where compares."
    ]


def test_a_key_of_some_entries_is_not_warned_of(caplog):
    gallery = Gallery(4)
    gallery.add(EMBEDDINGS, metadata=[{"colour": "red"}, None, None, None])
    assert gallery.find({"colour": "red"}).tolist() == [0]
    assert not caplog.records


def test_a_number_as_text_is_no_name_of_a_camera(caplog):
    filters._warn_of_text.cache_clear()
    gallery = with_names(Gallery(4))
    for _ in range(2):
        assert len(gallery.find({"camid": "1.5"})) == 0
    (message,) = (record.getMessage() for record in caplog.records)
    assert message == "where compares camid, which are numbers, with a text."


def test_a_text_compared_with_a_time_is_said_once(caplog):
    filters._warn_of_text.cache_clear()
    gallery = with_names(Gallery(4))
    for _ in range(2):
        assert len(gallery.find({"timestamp": {"$gte": "2026-01-01"}})) == 0
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith("where compares timestamp, which are numbers, with a text; compare")


def test_queries_keep_the_names_of_cameras_that_the_gallery_does_not_know():
    gallery = with_names(Gallery(4))
    found = gallery.search(EMBEDDINGS[:3], query_camids=iter(["roof", GATE, 7]))
    assert list(found.query_camids) == ["roof", GATE, 7]
    assert "roof" not in gallery.camera_names.values()


def test_what_fails_keeps_no_names(tmp_path):
    for gallery in (Gallery(4), Gallery.open(tmp_path / "g", dim=4)):
        with_names(gallery)
        for change in (
            lambda gallery: gallery.add(EMBEDDINGS[:1], camids=["roof"], ids=[0]),
            lambda gallery: gallery.update([9], camids=["roof"]),
        ):
            with pytest.raises((InputError, GalleryError)):
                change(gallery)
        assert sorted(gallery.camera_names.values()) == sorted([GATE, DOOR])
