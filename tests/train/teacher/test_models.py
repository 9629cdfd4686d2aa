"""Which networks can teach, and how a foreign one is given its crops."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sanreid.config import IMAGENET_MEAN, IMAGENET_STD
from sanreid.errors import ConfigError, WeightsError
from sanreid.train.config import TeacherConfig
from sanreid.train.config.loader import config_from_dict
from sanreid.train.teacher import open_teacher

COLOR = np.array([200, 40, 120], dtype=np.uint8)


def means_of_channels(path, shape, axes):
    """Write an ONNX network whose embedding is the mean of each channel, and their sum."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["crops"], ["means"], axes=axes, keepdims=0),
            helper.make_node("Flatten", ["means"], ["rows"]),
        ],
        "means",
        [helper.make_tensor_value_info("crops", kind, shape)],
        [helper.make_tensor_value_info("rows", kind, [shape[0], 3])],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return str(path)


@pytest.fixture
def crops(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(5)]
    for n, path in enumerate(paths):
        Image.fromarray(np.broadcast_to(COLOR + n, (20, 10, 3)).copy()).save(path)
    return paths


@pytest.mark.parametrize(("input_", "scale"), [("uint8-range", 1), ("unit", 255)])
@pytest.mark.parametrize("count", [1, 2, "n"])
def test_a_foreign_file_gets_its_range_colours_and_batches(crops, tmp_path, input_, scale, count):
    pytest.importorskip("openvino")
    path = means_of_channels(tmp_path / "net.onnx", [count, 3, 16, 8], [2, 3])
    expected = np.stack([COLOR + n for n in range(5)]) / scale
    for color, order in (("rgb", [0, 1, 2]), ("bgr", [2, 1, 0])):
        teacher = open_teacher(TeacherConfig(weights=path, input=input_, color=color))
        np.testing.assert_allclose(teacher.embed(crops), expected[:, order], rtol=1e-5)


def test_a_foreign_file_with_channels_last_and_imagenets_range(crops, tmp_path):
    pytest.importorskip("openvino")
    path = means_of_channels(tmp_path / "net.onnx", [1, 16, 8, 3], [1, 2])
    teacher = open_teacher(TeacherConfig(weights=path, input="imagenet", color="bgr"))
    expected = (COLOR / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(teacher.embed(crops[:1])[0], expected[::-1], rtol=1e-5)


def test_the_digest_tells_files_and_preparation_apart(tmp_path):
    pytest.importorskip("openvino")
    one = means_of_channels(tmp_path / "one.onnx", [1, 3, 16, 8], [2, 3])
    two = means_of_channels(tmp_path / "two.onnx", [1, 3, 16, 4], [2, 3])
    copy = tmp_path / "copy.onnx"
    copy.write_bytes((tmp_path / "one.onnx").read_bytes())

    def digest(path, input_="unit", color="rgb"):
        return open_teacher(TeacherConfig(weights=str(path), input=input_, color=color)).digest

    assert digest(one) == digest(copy)
    assert (
        len({digest(one), digest(two), digest(one, "imagenet"), digest(one, "unit", "bgr")}) == 4
    )


def test_files_that_cannot_teach_are_refused(tmp_path):
    pytest.importorskip("openvino")
    grey = means_of_channels(tmp_path / "grey.onnx", [1, 1, 16, 8], [2, 3])
    with pytest.raises(WeightsError, match="one batch of crops of a fixed size"):
        open_teacher(TeacherConfig(weights=grey, input="unit"))
    with pytest.raises(WeightsError, match="must be an .onnx file"):
        open_teacher(TeacherConfig(weights=str(tmp_path / "none.onnx"), input="unit"))
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="cannot be run as a teacher"):
        open_teacher(TeacherConfig(weights=str(tmp_path / "bad.onnx"), input="unit"))


def test_an_encoder_of_ours_teaches_its_embeddings(crops):
    from sanreid import SANEncoder

    teacher = open_teacher(TeacherConfig(weights="san-r50"))
    expected = SANEncoder.from_pretrained("san-r50").encode(crops[:2])
    np.testing.assert_allclose(teacher.embed(crops[:2]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": -1.0}, "teacher.embedding must be at least 0"),
        ({"weights": "x", "embedding": 0.0, "similarities": 0.0}, "both of its losses"),
        ({"weights": "x", "color": "bgr"}, "color is for foreign files"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TeacherConfig(**settings)


def test_the_texture_generator_has_no_teacher():
    loss = {"identity": 0.0, "triplet": 0.0, "reconstruction": 1.0, "teacher": {"weights": "x"}}
    with pytest.raises(ConfigError, match="teacher is for crops"):
        config_from_dict({"pit": {"folder": "pairs"}, "loss": loss})
