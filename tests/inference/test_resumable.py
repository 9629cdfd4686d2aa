"""Embedding into shards: whole, resumable, each path once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.utils.shards import MANIFEST, read_shards, shard_files
from tests.people import write_people

pytest.importorskip("pyarrow")


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
    labels = {crops[0]: (7, 2), crops[1]: ("anna", None)}
    tiny_encoder.encode_to(tmp_path / "out", crops[:3], labels=labels)
    found = rows(tmp_path / "out")
    assert [(row["pid"], row["camid"]) for row in found.values()] == [
        ("7", 2), ("anna", None), (None, None),
    ]  # fmt: skip


def test_a_directory_of_other_options_is_not_resumed(tiny_encoder, crops, tmp_path):
    tiny_encoder.encode_to(tmp_path / "out", crops[:1])
    with pytest.raises(InputError, match="was begun with options"):
        tiny_encoder.encode_to(tmp_path / "out", crops, resume=True, flip=True)


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


@pytest.mark.parametrize("kept", [0, -3])
def test_rows_per_shard_is_checked(tiny_encoder, crops, tmp_path, kept):
    with pytest.raises(InputError, match="rows_per_shard must be at least 1"):
        tiny_encoder.encode_to(tmp_path / "out", crops, rows_per_shard=kept)
