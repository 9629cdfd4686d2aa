from __future__ import annotations

import numpy as np
import pytest

from sanreid.errors import GalleryError, InputError
from sanreid.gallery import Gallery
from tests.gallery.storage.test_save_load import contents, lived_in

TRACKS = ["a", 7, "a", 7, "b"]
ROWS = np.array([[1, 0], [0, 1], [0, 1], [0, 2], [-1, 0]], dtype=float)


def test_an_export_is_read_back_whole(tmp_path):
    gallery = lived_in()
    gallery.export(tmp_path / "g.npz")
    other = Gallery(6)
    ids = other.import_from(tmp_path / "g.npz")
    assert sorted(ids.tolist()) == gallery.ids.tolist()
    assert contents(other) == contents(gallery)
    assert other.encoder_fingerprint == gallery.encoder_fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["g.npz"]
    with pytest.raises(InputError, match="in the gallery already"):
        other.import_from(tmp_path / "g.npz")
    assert other.import_from(tmp_path / "g.npz", keep_ids=False)[0] == 39
    with pytest.raises(GalleryError, match="of the encoder cccc"):
        Gallery(6, encoder_fingerprint="cccc").import_from(tmp_path / "g.npz")


def test_an_empty_gallery_is_exported(tmp_path):
    Gallery(3).export(tmp_path / "g.npz")
    gallery = Gallery(3)
    assert gallery.import_from(tmp_path / "g.npz").tolist() == []
    assert gallery.encoder_fingerprint is None


def test_plain_files_of_embeddings_are_read(tmp_path):
    np.savez(tmp_path / "e.npz", embeddings=np.eye(3), paths=["a.jpg", "b.jpg", "c.jpg"])
    gallery = Gallery(3)
    gallery.import_from(tmp_path / "e.npz")
    assert gallery.find({"path": "b.jpg"}).tolist() == [1]
    np.savez(
        tmp_path / "p.npz", embeddings=np.eye(3), pids=[4, 5, 6], camids=[1, 2, 3],
        timestamps=[0.5, np.nan, 1],
    )  # fmt: skip
    entries = gallery.get(gallery.import_from(tmp_path / "p.npz"))
    assert [(e.pid, e.camid, e.timestamp) for e in entries] == [
        (4, 1, 0.5), (5, 2, None), (6, 3, 1.0),
    ]  # fmt: skip


def test_the_encoder_of_an_embedded_file_is_kept(tmp_path):
    np.savez(tmp_path / "e.npz", embeddings=np.eye(3), fingerprint=np.array("abc"))
    gallery = Gallery(3)
    gallery.import_from(tmp_path / "e.npz")
    assert gallery.encoder_fingerprint == "abc"
    with pytest.raises(GalleryError, match="of the encoder other"):
        Gallery(3, encoder_fingerprint="other").import_from(tmp_path / "e.npz")


def test_long_metadata_does_not_widen_every_row(tmp_path):
    gallery = Gallery(2)
    metadata = [{"crops": ["x" * 100_000]}, *[{"n": row} for row in range(999)]]
    gallery.add(np.ones((1000, 2)), metadata=metadata)
    gallery.export(tmp_path / "g.npz")
    assert (tmp_path / "g.npz").stat().st_size < 300_000
    again = Gallery(2)
    assert [e.metadata for e in again.get(again.import_from(tmp_path / "g.npz"))] == metadata


def test_metadata_as_a_column_is_read(tmp_path):
    texts = np.array([b'{"n": 1}', b"{}"], dtype=np.bytes_)
    np.savez(tmp_path / "c.npz", embeddings=np.eye(2), metadata=texts)
    gallery = Gallery(2)
    assert gallery.get(gallery.import_from(tmp_path / "c.npz"))[0].metadata == {"n": 1}


@pytest.mark.parametrize("ends", [[8, 9], [8, 11], [-1, 10], [9, 8]])
def test_texts_that_end_elsewhere_are_refused(tmp_path, ends):
    blob = np.frombuffer(b'{"n": 1}{}', dtype=np.uint8)
    np.savez(tmp_path / "b.npz", embeddings=np.eye(2), metadata=blob, metadata_ends=ends)
    with pytest.raises(GalleryError, match="is not a file of exported entries"):
        Gallery(2).import_from(tmp_path / "b.npz")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", x=np.eye(2))
    np.savez(tmp_path / "pickle.npz", embeddings=np.array([{}], dtype=object))
    for name in ("text.npz", "other.npz", "pickle.npz", "missing.npz"):
        with pytest.raises(GalleryError, match="is not a file of exported entries"):
            Gallery(2).import_from(tmp_path / name)
    for call in (Gallery(2).export, Gallery(2).import_from):
        with pytest.raises(InputError, match=r"must end in \.npz"):
            call(tmp_path / "g.csv")
    with pytest.raises(GalleryError, match="cannot be written"):
        Gallery(2).export(tmp_path / "no" / "g.npz")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no archive", "it is a text file that begins with 'no archive'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (b"\x80\x04\x95\x00", "it is not a zip archive of arrays"),
    ],
)
def test_what_is_no_archive_is_called_so_and_never_unpickled(tmp_path, content, told):
    (tmp_path / "g.npz").write_bytes(content)
    with pytest.raises(GalleryError, match=told) as caught:
        Gallery(2).import_from(tmp_path / "g.npz")
    assert "pickle" not in str(caught.value)


def test_a_cut_file_is_refused(tmp_path):
    lived_in().export(tmp_path / "g.npz")
    raw = (tmp_path / "g.npz").read_bytes()
    for size in range(0, len(raw), 211):
        (tmp_path / "g.npz").write_bytes(raw[:size])
        with pytest.raises(GalleryError, match="is not a file of exported entries"):
            Gallery(6).import_from(tmp_path / "g.npz")


def test_packed_files_with_wrong_bytes_are_refused(tmp_path):
    path, rng = tmp_path / "g.npz", np.random.default_rng(0)
    np.savez_compressed(path, embeddings=np.eye(6))
    raw = path.read_bytes()
    for place in range(0, len(raw), 3):
        damaged = bytearray(raw)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            Gallery(6).import_from(path)  # a date, say, may be anything
        except GalleryError as error:
            assert "is not a file of exported entries" in str(error)  # noqa: PT017 - or none


def test_tracklets_are_pooled_and_linked():
    gallery = Gallery(2)
    ids = gallery.add_tracklets(
        ROWS,
        TRACKS,
        pids=[1, 2, 1, 2, None],
        camids=[3, 4, 3, 4, None],
        timestamps=[5.0, None, 4.0, None, 1.0],
        metadata=[{"path": "0.jpg"}, None, {"path": "2.jpg"}, None, None],
    )
    first, second, third = gallery.get(ids)
    np.testing.assert_allclose(first.embedding, [np.sqrt(0.5)] * 2, atol=1e-7)
    np.testing.assert_allclose(second.embedding, [0, 1], atol=1e-7)
    assert (first.pid, first.camid, first.timestamp) == (1, 3, 4.0)
    assert (second.pid, second.camid, second.timestamp) == (2, 4, None)
    assert (third.pid, third.camid, third.timestamp) == (None, None, 1.0)
    assert first.metadata == {
        "tracklet": "a",
        "crops": [{"path": "0.jpg", "timestamp": 5.0}, {"path": "2.jpg", "timestamp": 4.0}],
    }
    assert gallery.find({"tracklet": 7}).tolist() == [1]
    assert second.metadata["crops"] == [{}, {}]


def test_tracklets_weighted_by_quality():
    gallery = Gallery(2)
    gallery.add_tracklets(ROWS, np.array([0, 1, 0, 1, 2]), quality=[3, 1, 4, 0, 1])
    np.testing.assert_allclose(gallery.get(0)[0].embedding, [0.6, 0.8], atol=1e-7)
    assert gallery.find({"tracklet": 2}).tolist() == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tracklet_names": TRACKS[:4]}, "tracklets must have one value per row: 5 rows"),
        ({"tracklet_names": "abcde"}, "tracklets must be a sequence with one value per row"),
        ({"tracklet_names": ["a", 1.5, "a", "b", "c"]}, "tracklets must be int or str; row 1"),
        ({"pids": [1, 2, "1", 2, 3]}, "The tracklet 'a' has several pids: 1, '1'"),
        ({"camids": [1, 2, 1, 3, 3]}, "The tracklet 7 has several camids: 2, 3"),
        ({"quality": [1, 1]}, "quality must have one value per row"),
        ({"quality": [1, 1, 1, 1, -1]}, "quality must be finite and at least 0; row 4 is -1"),
        ({"quality": [1, 1, float("inf"), 1, 1]}, "quality must be finite .* row 2 is inf"),
        ({"quality": [0, 1, 0, 1, 1]}, "The tracklet 'a' has no direction"),
        ({"tracklet_names": ["a", "b", "b", "b", "a"]}, "The tracklet 'a' has no direction"),
    ],
)
def test_bad_tracklets_change_nothing(arguments, message):
    gallery = Gallery(2)
    with pytest.raises(InputError, match=message):
        gallery.add_tracklets(ROWS, **{"tracklet_names": TRACKS, **arguments})
    assert len(gallery) == 0
