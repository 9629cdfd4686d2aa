"""Values of wrong kinds, types and sizes at the doors of files, images and metrics."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid import evaluate, evaluate_distances
from sanreid.datasets import (
    CropSet,
    merge_crops,
    read_crops,
    read_csv,
    read_dataset,
    read_folders,
    read_split,
    register_dataset,
    split_by_camera,
)
from sanreid.errors import SanreidError
from sanreid.images import find_images, is_one_image, iterate_images, load_crop, load_image
from sanreid.images.sources import expand_paths
from sanreid.metrics import group_near_duplicates
from sanreid.metrics.splits import find_split


class Hostile:
    """Raises whatever is asked of it."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no")

    @property
    def shape(self):
        raise KeyError("shape")


def values(folder):
    """Values that callers pass by mistake, some of them meant well."""
    closed = Image.new("RGB", (2, 2))
    closed.close()
    crops = CropSet("x", ["a"], [1], [1])
    return [
        None,
        True,
        0,
        -1,
        7,
        10**30,
        2.5,
        float("nan"),
        float("inf"),
        1j,
        "",
        "x",
        "a\0b",
        "~",
        "~nobody/x",
        "x" * 5000,
        "x/" * 3000,
        "\udcff",
        "data:image/png;base64,AAAA",
        b"",
        b"x",
        b"\x89PNG\r\n\x1a\n",
        bytearray(3),
        memoryview(b"ab"),
        Path(),
        Path("\0"),
        folder,
        str(folder),
        folder / "a.jpg",
        folder / "t.csv",
        folder / "none",
        "/dev/null",
        [],
        [1, "a", None],
        ["a", 2.5],
        [[1, 2], [3]],
        [float("nan")],
        (),
        {},
        {"a": 1},
        set(),
        iter([]),
        iter([1]),
        range(3),
        object(),
        Hostile(),
        type,
        len,
        re.compile("x"),
        io.BytesIO(),
        io.StringIO("a"),
        np.zeros(0),
        np.zeros((2, 2)),
        np.zeros((0, 3)),
        np.zeros((2, 2, 3)),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.full((2, 2), np.nan),
        np.zeros(3, bool),
        np.array(["a", "b"]),
        np.array([1, "a"], object),
        np.array(5),
        np.array("a"),
        np.zeros(3, "datetime64[s]"),
        np.zeros((3, 4), complex),
        np.array([2**63], np.uint64),
        np.ma.masked_array([1, 2], [True, False]),
        np.zeros(2, [("a", int)]),
        torch.zeros(3),
        torch.zeros(3, 4, 4),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(1, 3, 2, 2, device="meta"),
        torch.zeros(2, dtype=torch.bfloat16),
        Image.new("RGB", (2, 3)),
        Image.new("RGB", (0, 0)),
        Image.new("LAB", (2, 2)),
        closed,
        crops,
        "regex:(",
        "regex:(?P<pid>x)",
        "market1501",
        "folders",
        "csv",
        "cross-camera",
    ]


def doors(pick):
    return [
        lambda: read_crops(pick(), names=pick(), name="x"),
        lambda: read_crops(pick()),
        lambda: read_csv(pick(), encoding=None),
        lambda: read_folders(pick()),
        lambda: read_dataset(pick(), pick()),
        lambda: read_split("folders", pick(), "train"),
        lambda: register_dataset(pick()),
        lambda: CropSet("x", ["a", "b"], pick(), [0, 1]),
        lambda: CropSet("x", ["a", "b"], [0, 1], pick()),
        lambda: CropSet("x", ["a", "b"], [0, 1], [0, 1]).select(pick()),
        lambda: split_by_camera(CropSet("x", ["a", "b"], [0, 1], [0, 1])),
        lambda: merge_crops([]),
        lambda: find_images(pick()),
        lambda: find_images(pick(), failures=[]),
        lambda: is_one_image(pick()),
        lambda: iterate_images(pick()),
        lambda: load_image(pick()),
        lambda: load_crop(pick(), (4, 2), color="bgr"),
        lambda: load_image(np.zeros((2, 2, 3), np.uint8), color=pick()),
        lambda: expand_paths(pick(), collect=True),
        lambda: expand_paths([pick()], collect=False),
        lambda: evaluate(pick(), [1], [0], [[1, 0]], [1], [1]),
        lambda: evaluate([[1, 0]], pick(), [0], [[1, 0]], [1], [1]),
        lambda: evaluate([[1, 0]], [1], [0], [[1, 0]], [1], pick()),
        lambda: evaluate([[1, 0]], [1], [0], [[1, 0]], [1], [1], protocol=pick()),
        lambda: evaluate([[1, 0]], [1], [0], [[1, 0]], [1], [1], max_rank=pick()),
        lambda: evaluate_distances(pick(), [1], [0], [1], [1]),
        lambda: group_near_duplicates(pick(), pick()),
        lambda: group_near_duplicates([[0, 1]], [1], min_similarity=pick()),
        lambda: find_split(pick()),
    ]


def knock(folder, calls, seed):
    """Call doors with random values; return what was raised that is not ours."""
    (folder / "a.jpg").write_bytes(b"not a picture")
    (folder / "t.csv").write_bytes(b"path,pid,camid\n\xff\n")
    chosen = random.Random(seed)
    raw = {}
    for _ in range(calls):
        given = []

        def pick(given=given):
            given.append(chosen.choice(values(folder)))
            return given[-1]

        door = chosen.randrange(len(doors(pick)))
        try:
            doors(pick)[door]()
        except SanreidError:
            continue
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            raw.setdefault((door, type(error).__name__), (str(error)[:200], repr(given)[:200]))
    return raw


def test_wrong_values_are_errors_of_ours(tmp_path):
    assert knock(tmp_path, 400, seed=0) == {}


@pytest.mark.slow
def test_five_thousand_wrong_values_are_errors_of_ours(tmp_path):
    assert knock(tmp_path, 5_000, seed=1) == {}
