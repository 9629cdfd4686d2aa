"""Commits whose checksums agree but whose content does not fit: errors, never wrong answers."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from sanreid.errors import GalleryError
from sanreid.gallery import Gallery
from sanreid.gallery.storage.files.records import (
    PAGE,
    Description,
    Head,
    decode_head,
    encode_head,
    encode_record,
    slot_offset,
)

ROW = np.array([[1.0, 0.0]], dtype="<f4")


def forge(path, *, fields=None, arrays=None, first_row=2, num_rows=1):
    """Append a commit of one row, well signed, with some parts replaced."""
    (log,) = path.glob("*.log")
    (vectors,) = path.glob("*.f32")
    raw = bytearray(log.read_bytes())
    head, _ = decode_head(bytes(raw[:PAGE]))
    whole = {
        "ids": np.array([9]), "pid_codes": np.array([0], dtype="<i4"), "camids": np.array([1]),
        "timestamps": np.array([0.5]), "borders": np.array([0, 2]),
        "metadata": np.frombuffer(b"{}", np.uint8), "ended": np.array([], dtype="<i8"),
        "sums": np.array([zlib.crc32(ROW.data)], dtype="<u4"), **(arrays or {}),
    }  # fmt: skip
    said = {
        "next_id": 10, "pids": ["x"], "encoder_fingerprint": None, "calibration": None,
        **(fields or {}),
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value != "gone"}
    record, chain = encode_record(
        head.seq + 1,
        first_row,
        num_rows,
        said,
        {name: value for name, value in whole.items() if value is not None},
        head.chain,
    )
    following = Head(head.seq + 1, head.length + len(record), first_row + num_rows, chain)
    raw += record
    slot = encode_head(following)
    raw[slot_offset(following.seq) : slot_offset(following.seq) + len(slot)] = slot
    log.write_bytes(raw)
    vectors.write_bytes(vectors.read_bytes() + ROW.tobytes())


@pytest.fixture
def path(tmp_path):
    with Gallery.open(tmp_path / "g", dim=2) as gallery:
        gallery.add([[1, 0], [0, 1]], pids=["a", "b"])
    return tmp_path / "g"


def test_a_well_made_commit_is_read(path):
    forge(path)
    with Gallery.open(path) as gallery:
        assert gallery.get(9)[0].pid == "x"
        gallery.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_row": 3}, "its rows do not follow the last"),
        ({"arrays": {"camids": np.array([1, 2])}}, "its rows do not follow the last"),
        ({"arrays": {"ended": np.array([3])}}, "it deletes rows that are not there"),
        ({"arrays": {"ended": np.array([-1])}}, "it deletes rows that are not there"),
        ({"arrays": {"borders": np.array([0, 3])}}, "its metadata has wrong borders"),
        ({"arrays": {"borders": np.array([2, 0])}}, "its metadata has wrong borders"),
        ({"arrays": {"pid_codes": np.array([1], dtype="<i4")}}, "it has a person without a name"),
        ({"arrays": {"pid_codes": np.array([-1], dtype="<i4")}}, "it has a person without"),
        ({"arrays": {"sums": None}}, "cannot be read: 'sums'"),
        ({"arrays": {"sums": np.array([1, 2], dtype="<u4")}}, "blocks and checksums do not agree"),
        ({"arrays": {"stops": np.array([2])}}, "blocks and checksums do not agree"),
        ({"arrays": {"ids": np.array([True])}}, "A record of the log cannot be read"),
        ({"fields": {"next_id": "gone"}}, "cannot be read: 'next_id'"),
        ({"fields": {"next_id": None}}, "cannot be read"),
        ({"fields": {"pids": [["x"]]}}, "cannot be read: unhashable"),
        ({"fields": {"camera_normalizer": {"means": [[2.0]]}}}, "no camera normaliser"),
        (
            {"fields": {"camera_normalizer": {"camids": [1], "counts": [1], "means": [[0], [0]]}}},
            "its camera means have another dim",
        ),
        ({"fields": {"calibration": {"threshold": 0.5}}}, "its calibration"),
        ({"fields": {"calibration": [0.5]}}, "its calibration"),
    ],
)
def test_what_does_not_fit_is_refused(path, change, message):
    forge(path, **change)
    with pytest.raises(GalleryError, match=message):
        Gallery.open(path)


def test_a_log_of_another_dim_is_refused(path):
    described = Description.from_bytes((path / "gallery.json").read_bytes(), path)
    other = Description(described.uuid, 3, described.generation)
    (path / "gallery.json").write_bytes(other.to_bytes())
    with pytest.raises(GalleryError, match="belongs to another gallery or generation"):
        Gallery.open(path)


def test_rows_without_their_embeddings_are_refused(path):
    forge(path)
    (vectors,) = path.glob("*.f32")
    vectors.write_bytes(vectors.read_bytes()[:-4])
    with pytest.raises(GalleryError, match="is cut short: 20 bytes, 24 wanted"):
        Gallery.open(path)
