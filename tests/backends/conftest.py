"""A tiny encoder, exported once for all tests, and crops to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.backends import export
from tests.people import rendered_person


@pytest.fixture(scope="session")
def crops():
    """Seven crops (7, 64, 32, 3): an odd number, so that batches are not all alike."""
    people = [rendered_person(identity, size=(64, 32)) for identity in range(1, 8)]
    return np.stack([np.asarray(person) for person in people])


@pytest.fixture(scope="session")
def onnx_file(tiny_encoder, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    return export(tiny_encoder, path, backend="onnx").path


@pytest.fixture(scope="session")
def openvino_file(tiny_encoder, tmp_path_factory):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("openvino") / "folder"
    return export(tiny_encoder, path, backend="openvino").path


@pytest.fixture(params=["onnx", "openvino"])
def exported(request):
    """(backend, file), for each kind of export."""
    return request.param, request.getfixturevalue(f"{request.param}_file")
