"""Galleries that an earlier version wrote: opened, verified, searched and continued."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sanreid.gallery import Gallery
from tests.gallery.storage.test_save_load import contents

WRITTEN = Path(__file__).parent / "written_before"
ROWS = np.random.default_rng(12).standard_normal((30, 4)).astype(np.float32)


def expected(name):
    """The same life in memory."""
    gallery = Gallery(4, encoder_fingerprint="ab" * 32)
    gallery.add(
        ROWS[:10],
        pids=[7, "7", "anna", None, -5] * 2,
        camids=[1, 2, None, 4, 5] * 2,
        timestamps=[None, 1.5, -2, 0, 1e9] * 2,
        metadata=[{"path": f"{n}.jpg", "deep": {"x": [n, None, True]}} for n in range(9)] + [None],
    )
    for number in range(10, 20):
        gallery.add(ROWS[number : number + 1], pids=[number])
    gallery.update([3], pids=["new"])
    gallery.update([4], [ROWS[25]])
    gallery.remove([0, 11])
    if name == "merged":
        gallery.add(ROWS[28:], pids=["late", None])
    return gallery


@pytest.mark.parametrize("name", ["plain", "merged"])
@pytest.mark.parametrize("mode", ["r", "rw"])
def test_a_gallery_of_the_version_before(tmp_path, name, mode):
    shutil.copytree(WRITTEN / name, tmp_path / "g")
    twin = expected(name)
    with Gallery.open(tmp_path / "g", mode=mode) as gallery:
        gallery.verify()
        assert contents(gallery) == contents(twin)
        assert gallery.encoder_fingerprint == "ab" * 32
        found, true = (
            one.search(ROWS[:6], k=5, where={"pid": {"$ne": None}}) for one in (gallery, twin)
        )
        np.testing.assert_array_equal(found.ids, true.ids)
        np.testing.assert_array_equal(found.similarities, true.similarities)
        if mode == "rw":
            assert gallery.add(ROWS[:1]).tolist() == twin.add(ROWS[:1]).tolist()
            gallery.compact()
            gallery.verify()
            assert contents(gallery) == contents(twin)


def test_many_commits_of_the_version_before_become_one(tmp_path, monkeypatch):
    monkeypatch.setattr("sanreid.gallery.storage.directory_store.MANY_COMMITS", 5)
    shutil.copytree(WRITTEN / "plain", tmp_path / "g")
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery._store._log.num_commits == 1
        gallery.verify()
        assert contents(gallery) == contents(expected("plain"))
