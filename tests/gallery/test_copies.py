from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery


@pytest.fixture
def gallery():
    gallery = Gallery(4, index="ivf", encoder_fingerprint="aa")
    gallery.add(
        np.eye(4),
        pids=[7, "7", None, 7],
        camids=[1, None, 2, 1],
        timestamps=[0.5, None, 3, 4],
        metadata=[{"path": "a.jpg"}, None, {"x": [1]}, None],
        ids=[3, 9, 5, 20],
    )
    gallery.remove([20])
    rows = np.repeat(np.eye(4), 2, axis=0) + 0.1
    gallery.calibrate(rows, np.repeat(range(4), 2), false_match_rate=0.1)
    return gallery


COPIES = {
    "pickle": lambda gallery: pickle.loads(pickle.dumps(gallery)),
    "oldest protocol": lambda gallery: pickle.loads(pickle.dumps(gallery, protocol=2)),
    "deepcopy": copy.deepcopy,
    "in a dict": lambda gallery: copy.deepcopy({"gallery": gallery})["gallery"],
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_gallery_in_memory_is_equal_and_its_own(gallery, copied):
    other = copied(gallery)
    assert repr(other.get(other.ids)) == repr(gallery.get(gallery.ids))
    np.testing.assert_array_equal(
        [entry.embedding for entry in other.get([3, 9, 5])],
        [entry.embedding for entry in gallery.get([3, 9, 5])],
    )
    assert other.stats() == gallery.stats() | {"removed_rows": 0, "vector_bytes": 3 * 4 * 4}
    assert other.calibration == gallery.calibration
    assert other.add(np.eye(4)[:1]).tolist() == [21]  # ids go on where the first one's do
    other.update([3], np.eye(4)[3:])
    other.remove([9])
    assert gallery.ids.tolist() == [3, 5, 9]
    assert gallery.search(np.eye(4)[0], k=1).ids.tolist() == [[3]]


def test_an_empty_gallery_is_copied():
    assert len(copy.deepcopy(Gallery(3))) == 0


def test_a_subclass_stays_one():
    assert type(copy.deepcopy(Own(3))) is Own


class Own(Gallery):
    """A user's own."""


@pytest.mark.parametrize("mode", ["rw", "r"])
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_stored_gallery_says_how_to_share_it(tmp_path, copied, mode):
    Gallery.open(tmp_path / "g", dim=4).close()
    with Gallery.open(tmp_path / "g", mode=mode) as stored:
        with pytest.raises(GalleryError, match="cannot be pickled or copied. Pass its path"):
            copied(stored)
        assert len(stored) == 0
