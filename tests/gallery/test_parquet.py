"""Entries to Parquet and back; shards of embeddings into a gallery."""

from __future__ import annotations

import numpy as np
import pytest

import sanreid
from sanreid.errors import GalleryError, InputError
from sanreid.gallery.exchange import parquet as exchange
from sanreid.utils.shards import ShardRow, ShardWriter

pytest.importorskip("pyarrow")
DIM = 6


@pytest.fixture
def gallery():
    made = sanreid.Gallery(DIM, encoder_fingerprint="abc")
    made.add(
        np.random.default_rng(0).standard_normal((5, DIM)),
        pids=[7, "7", "anna", None, -3],
        camids=[1, None, 0, 2, -4],
        timestamps=[1.5, None, 0.0, 2.0, 3.0],
        metadata=[{"path": "a.jpg"}, None, {"floor": 2, "tags": ["x"]}, {}, {"path": "b.jpg"}],
        ids=[3, 5, 8, 9, 100],
    )
    return made


def contents(gallery):
    return [
        (e.id, e.pid, e.camid, e.timestamp, e.metadata, e.embedding.tolist())
        for e in gallery.get(gallery.ids)
    ]


def test_what_is_exported_comes_back(gallery, tmp_path):
    gallery.export(tmp_path / "g.parquet")
    copy = sanreid.Gallery(DIM)
    assert copy.import_from(tmp_path / "g.parquet").tolist() == [3, 5, 8, 9, 100]
    assert copy.encoder_fingerprint == "abc"
    for got, wanted in zip(contents(copy), contents(gallery), strict=True):
        assert got[:5] == wanted[:5]
        np.testing.assert_allclose(got[5], wanted[5], atol=1e-6)


def test_a_second_import_adds_nothing(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "_BATCH", 2)
    gallery.export(tmp_path / "g.parquet")
    copy = sanreid.Gallery(DIM)
    copy.add(np.eye(1, DIM), ids=[8])  # as if an import had been interrupted
    assert copy.import_from(tmp_path / "g.parquet").tolist() == [3, 5, 9, 100]
    assert copy.import_from(tmp_path / "g.parquet").tolist() == []


def test_new_ids_are_assigned_on_demand(gallery, tmp_path):
    gallery.export(tmp_path / "g.parquet")
    copy = sanreid.Gallery(DIM)
    assert copy.import_from(tmp_path / "g.parquet", keep_ids=False).tolist() == [0, 1, 2, 3, 4]


def test_crops_of_one_path_are_all_imported_with_new_ids(tmp_path):
    gallery = sanreid.Gallery(DIM)
    gallery.add(np.eye(3, DIM), metadata=[{"path": "frame.jpg"}] * 3)
    gallery.export(tmp_path / "g.parquet")
    assert gallery.import_from(tmp_path / "g.parquet", keep_ids=False).tolist() == [3, 4, 5]


def write_shards(folder, rows, *, fingerprint="f"):
    writer = ShardWriter(folder, fingerprint=fingerprint, dim=DIM, options={}, rows_per_shard=3)
    with writer:
        for row in rows:
            writer.add(row)


def test_shards_are_read_and_their_failures_left_out(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        ShardRow(f"{n}.jpg", rng.standard_normal(DIM).astype(np.float32), None, pid, camid)
        for n, (pid, camid) in enumerate([(7, 1), ("anna", None), (None, 2), ("0012", 0)])
    ]
    write_shards(tmp_path / "s", [*rows, ShardRow("bad.jpg", None, "no picture")])
    gallery = sanreid.Gallery(DIM)
    assert len(gallery.import_from(tmp_path / "s")) == 4
    found = gallery.get(gallery.ids)
    assert [(e.pid, e.camid, e.metadata) for e in found] == [
        (7, 1, {"path": "0.jpg"}),
        ("anna", None, {"path": "1.jpg"}),
        (None, 2, {"path": "2.jpg"}),
        ("0012", 0, {"path": "3.jpg"}),
    ]
    assert gallery.encoder_fingerprint == "f"
    assert len(gallery.import_from(str(tmp_path / "s" / "*.parquet"))) == 0


def test_shards_that_do_not_tell_texts_from_numbers_are_read(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    row = np.ones(DIM, dtype=np.float32)
    write_shards(tmp_path / "s", [ShardRow(pid, row, pid=pid) for pid in ("7", "0012", "a7")])
    table = parquet.read_table(tmp_path / "s" / "part-00000.parquet")
    parquet.write_table(table.drop_columns(["pid_is_text"]), tmp_path / "older.parquet")
    gallery = sanreid.Gallery(DIM)
    entries = gallery.get(gallery.import_from(tmp_path / "older.parquet"))
    assert [entry.pid for entry in entries] == [7, 12, "a7"]


def test_a_path_that_stands_twice_is_added_once_and_told(tmp_path, caplog):
    one = np.ones(DIM, dtype=np.float32)
    write_shards(tmp_path / "s", [ShardRow("a.jpg", one), ShardRow("a.jpg", one)])
    gallery = sanreid.Gallery(DIM)
    assert len(gallery.import_from(tmp_path / "s")) == 1
    (message,) = caplog.messages
    assert message.startswith("1 rows of ")


def test_embeddings_of_another_encoder_are_refused(gallery, tmp_path):
    write_shards(tmp_path / "s", [ShardRow("a.jpg", np.ones(DIM, dtype=np.float32))])
    with pytest.raises(GalleryError):
        gallery.import_from(tmp_path / "s")
    assert len(gallery) == 5


@pytest.mark.parametrize("name", ["none.parquet", "none/*.parquet"])
def test_what_is_not_there_is_an_error(gallery, tmp_path, name):
    with pytest.raises(GalleryError, match="There is no Parquet file"):
        gallery.import_from(tmp_path / name)


def test_a_damaged_file_is_an_error(gallery, tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(GalleryError, match="cannot be read as Parquet"):
        gallery.import_from(tmp_path / "x.parquet")


def test_rows_of_another_gallery_are_not_left_out_in_silence(gallery, tmp_path, caplog):
    gallery.export(tmp_path / "g.parquet")
    copy = sanreid.Gallery(DIM)
    copy.import_from(tmp_path / "g.parquet")
    assert copy.import_from(tmp_path / "g.parquet").tolist() == []
    assert caplog.messages == []
    other = sanreid.Gallery(DIM)
    other.add(np.eye(2, DIM), ids=[5, 8])
    assert other.import_from(tmp_path / "g.parquet").tolist() == [3, 9, 100]
    (message,) = caplog.messages
    assert message.startswith(
        "2 rows are left out: the gallery has entries of their ids, the first 5"
    )


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"metadata": ["[1]", "{}"]}, GalleryError, r"metadata are JSON objects; got \[1\]"),
        ({"metadata": ["null", "{}"]}, GalleryError, "metadata are JSON objects; got None"),
        (
            {"pid": ["anna", "1"], "pid_is_text": [False, True]},
            GalleryError,
            "is no number: .*'anna'",
        ),
        ({"fingerprint": [["a"], ["b"]]}, GalleryError, r"a fingerprint is \['a'\], not text"),
        ({"fingerprint": ["a", "b"]}, GalleryError, "holds embeddings of 2 encoders"),
        ({"pid": [1.5, 2.0], "pid_is_text": [False, False]}, InputError, "row 0 is 1.5"),
        ({"id": [1, 1]}, InputError, "ids must differ"),
        ({"id": [[1], [2]]}, InputError, "ids must be ints"),
    ],
)
def test_columns_of_other_kinds_are_errors(tmp_path, columns, error, message):
    pyarrow = pytest.importorskip("pyarrow")
    rows = pyarrow.array(np.eye(2, DIM).tolist(), pyarrow.list_(pyarrow.float32()))
    table = pyarrow.table({"embedding": rows, **columns})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "x.parquet")
    gallery = sanreid.Gallery(DIM)
    with pytest.raises(error, match=message):
        gallery.import_from(tmp_path / "x.parquet")
    assert len(gallery) == 0


def test_embeddings_of_one_length_are_lists_too(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    rows = [[3.0] * DIM, None, [0.0] * (DIM - 1) + [2.0]]
    for kind in (pyarrow.list_(pyarrow.float64(), DIM), pyarrow.large_list(pyarrow.float32())):
        table = pyarrow.table({"embedding": pyarrow.array(rows, kind)})
        pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "x.parquet")
        gallery = sanreid.Gallery(DIM)
        assert len(gallery.import_from(tmp_path / "x.parquet")) == 2
        np.testing.assert_allclose(gallery.get([1])[0].embedding, np.eye(DIM)[-1])
    table = pyarrow.table({"embedding": ["a", "b"]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "x.parquet")
    with pytest.raises(GalleryError, match="holds string; wanted a list of numbers"):
        gallery.import_from(tmp_path / "x.parquet")
