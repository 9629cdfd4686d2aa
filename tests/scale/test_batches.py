"""EmbedCrops: any engine's Arrow batches in, embeddings or reasons out."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from sanreid.errors import InputError, MissingExtraError
from sanreid.scale import EmbedCrops, embed

pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def crops():
    """Twenty arrays (48, 24, 3), noise."""
    return np.random.default_rng(0).integers(0, 256, (20, 48, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(tiny_encoder, crops):
    """Embeddings of ``encode`` in a batch whose size is a multiple of 8."""
    padded = np.concatenate([crops, crops[:4]])
    return tiny_encoder.encode(padded)[:20]


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def rows_of(table):
    return np.stack([np.asarray(row, np.float32) for row in table["embedding"].to_pylist()])


def tensors(array):
    return pa.FixedShapeTensorArray.from_numpy_ndarray(array)


def test_bytes_paths_and_tensors_give_the_same(tiny_encoder, crops, expected, tmp_path):
    paths = [str(tmp_path / f"{index}.png") for index in range(20)]
    for path, crop in zip(paths, crops, strict=True):
        Image.fromarray(crop).save(path)
    embed_crops = EmbedCrops(tiny_encoder)
    for images in (
        pa.array([png(crop) for crop in crops]),
        pa.array([png(crop) for crop in crops], pa.large_binary()),
        pa.array(paths),
        tensors(crops),
    ):
        table = embed_crops(pa.table({"image": images}))
        assert table.schema.field("embedding").type == pa.list_(pa.float32())
        assert table["error"].null_count == 20
        np.testing.assert_array_equal(rows_of(table), expected)


def test_embeddings_do_not_depend_on_the_batches(tiny_encoder, crops, expected):
    embed_crops = EmbedCrops(tiny_encoder, batch_size=16)
    parts, start = [], 0
    for size in (1, 3, 9, 7):
        images = tensors(crops[start : start + size])
        parts.append(rows_of(embed_crops(pa.table({"image": images}))))
        start += size
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_bad_rows_end_in_error_and_cost_no_other_row(tiny_encoder, crops, expected):
    images = [png(crop) for crop in crops]
    images[2], images[7], images[8], images[19] = b"no image", None, b"", images[19][:60]
    table = EmbedCrops(tiny_encoder)(pa.table({"n": range(20), "image": images}))
    bad = [2, 7, 8, 19]
    errors = table["error"].to_pylist()
    assert [index for index, error in enumerate(errors) if error is not None] == bad
    assert all(errors[index] and "Cannot read" not in errors[index] for index in bad)
    embeddings = table["embedding"].to_pylist()
    for index in range(20):
        if index in bad:
            assert embeddings[index] is None
        else:
            np.testing.assert_array_equal(np.float32(embeddings[index]), expected[index])


def test_only_bad_rows_and_no_rows(tiny_encoder):
    embed_crops = EmbedCrops(tiny_encoder)
    table = embed_crops(pa.table({"image": pa.array([b"a", None])}))
    assert table["embedding"].to_pylist() == [None, None]
    assert table["error"].null_count == 0
    none = embed_crops(pa.table({"image": pa.array([], pa.binary())}))
    assert none.num_rows == 0
    assert none.schema == table.schema


def test_a_missing_file_is_a_row_with_its_reason(tiny_encoder, tmp_path):
    path = str(tmp_path / "gone.jpg")
    table = EmbedCrops(tiny_encoder, column="path")(pa.table({"path": [path]}))
    assert table["path"].to_pylist() == [path]
    assert table["error"].to_pylist() == ["there is no such file."]


def test_tensors_with_nulls(tiny_encoder, crops, expected):
    kind = tensors(crops[:1]).type
    storage = pa.array([crops[0].ravel(), None, crops[1].ravel()], kind.storage_type)
    images = pa.ExtensionArray.from_storage(kind, storage)
    table = EmbedCrops(tiny_encoder)(pa.table({"image": images}))
    embeddings = table["embedding"].to_pylist()
    assert embeddings[1] is None
    np.testing.assert_array_equal(np.float32([embeddings[0], embeddings[2]]), expected[:2])


def test_other_columns_stay_and_pictures_go_unless_they_are_kept(tiny_encoder, crops):
    batch = pa.table({"n": [1], "image": [png(crops[0])]})
    assert EmbedCrops(tiny_encoder)(batch).column_names == ["n", "embedding", "error"]
    kept = EmbedCrops(tiny_encoder, keep_images=True)(batch)
    assert kept.column_names == ["n", "image", "embedding", "error"]


def test_a_record_batch_returns_as_one(tiny_encoder, crops, expected):
    batch = pa.record_batch({"image": [png(crop) for crop in crops]})
    result = EmbedCrops(tiny_encoder)(batch)
    assert isinstance(result, pa.RecordBatch)
    np.testing.assert_array_equal(rows_of(result), expected)


def test_color_and_options_are_those_of_encode(tiny_encoder, crops, expected):
    bgr = np.ascontiguousarray(crops[..., ::-1])
    table = EmbedCrops(tiny_encoder, color="bgr")(pa.table({"image": tensors(bgr)}))
    np.testing.assert_array_equal(rows_of(table), expected)
    eight = crops[:8]
    wanted = tiny_encoder.encode(eight, flip=True, normalize=False)
    table = EmbedCrops(tiny_encoder, flip=True, normalize=False)(
        pa.table({"image": tensors(eight)})
    )
    np.testing.assert_array_equal(rows_of(table), wanted)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"image": [1, 2]}, "holds int64; wanted paths"),
        ({"picture": ["a"]}, "no column 'image'; the batch has picture"),
        ({"image": ["a"], "error": ["b"]}, "column 'error' already"),
    ],
)
def test_wrong_batches(tiny_encoder, batch, message):
    with pytest.raises(InputError, match=message):
        EmbedCrops(tiny_encoder)(pa.table(batch))


def test_a_batch_of_numpy_is_told_what_is_wanted(tiny_encoder, crops):
    with pytest.raises(InputError, match="batch_format='pyarrow'"):
        EmbedCrops(tiny_encoder)({"image": crops})


def test_wrong_arguments(tiny_encoder):
    with pytest.raises(InputError, match="column must be"):
        EmbedCrops(tiny_encoder, column="")
    with pytest.raises(InputError, match="batch_size"):
        EmbedCrops(tiny_encoder, batch_size=0)


def test_without_ray_the_message_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sanreid\[ray\]'"):
        embed(object())
