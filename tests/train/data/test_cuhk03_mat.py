"""Extraction of CUHK03 from a replica of cuhk-03.mat, written as MATLAB does."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from sanreid.datasets import read_cuhk03
from sanreid.errors import DatasetError, MissingExtraError
from sanreid.train.data import extract_cuhk03

h5py = pytest.importorskip("h5py", reason="h5py, of the extra train, is not installed")


def crop(seed, height=9, width=5):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_mat(path, pairs):
    """Write people per pair; MATLAB's arrays lie transposed in HDF5."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        count = 0

        def store(array):
            nonlocal count
            count += 1
            return refs.create_dataset(f"r{count}", data=np.ascontiguousarray(array.T)).ref

        def cells(array):
            return np.array(array, dtype=h5py.ref_dtype)

        for number, boxes in enumerate(("labeled", "detected")):
            tops = []
            for pair, people in enumerate(pairs):
                shots = np.empty((len(people), 10), dtype=object)
                for row, filled in enumerate(people):
                    for shot in range(10):
                        seed = number * 1000 + pair * 100 + row * 10 + shot
                        pixels = crop(seed) if shot in filled else np.zeros(2, dtype=np.uint64)
                        shots[row, shot] = store(pixels)
                tops.append(store(cells(shots)))
            file.create_dataset(boxes, data=cells([tops]))
        sets = [np.array([[1.0, 1.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])]
        file.create_dataset("testsets", data=cells([[store(one) for one in sets]]))
    return path


@pytest.fixture
def mat(tmp_path):
    # Two pairs: two people in the first, one in the second; places of the crops there are.
    return write_mat(tmp_path / "cuhk-03.mat", [[{0, 4, 5, 9}, {1, 6}], [{2, 7}]])


def test_crops_and_test_sets(mat, tmp_path):
    out = tmp_path / "out"
    extract_cuhk03(mat, out)
    labeled = sorted(path.name for path in (out / "images_labeled").iterdir())
    assert labeled == [
        "1_001_1_01.png",
        "1_001_1_05.png",
        "1_001_2_06.png",
        "1_001_2_10.png",
        "1_002_1_02.png",
        "1_002_2_07.png",
        "2_001_1_03.png",
        "2_001_2_08.png",
    ]
    assert np.array_equal(np.asarray(Image.open(out / "images_labeled/1_001_2_10.png")), crop(9))
    assert np.array_equal(np.asarray(Image.open(out / "images_labeled/1_002_1_02.png")), crop(11))
    detected = np.asarray(Image.open(out / "images_detected" / "2_001_2_08.png"))
    assert np.array_equal(detected, crop(1107))
    assert json.loads((out / "testsets.json").read_text()) == [[[1, 1]], [[1, 2], [2, 1]]]


def test_what_is_extracted_is_read(mat, tmp_path):
    with pytest.raises(DatasetError, match="extract_cuhk03"):
        read_cuhk03(tmp_path, protocol="classic")
    extract_cuhk03(mat, tmp_path)
    data = read_cuhk03(tmp_path, boxes="detected", protocol="classic", split=1, complete=False)
    assert data.train.pids.tolist() == [1001] * 4
    assert data.query.identities.tolist() == [1002, 2001]
    assert data.query.camids.tolist() == [0, 1, 0, 1]


def test_whole_folders_are_left_and_half_ones_made_anew(mat, tmp_path):
    out = tmp_path / "out"
    extract_cuhk03(mat, out)
    (out / "images_labeled" / "mine.txt").touch()
    (out / "images_detected").rename(out / "images_detected.part")
    (out / "images_detected.part" / "half.png").touch()
    extract_cuhk03(mat, out)
    assert (out / "images_labeled" / "mine.txt").exists()
    assert len(list((out / "images_detected").iterdir())) == 8
    assert not list(out.glob("*.part"))


def test_wrong_files(tmp_path):
    with pytest.raises(DatasetError, match=r"no file .*cuhk-03.mat was wanted"):
        extract_cuhk03(tmp_path / "none.mat", tmp_path)
    (tmp_path / "text.mat").write_text("MATLAB 5.0")
    with pytest.raises(DatasetError, match="is no HDF5 file"):
        extract_cuhk03(tmp_path / "text.mat", tmp_path)
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["labeled"] = [1]
    with pytest.raises(DatasetError, match="has no detected and no testsets"):
        extract_cuhk03(tmp_path / "other.mat", tmp_path)


def test_without_h5py(mat, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sanreid\[train\]'"):
        extract_cuhk03(mat, tmp_path)
