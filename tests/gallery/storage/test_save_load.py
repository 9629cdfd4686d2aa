from __future__ import annotations

import json

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.storage.files.records import Description


def lived_in():
    """Return a gallery after updates and removals."""
    rng = np.random.default_rng(0)
    gallery = Gallery(6, encoder_fingerprint="ab" * 32)
    gallery.add(
        rng.standard_normal((40, 6)),
        pids=[None, 3, "3", "ü🙂", -5] * 8,
        camids=[None, 1, 2, -(2**62)] * 10,
        timestamps=[None, 1.25, -1e300, 0] * 10,
        metadata=[{"path": f"{n}.jpg", "deep": {"x": [n, None, True]}} for n in range(39)]
        + [None],
    )
    gallery.update([3], pids=["new"])
    gallery.remove([5, 39])
    return gallery


def contents(gallery):
    return [
        (e.id, e.embedding.tolist(), e.pid, e.camid, e.timestamp, e.metadata)
        for e in gallery.get(gallery.ids)
    ]


def test_what_is_saved_is_what_is_loaded(tmp_path):
    gallery = lived_in()
    gallery.save(tmp_path / "g")
    loaded = Gallery.load(tmp_path / "g")
    assert contents(loaded) == contents(gallery)
    assert loaded.encoder_fingerprint == "ab" * 32
    assert loaded.dim == 6
    assert gallery.add(np.ones((1, 6))) == loaded.add(np.ones((1, 6))) == 40
    assert "in memory" in repr(loaded)


def test_an_empty_gallery_is_saved_too(tmp_path):
    Gallery(3).save(tmp_path / "g")
    assert len(Gallery.load(tmp_path / "g")) == 0
    assert Gallery.load(tmp_path / "g", encoder_fingerprint="x").encoder_fingerprint == "x"


def test_save_replaces_a_gallery_whole(tmp_path):
    lived_in().save(tmp_path / "g")
    other = Gallery(2)
    other.add([[1, 0]], pids=["only"])
    other.save(tmp_path / "g")
    loaded = Gallery.load(tmp_path / "g")
    assert [entry.pid for entry in loaded.get(loaded.ids)] == ["only"]
    assert loaded.dim == 2
    assert len(list((tmp_path / "g").glob("vectors-*"))) == 1


def test_save_makes_folders_on_the_way_and_takes_an_empty_one(tmp_path):
    lived_in().save(tmp_path / "a" / "b")
    (tmp_path / "c").mkdir()
    lived_in().save(str(tmp_path / "c"))
    assert len(Gallery.load(tmp_path / "c")) == 38
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


def test_save_never_writes_over_anything_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(GalleryError, match="not an empty folder or a gallery"):
        lived_in().save(tmp_path)
    with pytest.raises(GalleryError, match="not an empty folder or a gallery"):
        lived_in().save(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_save_waits_for_no_writer(tmp_path):
    lived_in().save(tmp_path / "g")
    with Gallery.open(tmp_path / "g") as stored:
        with pytest.raises(GalleryError, match="open for writing by process"):
            lived_in().save(tmp_path / "g")
        with pytest.raises(GalleryError, match="nothing to save"):
            stored.save(tmp_path / "g")
        stored.save(tmp_path / "copy")
    assert contents(Gallery.load(tmp_path / "copy")) == contents(lived_in())


def test_load_refuses_what_is_not_a_gallery(tmp_path):
    with pytest.raises(GalleryError, match="There is no gallery at"):
        Gallery.load(tmp_path / "nothing")
    with pytest.raises(GalleryError, match="There is no gallery at"):
        Gallery.load(tmp_path)
    (tmp_path / "gallery.json").write_text('{"format": "other"}')
    with pytest.raises(GalleryError, match="not the description of a sanreid gallery"):
        Gallery.load(tmp_path)
    (tmp_path / "gallery.json").write_text("[" * 100_000)
    with pytest.raises(GalleryError, match="not the description"):
        Gallery.load(tmp_path)


def test_another_encoders_gallery_is_refused(tmp_path):
    lived_in().save(tmp_path / "g")
    with pytest.raises(GalleryError, match="encoder abababababab; these come from cccccccccccc"):
        Gallery.load(tmp_path / "g", encoder_fingerprint="c" * 64)


def test_a_newer_format_is_named(tmp_path, monkeypatch):
    lived_in().save(tmp_path / "g")
    path = tmp_path / "g" / "gallery.json"
    described = Description.from_bytes(path.read_bytes(), path)
    monkeypatch.setattr("sanreid.gallery.storage.files.records.FORMAT_VERSION", 2)
    newer = described.to_bytes()
    monkeypatch.undo()
    path.write_bytes(newer)
    with pytest.raises(GalleryError, match="format 2; this sanreid reads formats up to 1"):
        Gallery.load(tmp_path / "g")


def test_an_edited_description_is_refused(tmp_path):
    lived_in().save(tmp_path / "g")
    path = tmp_path / "g" / "gallery.json"
    fields = json.loads(path.read_text())
    for change in ({"dim": 3}, {"dim": "6"}, {"generation": 9}, {"format_version": "1"}):
        path.write_text(json.dumps({**fields, **change}))
        with pytest.raises(GalleryError, match="damaged: its checksum does not agree"):
            Gallery.load(tmp_path / "g")


@pytest.mark.parametrize("kind", ["log", "f32"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "delete"])
def test_damage_is_found_on_loading(tmp_path, kind, how):
    lived_in().save(tmp_path / "g")
    (path,) = (tmp_path / "g").glob(f"*.{kind}")
    raw = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
    else:
        raw[len(raw) - 20] ^= 4
        path.write_bytes({"flip": raw, "cut": raw[:-3], "empty": b""}[how])
    with pytest.raises(GalleryError, match="damaged|cut short|lacks a file"):
        Gallery.load(tmp_path / "g")


def test_files_of_two_galleries_do_not_mix(tmp_path):
    for name in "ab":
        lived_in().save(tmp_path / name)
    for pattern in ("*.log",):
        (one,), (other,) = (tmp_path / "a").glob(pattern), (tmp_path / "b").glob(pattern)
        one.write_bytes(other.read_bytes())
        with pytest.raises(GalleryError, match="belongs to another gallery"):
            Gallery.load(tmp_path / "a")
