"""Values of other libraries: every method reads them alike, or names the row that is wrong."""

from __future__ import annotations

import datetime as dt
import enum
import fractions
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from sanreid.errors import InputError
from sanreid.gallery import Gallery

EYE = np.eye(4)


NAIVE = dt.datetime(2024, 1, 1)  # noqa: DTZ001 - without a zone on purpose
TIMES = pd.Series(pd.date_range("2024", periods=4))  # likewise


class Wrapped:
    """An array of another library: known by ``__array__`` alone."""

    def __init__(self, values):
        self._values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self._values if dtype is None else self._values.astype(dtype)


class Color(enum.StrEnum):
    RED = "red"


def pids_of(gallery):
    return [entry.pid for entry in gallery.get(gallery.ids)]


LABELS = {
    "list": [7, 7, None, 9],
    "series with NaN": pd.Series([7, 7, None, 9]),
    "series with NA": pd.Series([7, 7, None, 9], dtype="Int64"),
    "series of objects": pd.Series([7, np.int64(7), None, 9], dtype=object, index=[3, 1, 0, 2]),
    "NA in a list": [7, np.int8(7), pd.NA, torch.tensor(9)],
    "masked array": np.ma.array([7, 7, 0, 9], mask=[0, 0, 1, 0]),
    "generator": (value for value in [7, 7, None, 9]),
    "categories": pd.Series([7, 7, None, 9]).astype("category"),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_with_a_missing_one(labels):
    gallery = Gallery(4)
    gallery.add(EYE, pids=labels)
    assert pids_of(gallery) == [7, 7, None, 9]
    assert {type(pid) for pid in pids_of(gallery)} == {int, type(None)}


COMPLETE = {
    "tensor": torch.tensor([7, 7, 8, 9]),
    "tensor of int32 that needs no gradient": torch.tensor([7, 7, 8, 9], dtype=torch.int32),
    "unsigned": np.array([7, 7, 8, 9], dtype=np.uint8),
    "float array": np.array([7.0, 7, 8, 9]),
    "bfloat16 tensor": torch.tensor([7.0, 7, 8, 9], dtype=torch.bfloat16),
    "index": pd.Index([7, 7, 8, 9]),
    "wrapped": Wrapped([7, 7, 8, 9]),
    "objects": np.array([7, 7, 8, 9], dtype=object),
    "tuple of tensors": tuple(torch.tensor([7, 7, 8, 9])),
}


@pytest.mark.parametrize("labels", COMPLETE.values(), ids=COMPLETE)
def test_labels_are_read_alike_by_every_method(labels):
    gallery = Gallery(4)
    gallery.add(EYE, pids=labels, camids=labels)
    assert pids_of(gallery) == [7, 7, 8, 9]
    assert [entry.camid for entry in gallery.get(gallery.ids)] == [7, 7, 8, 9]
    gallery.update(range(4), pids=labels, camids=labels)
    assert pids_of(gallery) == [7, 7, 8, 9]
    assert len(gallery.find({"pid": {"$in": labels}, "camid": {"$in": labels}})) == 4
    found = gallery.search(EYE, k=4, query_pids=labels, query_camids=labels)
    assert found.counts.tolist() == [2, 2, 3, 3]
    assert found.query_pids == (7, 7, 8, 9)
    answers = gallery.identify(EYE, threshold=-1, query_pids=labels, query_camids=labels)
    assert [answer.candidate for answer in answers] == [8, 8, 7, 7]
    assert gallery.get(torch.tensor([2, 0]))[0].id == 2
    assert torch.tensor(2) in gallery
    assert gallery.remove(np.array([0.0, 1.0])) == 2


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(list(EYE)),
        pd.Series([row.tolist() for row in EYE], index=[3, 1, 0, 2]),
        pa.array(EYE.tolist()),
        pa.chunked_array([EYE[:1].tolist(), EYE[1:].tolist()]),
        np.array([*EYE.tolist(), None], dtype=object)[:4],
    ],
    ids=["series of arrays", "series of lists", "arrow", "chunked", "objects"],
)
def test_a_column_of_embeddings_is_a_matrix(column):
    gallery = Gallery(4)
    gallery.add(column)
    np.testing.assert_array_equal([entry.embedding for entry in gallery.get(range(4))], EYE)


def test_a_masked_camera_is_none():
    gallery = Gallery(4)
    masked = np.ma.array([7, 8], mask=[0, 1])
    gallery.add(EYE[:2], camids=masked)
    gallery.add(EYE[2:], camids=list(masked), timestamps=list(masked))
    assert [entry.camid for entry in gallery.get(range(4))] == [7, None, 7, None]
    assert [entry.timestamp for entry in gallery.get([2, 3])] == [7, None]


def test_a_time_in_an_array_without_dimensions_is_that_time():
    gallery = Gallery(4)
    gallery.add(EYE[:1], timestamps=[np.array(np.datetime64("2020", "ns"))])
    assert gallery.get(0)[0].timestamp == 1577836800.0


def test_calibration_and_evaluation_read_the_same_labels():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(12), 4)
    rows = np.eye(12, 16)[people] + 0.1 * rng.standard_normal((48, 16))
    gallery = Gallery(16)
    cameras = torch.tensor([0, 1] * 24)
    wanted = gallery.calibrate(rows, people, [0, 1] * 24, false_match_rate=0.1)
    assert wanted == gallery.calibrate(
        torch.tensor(rows),
        pd.Series(people).astype(float),
        cameras,
        false_match_rate=np.float64(0.1),
    )
    gallery.add(rows[:24], pids=people[:24])
    report = gallery.evaluate_open_set(rows, people, false_alarm_rates=[0.1])
    assert report == gallery.evaluate_open_set(
        torch.tensor(rows),
        torch.tensor(people),
        false_alarm_rates=torch.tensor([0.1], dtype=float),
    )


EMBEDDINGS = {
    "tensor": torch.eye(4),
    "half": torch.eye(4, dtype=torch.float16),
    "bfloat16": torch.eye(4, dtype=torch.bfloat16),
    "with a gradient": torch.eye(4, requires_grad=True),
    "transposed": torch.eye(4).T,
    "list of tensors": list(torch.eye(4, dtype=torch.bfloat16)),
    "frame": pd.DataFrame(EYE),
    "wrapped": Wrapped(EYE),
    "integers": np.eye(4, dtype=np.int8),
    "masked without a mask": np.ma.array(EYE),
    "read-only": np.broadcast_to(EYE, (4, 4)),
    "big-endian": EYE.astype(">f4"),
}


@pytest.mark.parametrize("rows", EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_embeddings_of_other_libraries(rows):
    gallery = Gallery(4)
    gallery.add(rows)
    gallery.update(range(4), rows)
    assert gallery.search(rows, k=1).ids[:, 0].tolist() == [0, 1, 2, 3]
    assert gallery.search(rows, k=1).similarities[:, 0].tolist() == [1, 1, 1, 1]


def test_a_data_set_of_h5py_is_one_array(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["rows"], file["people"] = EYE.astype(np.float32), [1, 2, 3, 4]
    with h5py.File(tmp_path / "x.h5") as file:
        gallery = Gallery(4)
        gallery.add(file["rows"], pids=file["people"], metadata=None)
        assert pids_of(gallery) == [1, 2, 3, 4]
        assert len(gallery.search(file["rows"])) == 4
        with pytest.raises(InputError, match=r"pids must have one dimension; got shape \(4, 4\)"):
            gallery.add(EYE, pids=file["rows"])


@pytest.mark.gpu
def test_tensors_on_a_cuda_device():
    gallery = Gallery(4)
    gallery.add(torch.eye(4, device="cuda"), pids=torch.arange(4, device="cuda"))
    rows = list(torch.eye(4, device="cuda", dtype=torch.bfloat16))
    assert gallery.search(rows, k=1).ids[:, 0].tolist() == [0, 1, 2, 3]
    assert pids_of(gallery) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pids": [1, 2, float("nan"), 4]}, "row 2 is nan of type float. Pass None"),
        ({"pids": np.array([1, 2, np.nan, 4])}, "row 2 is nan of type float. Pass None"),
        ({"pids": torch.tensor([1, 2, float("nan"), 4])}, "row 2 is nan of type float"),
        ({"pids": pd.Series([1, 2.5, None, 4])}, "row 1 is 2.5 of type float"),
        ({"pids": np.array([1, 2, 3, 2.0**60])}, "row 3 is 1.15.* of type float"),
        ({"pids": {1, 2, 3, 4}}, "pids must be a sequence .* of type set"),
        ({"pids": torch.tensor(1)}, r"pids must have one dimension; got shape \(\)"),
        ({"pids": np.array(["2020-01-01"] * 4, dtype="M8[ns]")}, "row 0 .* of type datetime64"),
        ({"pids": [1, 2, b"x", 4]}, "row 2 is b'x' of type bytes"),
        ({"pids": torch.tensor([True, False, True, True])}, "row 0 is True of type bool"),
        ({"camids": [1, 2.0, 2.5, 4]}, "row 2 is 2.5 of type float"),
        ({"camids": pd.Series(["1", "2", "3", "4"])}, "row 0 is '1' of type str"),
        ({"camids": [0, 1, float("nan"), 1]}, "camids must be int, a name or None; row 2 is nan"),
        ({"camids": [0, 1, 2, complex(1)]}, r"row 3 is \(1\+0j\) of type complex"),
        ({"timestamps": np.array([1, 2, np.nan, 4])}, "row 2 is nan of type float"),
        ({"timestamps": [1, fractions.Fraction(1), 2, 3]}, "row 1 is .* of type Fraction"),
        ({"timestamps": [1, 2, NAIVE, 4]}, "row 2.* has no time zone"),
        ({"timestamps": [1, 2, pd.Timestamp("2024-01-01"), 4]}, "row 2.* has no time zone"),
        ({"timestamps": TIMES}, "datetime64.* no time zone"),
        ({"timestamps": pd.date_range("2024", periods=4)}, "datetime64.* has no time zone"),
        ({"timestamps": TIMES.astype("timestamp[us][pyarrow]")}, "timestamp.us.* no time zone"),
        ({"timestamps": [1, dt.date(2024, 1, 1), 3, 4]}, "row 1 is .* of type date"),
        ({"timestamps": [1, np.timedelta64(3, "s"), 3, 4]}, "row 1 is .* of type timedelta64"),
        ({"timestamps": [1, "2024-01-01T00:00Z", 3, 4]}, "row 1 is '2024.* of type str"),
        ({"metadata": [{}, {"a": NAIVE}, {}, {}]}, "metadata of row 1"),
        ({"metadata": [{}, {}, {"a": object()}, {}]}, "metadata of row 2 cannot be kept as JSON"),
        ({"metadata": [{}, {}, {"a": torch.tensor([np.nan])}, {}]}, "metadata of row 2 cannot"),
        ({"metadata": pd.DataFrame({"a": [1, 2, 3, 4]})}, "metadata must have one dimension"),
        ({"embeddings": np.ma.array(EYE, mask=EYE == 1)}, "embeddings hold masked numbers"),
        ({"embeddings": pd.DataFrame(EYE).astype(object)}, "embeddings must be numbers"),
        ({"embeddings": [torch.ones(4), torch.ones(3), 1, 2]}, "embeddings cannot be read"),
        ({"embeddings": [torch.ones(4), torch.ones(3)]}, "embeddings cannot be read"),
        ({"embeddings": torch.eye(4).to_sparse()}, "embeddings cannot be read"),
        ({"embeddings": torch.eye(4, device="meta")}, "embeddings cannot be read"),
        ({"ids": [1, 2, 2.5, 4]}, "ids must be ints; row 2 is 2.5"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_right_row(arguments, message):
    gallery = Gallery(4)
    with pytest.raises(InputError, match=message):
        gallery.add(**{"embeddings": EYE, **arguments})
    assert len(gallery) == 0


NEW_YEAR = 1704067200.0  # 2024-01-01T00:00:00 UTC
BERLIN = dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    "times",
    [
        [NEW_YEAR, None],
        [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None],
        [dt.datetime(2024, 1, 1, 1, tzinfo=BERLIN), pd.NaT],
        [pd.Timestamp("2024-01-01T01:00+01:00"), pd.NA],
        np.array(["2024-01-01", "NaT"], dtype="M8[D]"),
        np.array(["2024-01-01", "NaT"], dtype="M8[ns]"),
        [np.datetime64("2024-01-01"), np.datetime64("NaT", "s")],
        pd.Series([pd.Timestamp("2024-01-01T01:00", tz="Europe/Berlin"), None]),
        pd.DatetimeIndex(["2024-01-01T00:00Z", None]),
        pd.Series(["2024-01-01T00:00Z", None]).astype("timestamp[us, tz=UTC][pyarrow]"),
        pd.Series([NEW_YEAR, None]),
        [torch.tensor(NEW_YEAR, dtype=torch.float64), None],
        [np.int64(NEW_YEAR), None],
    ],
)
def test_times_become_seconds_of_utc(times):
    gallery = Gallery(4)
    gallery.add(EYE[:2], timestamps=times)
    assert [entry.timestamp for entry in gallery.get([0, 1])] == [NEW_YEAR, None]
    assert gallery.find({"timestamp": {"$gte": times[0]}}).tolist() == [0]
    assert gallery.find({"timestamp": None}).tolist() == [1]


def test_fractions_of_seconds_are_kept():
    gallery = Gallery(4)
    gallery.add(EYE[:2], timestamps=np.array([1500, 250], dtype="M8[ms]"))
    assert [entry.timestamp for entry in gallery.get([0, 1])] == [1.5, 0.25]


def test_a_filter_refuses_times_without_a_zone():
    with pytest.raises(InputError, match="a datetime with a time zone"):
        Gallery(4).find({"timestamp": {"$gt": NAIVE}})


def test_metadata_as_programs_have_it():
    gallery = Gallery(4)
    gallery.add(
        EYE[:3],
        metadata=[
            {"path": Path("a.jpg"), "n": np.int64(3), "x": np.float32(0.5), "ok": np.True_},
            MappingProxyType({"box": np.array([1, 2]), "t": torch.tensor([0.5]), "c": Color.RED}),
            {"path": PurePosixPath("x/b.jpg"), "none": pd.NA, "deep": [{"p": (Path("c"),)}]},
        ],
    )
    assert [entry.metadata for entry in gallery.get([0, 1, 2])] == [
        {"path": "a.jpg", "n": 3, "x": 0.5, "ok": True},
        {"box": [1, 2], "t": [0.5], "c": "red"},
        {"path": "x/b.jpg", "none": None, "deep": [{"p": ["c"]}]},
    ]
    assert gallery.find({"path": Path("a.jpg")}).tolist() == [0]
    assert gallery.find({"path": {"$in": [Path("a.jpg"), PurePosixPath("x/b.jpg")]}}).tolist() == [
        0, 2,
    ]  # fmt: skip
    assert gallery.find({"n": np.uint8(3)}).tolist() == [0]
    assert gallery.find({"x": {"$lt": torch.tensor(0.75)}}).tolist() == [0]
    assert gallery.find({"n": {"$in": pd.Series([3, 4])}}).tolist() == [0]


def test_scalars_of_other_libraries():
    gallery = Gallery(np.int64(4))
    gallery.add(EYE, pids=[1, 2, 3, 4])
    least = torch.tensor(0.5)
    assert gallery.search(EYE, np.uint8(2), min_similarity=least).counts.tolist() == [1] * 4
    assert gallery.identify(EYE, threshold=np.float16(0.5), top=torch.tensor(2))[0].pid == 1
    assert gallery.recall(k=np.int8(1), sample=torch.tensor(2), seed=np.int64(0)) == 1.0


def test_texts_that_no_file_can_hold_are_refused():
    gallery = Gallery(4)
    gallery.add(EYE, pids=["é", "𝄞", 1, None], camids=["日本", None, 1, 2])
    for columns in ({"pids": ["\ud800"]}, {"camids": ["gate \udcff"]}):
        with pytest.raises(InputError, match=r"row 0 is .*\\ud.* It is no Unicode text"):
            gallery.add(EYE[:1], **columns)
    with pytest.raises(InputError, match="no Unicode text"):
        gallery.rename("é", "\ud800")
    assert len(gallery) == 4
