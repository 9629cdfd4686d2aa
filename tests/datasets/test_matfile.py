"""The MAT-file reader, against a file that SciPy wrote and hand-made elements."""

import struct

import numpy as np
import pytest

from sanreid.datasets.published.matfile import read_mat
from sanreid.errors import DatasetError
from tests.datasets.replicas import NEW_FILES, NEW_PROTOCOL


def test_variables_of_a_file_by_scipy(tmp_path):
    (tmp_path / "a.mat").write_bytes(NEW_PROTOCOL)
    table = read_mat(tmp_path / "a.mat")
    assert [str(name) for name in np.ravel(table["filelist"])] == list(NEW_FILES)
    assert table["filelist"].shape == (4, 1)
    assert table["labels"].tolist() == [[1], [1], [845], [845]]
    assert table["train_idx"].tolist() == [[1], [2]]
    assert table["query_idx"].tolist() == [[3]]
    assert table["camId"].ravel().tolist() == [1, 2, 1, 2]
    assert table["grid"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert table["note"] == "text"
    assert "st" not in table  # a structure: passed over


def element(kind, data, order):
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(kind, shape, name, body, order):
    parts = (
        element(6, struct.pack(f"{order}II", kind, 0), order),
        element(5, struct.pack(f"{order}{len(shape)}i", *shape), order),
        element(1, name, order),
        body,
    )
    return element(14, b"".join(parts), order)


def mat(order, *matrices):
    mark = b"IM" if order == "<" else b"MI"
    return b" " * 124 + b"\0\1" + mark + b"".join(matrices)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_and_matlabs_texts(tmp_path, order):
    numbers = element(3, struct.pack(f"{order}6h", 1, -2, 3, 4, 5, 600), order)
    text = element(4, struct.pack(f"{order}3H", *map(ord, "né3")), order)
    small = struct.pack(f"{order}I", 1 << 16 | 2) + b"\7\0\0\0"  # one byte within the tag
    cells = b"".join(matrix(9, (1, 1), b"", small, order) for _ in range(2)) + element(
        14, b"", order
    )
    wide = element(17, "añb".encode("utf-16-le" if order == "<" else "utf-16-be"), order)
    square = b"".join(
        matrix(9, (1, 1), b"", element(2, bytes([n]), order), order) for n in (1, 2, 3, 4)
    )
    path = tmp_path / "b.mat"
    path.write_bytes(
        mat(
            order,
            matrix(10, (3, 2), b"numbers", numbers, order),
            matrix(4, (1, 3), b"text", text, order),
            matrix(4, (1, 3), b"wide", wide, order),
            matrix(1, (1, 3), b"cells", cells, order),
            matrix(1, (2, 2), b"square", square, order),
        )
    )
    table = read_mat(path)
    assert table["numbers"].tolist() == [[1, 4], [-2, 5], [3, 600]]
    assert table["text"] == "né3"
    assert table["wide"] == "añb"
    assert [[int(c[0, 0]) for c in row] for row in table["square"]] == [[1, 3], [2, 4]]  # columns
    assert table["cells"][0, 1].tolist() == [[7]]
    assert table["cells"][0, 2].shape == (0, 0)


def test_missing_foreign_and_damaged_files(tmp_path):
    with pytest.raises(DatasetError, match="There is no file"):
        read_mat(tmp_path / "none.mat")
    path = tmp_path / "c.mat"
    for content in (b"", b"hello", b"\x89HDF" + b"\0" * 400):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="no MAT-file of level 5"):
            read_mat(path)
    for cut in (150, 300, len(NEW_PROTOCOL) - 3):
        path.write_bytes(NEW_PROTOCOL[:cut])
        with pytest.raises(DatasetError, match="is damaged as a MAT-file"):
            read_mat(path)
    broken = bytearray(NEW_PROTOCOL)
    broken[150] ^= 255
    path.write_bytes(broken)
    with pytest.raises(DatasetError, match="is damaged as a MAT-file"):
        read_mat(path)


def test_numbers_of_an_unknown_kind(tmp_path):
    path = tmp_path / "d.mat"
    path.write_bytes(mat("<", matrix(10, (1, 1), b"x", element(99, b"\0" * 8, "<"), "<")))
    with pytest.raises(DatasetError, match="data of type 99"):
        read_mat(path)
