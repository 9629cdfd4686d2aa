"""Whatever a caller passes, a public entry returns or raises a SanreidError, and nothing else."""

from __future__ import annotations

import contextlib
import datetime as dt
import inspect
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import sanreid
from sanreid.errors import ImageError, SanreidError
from sanreid.gallery import Calibration, Gallery, SearchResult
from tests.gallery.test_convenience import FakeEncoder

METHODS = [
    name
    for name, member in inspect.getmembers(Gallery, callable)
    if not name.startswith("_")
]  # fmt: skip
PROPERTIES = {
    name for name, _ in inspect.getmembers(Gallery, lambda member: isinstance(member, property))
}


class Encoder(FakeEncoder):
    """Refuses whatever is no path, as a real one does."""

    def encode(self, images, **options):
        listed = [images] if isinstance(images, (str, Path)) else images
        if not isinstance(listed, list) or not all(isinstance(i, (str, Path)) for i in listed):
            raise ImageError("no image")
        if not listed:
            return np.empty((0, self.embedding_dim), np.float32)
        try:
            return super().encode(listed)
        except UnicodeError as error:  # half a character
            raise ImageError("no such file") from error


class Broken:
    """Lies about what it can do."""

    def __array__(self, dtype=None, copy=None):
        raise KeyError("no array after all")

    def __iter__(self):
        raise TypeError("no sequence after all")


def values(rng, tmp_path):
    """Values of many kinds, types and sizes; fresh ones, since some can be read once only."""
    n = rng.choice([0, 1, 2, 3, 5])
    recursive = []
    recursive.append(recursive)
    noise = np.random.default_rng(rng.randrange(1000))
    return [
        None, True, False, 0, 1, -1, 2, 10, 2**31, 2**63 - 1, 2**63, -(2**63), 10**400, 10**5000,
        0.0, 0.5, -0.5, 1.0, 2.5, 1e308, float("nan"), float("inf"), -float("inf"), 1j,
        "", "a", "7", "pid", "camid", "best", "mean", "flat", "ivf", "auto", "rw", "r", "\0",
        "\ud800", "x" * 5000, "~", "..", "exclude", "keep", b"", b"\xff\xfe", bytearray(b"ab"),
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1), dt.date(2024, 1, 1),  # noqa: DTZ001
        dt.timedelta(1), np.datetime64("NaT", "s"), np.timedelta64(1, "s"), pd.NA, pd.NaT,
        [], (), {}, set(), {1, 2}, [1], [1, 2, 3], ["a", "b", "c"], [None] * n, [1.5] * n,
        [True] * n, [float("nan")] * n, [[1, 0, 0, 0]] * n, [[0, 0, 0, 0]] * n, [[1], [1, 2]],
        [{}] * n, [{"a": 1}] * n, [{1: 2}] * n, {"pid": 1}, {"pid": {"$in": [1]}}, {"a": {}},
        {"$or": []}, {"$and": [{"pid": 7}]}, {"$not": 3}, {"pid": {"$gt": "x"}}, {3: 4},
        {"timestamp": {"$lt": 10**400}}, {"id": {"$in": 5}}, {"x.y": {"$nin": [None, [1]]}},
        range(n), (i for i in range(n)), iter("ab"), map(str, range(n)), object(), int, Gallery,
        Broken(), recursive, Ellipsis, NotImplemented, len, lambda *a, **k: None,
        np.zeros(0), np.zeros(n), np.zeros((n, 4)), np.eye(4), np.eye(4)[:n], np.eye(3),
        np.full((n, 4), np.nan), np.full((n, 4), 1e300), np.zeros((n, 4, 2)), np.zeros((0, 0)),
        np.array(3), np.arange(n), np.arange(n, dtype=np.uint64) + 2**63, np.array(["a"] * n),
        np.array([None, 1, "a"], dtype=object), np.array([{}] * n, dtype=object),
        np.zeros(n, dtype=bool), np.zeros(n, dtype="M8[ns]"), np.zeros(n, dtype="V4"),
        np.ones((n, 4), dtype=complex), np.ones((n, 4), np.float16), noise.standard_normal((n, 4)),
        np.ma.masked_all(n), np.ones(n, dtype=[("a", int)]), np.float32(0.5), np.int8(3),
        torch.eye(4), torch.eye(4)[:n], torch.eye(4, dtype=torch.bfloat16), torch.tensor(2),
        torch.arange(n), torch.eye(4, device="meta"), torch.eye(4).to_sparse(), torch.empty(0),
        pd.Series(range(n)), pd.Series([1.0, None, 2.0]), pd.Series(["a"] * n),
        pd.Series([pd.Timestamp("2024-01-01")] * n), pd.DataFrame({"a": range(n)}), pd.DataFrame(),
        pd.Series([None] * n, dtype="Int64"), pd.Index(range(n)), pd.Categorical(["a"] * n),
        Path("nowhere"), tmp_path, tmp_path / "new.npz", tmp_path / "g", str(tmp_path / "h"),
        tmp_path / "\udcff.npz", Path("x" * 300 + ".npz"), tmp_path / "file",
        Encoder(), Gallery(4), Calibration, contextlib.nullcontext(),
    ]  # fmt: skip


def gallery_of(rng):
    gallery = Gallery(4, index=rng.choice(["auto", "flat", "ivf"]))
    gallery.add(
        np.concatenate([np.eye(4), np.ones((2, 4))]),
        pids=[7, 7, "a", None, 8, 8],
        camids=[1, 2, 1, None, 3, 1],
        timestamps=[0, None, 1, 2, 3, 1e300],
        metadata=[{"path": "a.jpg"}, None, {"x": {"y": 1}}, {"a": 1}, {}, {"a": "1"}],
    )
    return gallery


GOOD = {  # some calls come further when the other arguments are right
    "embeddings": np.eye(4)[:3], "queries": np.eye(4)[:3], "pids": [7, "a", 8],
    "camids": [1, 2, 3], "ids": [0, 1, 2], "encoder": Encoder(), "images": ["a", "b", "c"],
    "tracklet_names": [1, 1, 2], "threshold": 0.5, "query_camids": [1, 2, 3], "dim": 4,
    "query_embeddings": np.eye(4)[:3], "gallery_embeddings": np.eye(4), "query_pids": [7, 8, 9],
    "gallery_pids": [7, 8, 9, 7], "gallery_camids": [4, 4, 4, 4], "distances": np.ones((3, 4)),
}  # fmt: skip


def one_call(rng, tmp_path):
    """Make one call and return what raised, with what was called; None if all is well."""
    pool = values(rng, tmp_path)
    target = rng.randrange(len(METHODS) + 4)
    if target < len(METHODS):
        name = METHODS[target]
        call = getattr(gallery_of(rng), name)
    else:
        name = ["evaluate", "evaluate_distances", "k_reciprocal_rerank", "Gallery"][
            target - len(METHODS)
        ]
        call = getattr(sanreid, name)
    arguments = {}
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        required = parameter.default is parameter.empty
        draw = rng.random()
        if parameter.name in GOOD and draw < (0.7 if required else 0.2):
            arguments[parameter.name] = GOOD[parameter.name]
        elif required or draw > 0.6:
            arguments[parameter.name] = rng.choice(pool)
    try:
        result = call(**arguments)
        if isinstance(result, SearchResult):
            list(result)
        if isinstance(result, Gallery):
            result.close()
    except SanreidError:
        return None
    except Exception as error:  # noqa: BLE001 - what is looked for
        return f"{name}({', '.join(arguments)}): {type(error).__name__}: {error}"
    return None


def run(tmp_path, monkeypatch, seed, count):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").write_bytes(b"no gallery")
    rng = random.Random(seed)
    raised = [found for _ in range(count) if (found := one_call(rng, tmp_path)) is not None]
    assert not raised, "\n".join(sorted(set(raised)))


def test_every_entry_of_the_gallery_is_called():
    assert {"add", "search", "identify", "calibrate", "open", "export", "from_folder"} <= set(
        METHODS
    )
    assert not PROPERTIES & set(METHODS)


def test_nothing_but_our_errors(tmp_path, monkeypatch):
    run(tmp_path, monkeypatch, seed=1, count=300)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_nothing_but_our_errors_in_five_thousand_calls(tmp_path, monkeypatch, seed):
    run(tmp_path, monkeypatch, seed=seed, count=2500)
