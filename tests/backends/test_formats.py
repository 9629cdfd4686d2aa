"""Exports in every format and every form of input: the encoder again, and as its metadata say."""

from __future__ import annotations

import json
import shlex
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from sanreid import SANEncoder
from sanreid.backends import export
from sanreid.backends.exports.description import KEY, Description
from sanreid.backends.exports.formats import FORMATS
from sanreid.backends.exports.inputs import INPUT_FORMS, prepare
from sanreid.backends.exports.vendors import VENDORS
from sanreid.errors import InputError, WeightsError

FORMS = ["uint8-nhwc", "normalized", "unit"]


def by_hand(crops, form):
    """Prepare crops as somebody who reads the metadata does, one channel at a time."""
    if form == "uint8-nhwc":
        return crops
    prepared = np.empty((len(crops), 3, *crops.shape[1:3]), dtype=np.float32)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        unit = crops[..., channel] / 255.0
        prepared[:, channel] = (unit - mean) / std if form == "normalized" else unit
    return prepared


def test_the_forms():
    assert list(INPUT_FORMS) == FORMS


@pytest.mark.parametrize("form", FORMS)
def test_crops_in_each_form(form, crops, tiny_config):
    prepared = prepare(crops, form, tiny_config)
    np.testing.assert_allclose(prepared, by_hand(crops, form), atol=1e-6)
    assert prepared.dtype == (np.uint8 if form == "uint8-nhwc" else np.float32)


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def test_torchscript_by_torch_alone(form, tiny_encoder, crops, tmp_path):
    path = tmp_path / "tiny.torchscript"
    report = export(tiny_encoder, path, backend="torchscript", input_form=form)
    assert (report.path, report.input_form) == (path, form)
    assert report.lowest_cosine > 0.9999
    about = {KEY: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.load(path, _extra_files=about)
    told = json.loads(about[KEY])
    assert told["fingerprint"] == tiny_encoder.fingerprint
    assert told["input_form"] == form
    for count in (1, 7):
        given = torch.from_numpy(by_hand(crops[:count], form))
        np.testing.assert_allclose(
            program(given).numpy(), tiny_encoder.encode(crops[:count], normalize=False), atol=1e-4
        )


@pytest.mark.slow  # tracing takes a while
def test_torch_export_by_torch_alone(form, tiny_encoder, crops, tmp_path):
    report = export(tiny_encoder, tmp_path / "x", backend="torch-export", input_form=form)
    assert report.path == tmp_path / "x" / "model.pt2"
    about = {KEY: ""}
    program = torch.export.load(report.path, extra_files=about).module()
    assert json.loads(about[KEY])["input_form"] == form
    for count in (1, 7):
        rows = program(torch.from_numpy(by_hand(crops[:count], form)))
        np.testing.assert_allclose(
            rows.detach().numpy(), tiny_encoder.encode(crops[:count], normalize=False), atol=1e-4
        )


@pytest.mark.slow  # as above
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_onnx_and_openvino_load_again(backend, form, tiny_encoder, crops, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[backend])
    report = export(tiny_encoder, tmp_path / "x", backend=backend, input_form=form)
    encoder = SANEncoder.from_pretrained(report.path, backend=backend, dtype="float32")
    assert encoder.fingerprint == tiny_encoder.fingerprint
    np.testing.assert_allclose(encoder.encode(crops), tiny_encoder.encode(crops), atol=1e-5)
    if backend == "openvino":
        return
    import onnxruntime

    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.shape == (["N", 64, 32, 3] if form == "uint8-nhwc" else ["N", 3, 64, 32])
    for count in (1, 7):
        (rows,) = session.run(None, {given.name: by_hand(crops[:count], form)})
        np.testing.assert_allclose(
            rows, tiny_encoder.encode(crops[:count], normalize=False), atol=1e-4
        )


@pytest.mark.slow
def test_int8_of_floats(resnet18_encoder, crops, tmp_path):
    pytest.importorskip("onnxruntime")
    report = export(
        resnet18_encoder, tmp_path / "x.onnx", input_form="normalized", calibration=crops
    )
    assert report.precision == "int8"
    assert 0.95 < report.lowest_cosine < 0.99999


def test_what_an_older_file_says(tiny_config):
    text = json.loads(Description("f", tiny_config).to_json())
    del text["input_form"]
    assert Description.from_json(json.dumps(text), origin="x").input == "uint8-nhwc"
    text["input_form"] = "bgr"
    with pytest.raises(WeightsError, match="damaged metadata .*input"):
        Description.from_json(json.dumps(text), origin="x")


@pytest.mark.parametrize("backend", FORMATS)
def test_an_export_that_differs_is_not_kept(backend, tiny_encoder, tmp_path, monkeypatch):
    wrong = replace(
        FORMATS[backend],
        packages=(),
        write=lambda module, description, path, crops: path.write_bytes(b"x"),
        run=lambda path, description: lambda crops: -np.ones((len(crops), 16), np.float32),
    )
    monkeypatch.setitem(FORMATS, backend, wrong)
    with pytest.raises(WeightsError, match="computes other embeddings.*nothing was written"):
        export(tiny_encoder, tmp_path / "folder", backend=backend)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_form": "nchw"}, "input_form must be one of 'uint8-nhwc', 'normalized', 'unit'"),
        ({"backend": "torchscript", "calibration": [0]}, "float32; calibration is for int8"),
        ({"backend": "torchscript", "path": "x.onnx"}, "is a file .torchscript or a directory"),
        ({"backend": "torch-export", "path": "x.pt"}, "is a file .pt2 or a directory"),
        ({"backend": ["onnx"]}, "An export is for one of"),
        ({"path": ""}, "path of the export is empty"),
        ({"path": 5}, "must be a str or a Path; got int"),
    ],
)
def test_wrong_arguments(options, message, tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        export(tiny_encoder, **{"path": "folder", **options})
    assert not list(tmp_path.iterdir())


def test_the_commands_of_toolkits(tiny_config, tmp_path):
    source, target = tmp_path / "it's a.onnx", tmp_path / "a.engine"
    command = VENDORS["tensorrt"].command_for(
        source, target, form="normalized", config=tiny_config
    )
    assert shlex.split(command)[:4] == [
        "trtexec", f"--onnx={source}", f"--saveEngine={target}", "--minShapes=crops:1x3x64x32",
    ]  # fmt: skip
    command = VENDORS["coreml"].command_for(source, target, form="unit", config=tiny_config)
    assert "shape=(ct.RangeDim(1, 64), 3,64,32)" in command
    python, option, code, *paths = shlex.split(command)
    assert (python, option, paths) == ("python", "-c", [str(source), str(target)])
    compile(code, "command", "exec")
