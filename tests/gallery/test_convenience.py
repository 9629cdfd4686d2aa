from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sanreid.errors import DatasetError, GalleryError, InputError
from sanreid.gallery import Gallery


class FakeEncoder:
    """Embeds an image by its name, or an array by its first values."""

    embedding_dim = 8

    def __init__(self, fingerprint="f" * 64, bad=()):
        self.fingerprint = fingerprint
        self.bad = bad
        self.options = None

    def encode(self, images, **options):
        self.options = options
        if isinstance(images, (str, bytes, Path)) or getattr(images, "ndim", 0) == 3:
            images = [images]
        return np.stack([self._embed(image) for image in images])

    def encode_files(self, paths, *, on_error="raise"):
        good = [path for path in paths if Path(path).name not in self.bad]
        if len(good) < len(paths) and on_error == "raise":
            raise ValueError("bad file")
        failures = [(path, "bad") for path in paths if path not in good]
        return SimpleNamespace(embeddings=self.encode(good), paths=good, failures=failures)

    @staticmethod
    def _embed(image):
        if isinstance(image, np.ndarray):
            row = image.reshape(-1)[:8].astype(np.float32) + 1
        else:
            digest = hashlib.sha256(str(image).encode()).digest()
            row = np.frombuffer(digest[:8], np.uint8).astype(np.float32) - 100
        return row / np.linalg.norm(row)


@pytest.fixture
def folder(tmp_path):
    for name in ("anna/c1_1.jpg", "anna/c2_2.jpg", "bert/c1_1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_from_folder_reads_people_from_sub_folders(folder):
    gallery = Gallery.from_folder(FakeEncoder(), folder)
    assert len(gallery) == 3
    assert [entry.pid for entry in gallery.get(gallery.ids)] == ["anna", "anna", "bert"]
    assert [entry.camid for entry in gallery.get(gallery.ids)] == [1, 2, 1]
    assert gallery.find({"path": str(folder / "bert/c1_1.png")}).tolist() == [2]
    assert gallery.encoder_fingerprint == "f" * 64


def test_from_folder_passes_options_and_leaves_out_failures(folder, caplog):
    gallery = Gallery.from_folder(
        FakeEncoder(bad={"c2_2.jpg"}), folder, names="folders", on_error="collect"
    )
    assert [entry.pid for entry in gallery.get(gallery.ids)] == ["anna", "bert"]
    assert caplog.messages[-1].startswith("1 file is left out, which could not be read; the first")


def test_from_folder_knows_names_of_data_sets(tmp_path):
    for name in ("0007_c2s1_000151_01.jpg", "-1_c1s1_000151_02.jpg", "0000_c3s1_000001_00.jpg"):
        (tmp_path / name).write_bytes(b"")
    gallery = Gallery.from_folder(FakeEncoder(), tmp_path)
    entries = gallery.get(gallery.find({"pid": {"$ne": None}}))
    assert [(entry.pid, entry.camid) for entry in entries if entry.pid == 7] == [(7, 2)]
    assert -1 not in [entry.pid for entry in entries]


def test_from_folder_takes_numbers_for_people_who_are_named_by_them(tmp_path):
    for name in ("0007/a.jpg", "12/a.jpg", "-1/a.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    gallery = Gallery.from_folder(FakeEncoder(), tmp_path)
    entries = gallery.get(gallery.ids)
    assert {Path(e.metadata["path"]).parent.name: e.pid for e in entries} == {
        "0007": 7, "12": 12, "-1": None,
    }  # fmt: skip


def test_from_an_empty_folder(tmp_path):
    with pytest.raises(DatasetError):
        Gallery.from_folder(FakeEncoder(), tmp_path)


def test_add_images_keeps_paths_and_own_metadata(tmp_path):
    gallery, encoder = Gallery(8), FakeEncoder()
    array = np.zeros((4, 4, 3), np.uint8)
    ids = gallery.add_images(
        encoder,
        ["a.jpg", Path("b.jpg"), array],
        pids=[1, 2, 3],
        metadata=[{"x": 1}, {"path": "mine"}, None],
        flip=True,
    )
    assert [entry.metadata for entry in gallery.get(ids)] == [
        {"path": "a.jpg", "x": 1},
        {"path": "mine"},
        {},
    ]
    assert encoder.options == {"flip": True}
    assert gallery.encoder_fingerprint == encoder.fingerprint


def test_files_that_cannot_be_read_are_left_out_with_their_values(caplog):
    gallery, encoder = Gallery(8), FakeEncoder(bad={"b.jpg"})
    ids = gallery.add_images(
        encoder,
        ["a.jpg", Path("b.jpg"), "c.jpg"],
        pids=np.array([1, 2, 3]),
        metadata=[{"x": 1}, {"x": 2}, None],
        on_error="collect",
    )
    entries = gallery.get(ids)
    assert [entry.pid for entry in entries] == [1, 3]
    assert caplog.messages[0].startswith(
        "1 file is left out, which could not be read; the first is b"
    )
    assert [entry.metadata for entry in entries] == [{"path": "a.jpg", "x": 1}, {"path": "c.jpg"}]
    with pytest.raises(InputError, match="pids must have one value per row: 1 rows, 2 values"):
        gallery.add_images(encoder, ["a.jpg", "b.jpg", "b.jpg"], pids=[1, 2], on_error="collect")
    with pytest.raises(InputError, match="pids must be a sequence"):
        gallery.add_images(encoder, ["a.jpg", "b.jpg"], pids="ab", on_error="collect")


@pytest.mark.parametrize(
    "column",
    [
        np.array(["a.jpg", "b.jpg", "c.jpg"]),
        pd.Series(["a.jpg", "b.jpg", "c.jpg"], index=[7, 8, 9]),
        pd.Series([Path("a.jpg"), Path("b.jpg"), Path("c.jpg")]),
        pa.array(["a.jpg", "b.jpg", "c.jpg"]),
    ],
    ids=["array", "series", "paths", "arrow"],
)
def test_a_column_of_paths_is_paths(column):
    gallery, encoder = Gallery(8), FakeEncoder(bad={"b.jpg"})
    ids = gallery.add_images(encoder, column, pids=[1, 2, 3], on_error="collect")
    entries = gallery.get(ids)
    assert [(entry.pid, entry.metadata["path"]) for entry in entries] == [
        (1, "a.jpg"),
        (3, "c.jpg"),
    ]


def test_no_files_are_no_entries_and_what_is_no_file_has_no_on_error(tiny_encoder, crop):
    gallery = Gallery(16)
    assert len(gallery.add_images(tiny_encoder, [], pids=[], on_error="collect")) == 0
    with pytest.raises(InputError, match="on_error is for files"):
        gallery.add_images(tiny_encoder, [crop], on_error="collect")


def test_several_images_in_one_array_or_none():
    class Stacks(FakeEncoder):
        def encode(self, images, **options):
            return super().encode(list(images), **options)

    gallery = Gallery(8)
    gallery.add_images(Stacks(), np.zeros((3, 4, 4, 3), np.uint8), pids=[1, 2, 3])
    assert len(gallery) == 3


def test_one_image_and_generators():
    gallery, encoder = Gallery(8), FakeEncoder()
    gallery.add_images(encoder, "a.jpg", pids=[1])
    gallery.add_images(encoder, np.zeros((4, 4, 3), np.uint8))
    gallery.add_images(encoder, (f"{name}.jpg" for name in "bc"))
    paths = [entry.metadata.get("path") for entry in gallery.get(gallery.ids)]
    assert paths == ["a.jpg", None, "b.jpg", "c.jpg"]


def test_search_images():
    gallery, encoder = Gallery(8), FakeEncoder()
    gallery.add_images(encoder, ["a.jpg", "b.jpg"], pids=["a", "b"])
    result = gallery.search_images(encoder, "b.jpg", k=1, where={"pid": {"$in": ["a", "b"]}})
    assert result.pids.tolist() == [["b"]]


def test_another_encoder_is_refused_before_it_works():
    gallery = Gallery(8, encoder_fingerprint="f" * 64)
    other = FakeEncoder("0" * 64)
    with pytest.raises(GalleryError, match="encoder ffffffffffff; these come from 000000000000"):
        gallery.add_images(other, ["a.jpg"])
    with pytest.raises(GalleryError, match="these come from 000000000000"):
        gallery.search_images(other, ["a.jpg"])
    assert other.options is None


@pytest.mark.parametrize("metadata", [{"a": 1}, [{}]])
def test_metadata_must_be_one_dict_an_image(metadata):
    with pytest.raises(InputError, match="one dict per image: 2 images"):
        Gallery(8).add_images(FakeEncoder(), ["a.jpg", "b.jpg"], metadata=metadata)


def test_metadata_of_other_kinds_is_refused_by_its_row():
    gallery = Gallery(8)
    with pytest.raises(InputError, match="must be a dict or None; row 1 is 'x'"):
        gallery.add_images(FakeEncoder(), ["a.jpg", "b.jpg"], metadata=[{}, "x"])
    with pytest.raises(InputError, match="one dict per image: 2 images"):
        gallery.add_images(FakeEncoder(), ["a.jpg", "b.jpg"], metadata=3)
    ids = gallery.add_images(FakeEncoder(), ["a.jpg"], metadata=({"n": n} for n in [5]))
    assert gallery.get(ids)[0].metadata == {"path": "a.jpg", "n": 5}
