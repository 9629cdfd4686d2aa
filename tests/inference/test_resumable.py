"""Embedding into shards: whole, resumable, each path once."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.gallery import Gallery
from sanreid.utils.shards import MANIFEST, ShardRow, ShardWriter, read_shards, shard_files
from tests.people import write_people

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def crops(tmp_path):
    return write_people(tmp_path / "crops", identities=4, cameras=3, size=(64, 32))


def rows(directory):
    """All rows of a directory, by path; no path may stand twice."""
    found = {}
    for columns in read_shards(shard_files(directory)):
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            assert row["path"] not in found
            found[row["path"]] = row
    return found


def test_shards_hold_what_encode_files_returns(tiny_encoder, crops, tmp_path):
    done = tiny_encoder.encode_to(tmp_path / "out", [tmp_path / "crops"], rows_per_shard=5)
    assert (done.embedded, done.resumed, done.failures) == (12, 0, [])
    assert [path.name for path in shard_files(tmp_path / "out")] == [
        "part-00000.parquet", "part-00001.parquet", "part-00002.parquet",
    ]  # fmt: skip
    found, expected = rows(tmp_path / "out"), tiny_encoder.encode_files([tmp_path / "crops"])
    assert list(found) == [str(path) for path in expected.paths]
    np.testing.assert_array_equal(
        np.stack([row["embedding"] for row in found.values()]), expected.embeddings
    )
    assert {row["fingerprint"] for row in found.values()} == {tiny_encoder.fingerprint}
    assert {row["error"] for row in found.values()} == {None}


def test_bad_files_are_rows_with_their_reason(tiny_encoder, crops, tmp_path):
    (tmp_path / "crops" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    done = tiny_encoder.encode_to(tmp_path / "out", [tmp_path / "crops", tmp_path / "empty"])
    assert len(done.failures) == 2
    bad = {path: row for path, row in rows(tmp_path / "out").items() if row["error"]}
    assert sorted(bad) == sorted([str(tmp_path / "crops" / "broken.jpg"), str(tmp_path / "empty")])
    assert all(row["embedding"] is None for row in bad.values())


def test_resuming_embeds_what_is_missing_and_nothing_twice(tiny_encoder, crops, tmp_path):
    out = tmp_path / "out"
    tiny_encoder.encode_to(out, crops[:7], rows_per_shard=4)
    with pytest.raises(InputError, match="is not empty. Resume"):
        tiny_encoder.encode_to(out, crops)
    done = tiny_encoder.encode_to(out, [*crops, *crops], resume=True, rows_per_shard=4)
    assert (done.embedded, done.resumed) == (5, 7)
    assert sorted(rows(out)) == sorted(map(str, crops))
    assert tiny_encoder.encode_to(out, crops, resume=True).embedded == 0


def test_labels_are_written_beside(tiny_encoder, crops, tmp_path):
    labels = {crops[0]: (7, 2), crops[1]: ("anna", None), crops[2]: ("7", 1)}
    tiny_encoder.encode_to(tmp_path / "out", crops[:4], labels=labels)
    found = rows(tmp_path / "out")
    assert [(row["pid"], row["pid_is_text"], row["camid"]) for row in found.values()] == [
        ("7", False, 2), ("anna", True, None), ("7", True, 1), (None, False, None),
    ]  # fmt: skip


def test_people_come_into_a_gallery_as_they_were_labelled(tiny_encoder, crops, tmp_path):
    people = ["7", 7, "007", "-1"]
    labels = {path: (pid, None) for path, pid in zip(crops, people, strict=False)}
    tiny_encoder.encode_to(tmp_path / "out", crops[:4], labels=labels)
    gallery = Gallery(tiny_encoder.embedding_dim)
    entries = gallery.get(gallery.import_from(tmp_path / "out"))
    assert [entry.pid for entry in entries] == people


def test_a_directory_of_other_options_is_not_resumed(tiny_encoder, crops, tmp_path):
    tiny_encoder.encode_to(tmp_path / "out", crops[:1])
    with pytest.raises(InputError, match="was begun with options"):
        tiny_encoder.encode_to(tmp_path / "out", crops, resume=True, flip=True)


def test_embeddings_of_a_directory_come_from_one_setting(tiny_encoder, crops, tmp_path):
    out = tmp_path / "out"
    tiny_encoder.encode_to(out, crops[:1])
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["options"] == {
        "flip": False, "normalize": True, "dtype": "float32", "backend": "torch"
    }  # fmt: skip
    for name, value in (("dtype", "bfloat16"), ("backend", "onnx")):
        other = manifest | {"options": manifest["options"] | {name: value}}
        (out / MANIFEST).write_text(json.dumps(other))
        with pytest.raises(InputError, match=f"differ: {name} '{value}', not {name} '"):
            tiny_encoder.encode_to(out, crops, resume=True)
    for name in ("dtype", "backend"):  # an older one
        del manifest["options"][name]
    (out / MANIFEST).write_text(json.dumps(manifest))
    assert tiny_encoder.encode_to(out, crops, resume=True).embedded == len(crops) - 1
    assert json.loads((out / MANIFEST).read_text())["options"]["dtype"] == "float32"


def test_two_writers_do_not_share_a_directory(tmp_path, caplog, monkeypatch):
    options = {"fingerprint": "f", "dim": 2, "options": {}, "resume": True}
    with (
        ShardWriter(tmp_path / "out", **options),
        pytest.raises(InputError, match=f"out is being written by process {os.getpid()}"),
    ):
        ShardWriter(tmp_path / "out", **options)
    with pytest.raises(InputError, match="was begun with dim"):
        ShardWriter(tmp_path / "out", **options | {"dim": 3})
    with ShardWriter(tmp_path / "out", **options):
        pass

    def no_locks(_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("sanreid.utils.locks.try_lock", no_locks)
    with ShardWriter(tmp_path / "out", **options) as writer:
        writer.add(ShardRow("a.jpg", np.zeros(2, np.float32)))
    assert list(rows(tmp_path / "out")) == ["a.jpg"]
    assert "out cannot be locked" in caplog.text


def test_a_directory_of_something_else_is_left_alone(tiny_encoder, crops, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is no directory of embeddings"):
        tiny_encoder.encode_to(tmp_path / "out", crops, resume=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_shard_that_the_manifest_does_not_name_does_not_count(tiny_encoder, crops, tmp_path):
    out = tmp_path / "out"
    tiny_encoder.encode_to(out, crops, rows_per_shard=6)
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["shards"].pop()  # killed between the shard and the manifest
    (out / MANIFEST).write_text(json.dumps(manifest))
    assert tiny_encoder.encode_to(out, crops, resume=True, rows_per_shard=6).embedded == 6
    assert len(rows(out)) == 12


def test_a_damaged_shard_is_named(tiny_encoder, crops, tmp_path):
    out = tmp_path / "out"
    tiny_encoder.encode_to(out, crops)
    (out / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"part-00000.parquet cannot be read as Parquet"):
        tiny_encoder.encode_to(out, crops, resume=True)


def test_labels_may_be_given_by_text_and_by_numpy_numbers(tiny_encoder, crops, tmp_path):
    labels = {str(crops[0]): (np.int64(7), np.int32(2))}
    tiny_encoder.encode_to(tmp_path / "out", crops[:1], labels=labels)
    [row] = rows(tmp_path / "out").values()
    assert (row["pid"], row["camid"]) == ("7", 2)


@pytest.mark.parametrize(
    "label", [7, "7", (7,), (7, 1, 2), (7, "c1"), (7, 1.5), (7, 2**63), (7, True), (b"a", 1),
              (2.0, 1), ("\udcff", 1)],
)  # fmt: skip
def test_wrong_labels_are_refused_before_anything_is_written(tiny_encoder, crops, tmp_path, label):
    with pytest.raises(InputError, match=r"must be \(pid, camid\)"):
        tiny_encoder.encode_to(tmp_path / "out", crops[:1], labels={crops[0]: label})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("labels", [5, "ab", [("a.jpg", 7, 1)]])
def test_labels_are_a_mapping(tiny_encoder, crops, tmp_path, labels):
    with pytest.raises(InputError, match="labels must map paths"):
        tiny_encoder.encode_to(tmp_path / "out", crops[:1], labels=labels)


@pytest.mark.parametrize("directory", [5, None, b"out", "", "a\0b"])
def test_what_is_no_directory_is_refused(tiny_encoder, crops, directory):
    with pytest.raises(InputError, match="Expected a directory for the shards"):
        tiny_encoder.encode_to(directory, crops[:1])


def test_a_directory_that_cannot_be_made_is_named(tiny_encoder, crops, tmp_path):
    (tmp_path / "file").write_text("mine")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=f"Cannot write to {wrong}"):
            tiny_encoder.encode_to(wrong, crops[:1])


@pytest.mark.parametrize("step", ["os.fsync", "sanreid.utils.shards.atomic_write_text"])
def test_a_full_disk_is_named_and_the_row_waits_for_the_next_try(step, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with ShardWriter(tmp_path / "out", fingerprint="f", dim=2, options={}) as writer:
        writer.add(ShardRow("a.jpg", np.zeros(2, np.float32)))
        with monkeypatch.context() as patch:
            patch.setattr(step, full)
            with pytest.raises(InputError, match="out: No space left on device"):
                writer.flush()
    assert list(rows(tmp_path / "out")) == ["a.jpg"]


def test_the_home_directory_is_expanded(tiny_encoder, crops, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    done = tiny_encoder.encode_to("~/out", crops[:1])
    assert done.directory == tmp_path / "out"
    assert len(rows(done.directory)) == 1


def test_a_name_that_is_no_text_is_refused_before_anything_is_written(
    tiny_encoder, crops, tmp_path
):
    with pytest.raises(InputError, match=r"'x\\udcff.jpg' is not UTF-8"):
        tiny_encoder.encode_to(tmp_path / "out", [crops[0], "x\udcff.jpg"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "shards", [5, None, ["part-00000.parquet"], [{}], [{"file": 1}], [{"file": "../a.parquet"}]]
)
def test_a_manifest_that_lists_no_shards_is_damaged(tiny_encoder, crops, tmp_path, shards):
    out = tmp_path / "out"
    tiny_encoder.encode_to(out, crops[:1])
    manifest = json.loads((out / MANIFEST).read_text())
    (out / MANIFEST).write_text(json.dumps(manifest | {"shards": shards}))
    with pytest.raises(InputError, match="is damaged: it does not list shards"):
        tiny_encoder.encode_to(out, crops, resume=True)
    with pytest.raises(InputError, match="is damaged: it does not list shards"):
        shard_files(out)


def write_column(path, values, kind):
    table = pyarrow.table({"embedding": pyarrow.array(values, type=kind)})
    pyarrow.parquet.write_table(table, path)


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.list_(pyarrow.float32(), 3), pyarrow.list_(pyarrow.float64()),
        pyarrow.large_list(pyarrow.float16()), pyarrow.list_(pyarrow.int8(), 3),
    ],
    ids=str,
)  # fmt: skip
def test_lists_of_numbers_of_other_writers_are_read(tmp_path, kind):
    values = [[1, 2, 3], None, [4, 5, 6]]
    if kind.value_type == pyarrow.float16():
        values = [None if row is None else np.array(row, np.float16) for row in values]
    write_column(tmp_path / "a.parquet", values, kind)
    [columns] = read_shards([tmp_path / "a.parquet"])
    first, none, last = columns["embedding"]
    assert none is None
    np.testing.assert_array_equal([first, last], np.array([[1, 2, 3], [4, 5, 6]], np.float32))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a"], pyarrow.string()), ([1.0], pyarrow.float32()),
        ([["a"]], pyarrow.list_(pyarrow.string())),
        ([[[1.0]]], pyarrow.list_(pyarrow.list_(pyarrow.float32()))), ([None], pyarrow.null()),
    ],
    ids=str,
)  # fmt: skip
def test_a_column_of_something_else_is_named(tmp_path, values, kind):
    write_column(tmp_path / "a.parquet", values, kind)
    with pytest.raises(InputError, match=r"^The column 'embedding' of .* wanted a list"):
        list(read_shards([tmp_path / "a.parquet"]))


@pytest.mark.parametrize("source", [5, None, "", "a\0b"])
def test_what_names_no_files_is_refused(source):
    with pytest.raises(InputError, match="Expected Parquet files"):
        shard_files(source)


@pytest.mark.parametrize("kept", [1.5, None, "7", True])
def test_rows_per_shard_is_a_whole_number(tiny_encoder, crops, tmp_path, kept):
    with pytest.raises(InputError, match="rows_per_shard must be an int"):
        tiny_encoder.encode_to(tmp_path / "out", crops, rows_per_shard=kept)


def test_a_wrong_progress_begins_no_directory(tiny_encoder, crops, tmp_path):
    with pytest.raises(InputError, match="progress must be"):
        tiny_encoder.encode_to(tmp_path / "out", crops, progress="x")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, -3])
def test_rows_per_shard_is_checked(tiny_encoder, crops, tmp_path, kept):
    with pytest.raises(InputError, match="rows_per_shard must be at least 1"):
        tiny_encoder.encode_to(tmp_path / "out", crops, rows_per_shard=kept)


def test_what_earlier_calls_could_not_read_is_named_and_not_tried_again(
    tiny_encoder, crops, tmp_path
):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    first = tiny_encoder.encode_to(tmp_path / "out", [crops[0], bad])
    assert first.earlier_failures == []
    done = tiny_encoder.encode_to(tmp_path / "out", [*crops[:2], bad], resume=True)
    assert (done.embedded, done.resumed, done.failures) == (1, 2, [])
    assert done.earlier_failures == first.failures
