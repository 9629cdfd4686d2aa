from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sanreid.errors import InputError
from sanreid.gallery import Gallery

EYE = np.eye(3, dtype=np.float32)


@pytest.fixture
def gallery():
    gallery = Gallery(3)
    gallery.add(
        EYE,
        pids=[7, "anna", None],
        camids=[1, None, 2],
        timestamps=[0.5, None, 3],
        metadata=[{"path": "a.jpg", "box": {"w": 4, "h": 2}}, None, {"pid": "x", "n": 1.5}],
        ids=[4, 9, 5],
    )
    return gallery


def test_to_pandas_has_one_row_per_entry(gallery):
    frame = gallery.to_pandas()
    assert list(frame.columns) == [
        "id", "pid", "camid", "timestamp", "path", "box.w", "box.h", "metadata.pid", "n",
    ]  # fmt: skip
    assert frame["id"].tolist() == [4, 9, 5]
    assert frame["pid"].tolist() == [7, "anna", None]
    assert frame["camid"].tolist() == [1, None, 2]
    assert frame["timestamp"].isna().tolist() == [False, True, False]
    assert frame["path"].fillna("").tolist() == ["a.jpg", "", ""]
    assert frame["box.w"].dropna().tolist() == [4]
    assert frame["metadata.pid"].fillna("").tolist() == ["", "", "x"]
    assert gallery.find({"box.w": 4}).tolist() == [4]  # the names are those of filters
    assert list(Gallery(2).to_pandas().columns) == ["id", "pid", "camid", "timestamp"]


def test_what_to_pandas_returns_is_read_back(gallery):
    frame = gallery.to_pandas(embeddings=np.bool_(True))
    again = Gallery.from_dataframe(frame)
    assert again.ids.tolist() == [4, 5, 9]
    for one, other in zip(gallery.get([4, 9, 5]), again.get([4, 9, 5]), strict=True):
        np.testing.assert_array_equal(one.embedding, other.embedding)
        assert (one.pid, one.camid, one.timestamp) == (other.pid, other.camid, other.timestamp)
    assert again.get([4])[0].metadata == {"path": "a.jpg", "box.w": 4, "box.h": 2}


def test_whole_numbers_beside_others_keep_their_digits():
    gallery = Gallery(2)
    gallery.add(np.eye(2), metadata=[{"x": 2**60 + 1}, {"x": 0.5}])
    again = Gallery.from_dataframe(gallery.to_pandas(embeddings=True))
    found = [entry.metadata["x"] for entry in again.get([0, 1])]
    assert found == [2**60 + 1, 0.5]
    assert type(found[0]) is int


def test_names_and_whole_numbers_of_metadata_come_back():
    gallery = Gallery(3)
    gallery.add(EYE, metadata=[{"pid": "x", "embedding": 2**60 + 1}, {"n": 2**60 + 1}, None])
    again = Gallery.from_dataframe(gallery.to_pandas(embeddings=True))
    for one, other in zip(gallery.get([0, 1, 2]), again.get([0, 1, 2]), strict=True):
        assert other.metadata == one.metadata
    assert again.find({"metadata.pid": "x"}).tolist() == [0]


@pytest.mark.parametrize(
    "rows", [list(EYE), EYE.tolist(), list(torch.eye(3)), [pd.Series(row) for row in EYE]]
)
def test_embeddings_of_a_column(rows):
    frame = pd.DataFrame(
        {
            "vector": pd.Series(rows, index=[5, 3, 4]),
            "pid": pd.Series([1, None, 2], index=[5, 3, 4]),
            "timestamp": pd.Series(
                pd.to_datetime(["2024-01-01T00:00Z", None, "2024-01-01T00:01Z"]), index=[5, 3, 4]
            ),
            "site": pd.Series(["north", None, "south"], index=[5, 3, 4]),
        }
    )
    gallery = Gallery.from_dataframe(frame, embedding="vector", index="flat")
    assert [entry.pid for entry in gallery.get([0, 1, 2])] == [1, None, 2]
    assert [entry.timestamp for entry in gallery.get([0, 1, 2])] == [1704067200, None, 1704067260]
    assert [entry.metadata for entry in gallery.get([0, 1, 2])] == [
        {"site": "north"}, {}, {"site": "south"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (EYE, "frame must be a pandas DataFrame; got ndarray"),
        (None, "frame must be a pandas DataFrame; got NoneType"),
        (pd.DataFrame({"a": [1]}), "no column 'embedding' of embeddings; its columns are a"),
        (pd.DataFrame({"embedding": []}), "has no rows"),
        (pd.DataFrame({"embedding": [[1, 2], [1]]}), "embeddings cannot be read"),
        (pd.DataFrame({"embedding": ["a", "b"]}), "embeddings must be numbers"),
        (pd.DataFrame({"embedding": [[1, 2]], "pid": [1.5]}), "pids must be int, str or None"),
        (pd.DataFrame([[1, 2]], columns=["embedding", "embedding"]), "have one name"),
        (pd.DataFrame([[[1, 2], 3, 4]], columns=["embedding", 5, "5"]), "have one name"),
    ],
)
def test_bad_frames(frame, message):
    with pytest.raises(InputError, match=message):
        Gallery.from_dataframe(frame)


def test_a_person_is_where_and_when_they_were_seen():
    gallery = Gallery(2)
    gallery.add(
        [[1, 0], [1, 0.2], [1, 0.4], [0, 1]],
        pids=["anna", "anna", "anna", 3],
        camids=[2, None, 1, 1],
        timestamps=[50, None, 20, 1],
    )
    anna = gallery.person("anna")
    assert (anna.pid, len(anna), anna.ids.tolist()) == ("anna", 3, [0, 1, 2])
    assert anna.camids == (1, 2)
    assert (anna.first_seen, anna.last_seen) == (20, 50)
    assert anna.best.id == 1  # the one in the middle
    assert gallery.person(3).first_seen == 1
    gallery.update([3], timestamps=[None])
    assert gallery.person(3).first_seen is None
    for nobody in ("bert", 7, None):
        with pytest.raises(InputError, match="has no entries of the person"):
            gallery.person(nobody)
