"""``sanreid export`` writes what loads again, says what it cost, and keeps nothing that is bad."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sanreid.cli import export as command
from sanreid.encoder import SANEncoder

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.mark.slow
def test_onnx(run, tiny, people, tmp_path):
    out = tmp_path / "new" / "tiny.onnx"
    status, output, errors = run("export", tiny, out, "--format", "onnx", "--json")
    assert (status, errors) == (0, "")
    told = json.loads(output)
    encoder = SANEncoder.from_pretrained(tiny, device="cpu", dtype="float32")
    assert told["file"] == str(out)
    assert told["precision"] == "float32"
    assert told["lowest_cosine"] > 0.9999
    assert told["fingerprint"] == encoder.fingerprint
    assert told["mAP"] == []
    exported = SANEncoder.from_pretrained(out, backend="onnx")
    np.testing.assert_allclose(
        exported.encode_files(people).embeddings,
        encoder.encode_files(people).embeddings,
        atol=1e-5,
    )


@pytest.mark.slow
def test_int8_says_what_it_costs(run, resnet18_weights, people, tmp_path):
    pytest.importorskip("openvino")
    options = ("--format", "openvino", "--int8", "--calibration", people, "--max-loss", "0.3")
    status, output, errors = run("export", resnet18_weights, tmp_path / "int8", *options)
    assert status == 0
    assert f"measuring mAP on 16 crops of {people}" in errors
    first, _, _, columns, _, row = output.splitlines()
    assert first.startswith(f"{tmp_path / 'int8' / 'model.xml'}: int8, ")
    assert columns.split() == ["folder", "float32", "int8", "loss"]
    *_, before, after, loss = row.split()
    assert float(loss) == pytest.approx(float(before) - float(after), abs=2e-4)
    assert 0 < float(before) < 1


@pytest.mark.slow
def test_int8_that_loses_too_much_is_not_kept(
    run, resnet18_weights, people, tmp_path, monkeypatch
):
    figures = iter([0.6, 0.55])
    monkeypatch.setattr(command, "_mean_ap", lambda encoder, crops: next(figures))
    options = ("--format", "onnx", "--int8", "--calibration", people, "--crops", "4")
    status, output, errors = run("export", resnet18_weights, tmp_path / "x.onnx", *options)
    assert (status, output) == (1, "")
    assert f"int8 loses 0.0500 of mAP on {people} (0.6000 in float32, 0.5500)" in errors
    assert "more than 0.01; nothing was kept" in errors
    assert list(tmp_path.iterdir()) == []


def test_calibration_crops_are_spread_over_the_folders(people):
    paths = sorted(people.rglob("*.jpg"))
    assert command._spread([people], 4) == paths[::4]
    assert command._spread([people, people], 1000) == paths + paths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "the following arguments are required: --format"),
        (("--format", "onnx", "--int8"), "--int8 and --calibration DIR go together"),
        (("--format", "onnx", "--calibration", "x"), "--int8 and --calibration DIR go together"),
        (("--format", "onnx", "--max-loss", "0.1"), "go with --int8"),
        (("--format", "onnx", "--max-loss", "2"), "a number from 0 to 1 is wanted, not '2'"),
        (("--format", "tflite"), "invalid choice: 'tflite'"),
        (("--format", "torchscript", "--int8", "--calibration", "x"), "--int8 goes with --format"),
        (("--format", "tensorrt", "--int8", "--calibration", "x"), "--int8 goes with --format"),
        (("--format", "onnx", "--input", "nchw"), "invalid choice: 'nchw'"),
    ],
)
def test_wrong_usage(options, message, tiny, tmp_path, capsys):
    from sanreid.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["export", tiny, str(tmp_path / "x.onnx"), *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_errors_are_one_line(run, tiny, people, tmp_path):
    (tmp_path / "empty").mkdir()
    int8 = ("--int8", "--calibration")
    for arguments, message in (
        ((tiny, tmp_path / "x.xml", "--format", "onnx"), "a file .onnx or a directory"),
        (("nobody", tmp_path / "x", "--format", "onnx"), "No weights 'nobody'"),
        ((tiny, tmp_path / "x", "--format", "onnx", *int8, tmp_path / "empty"), "no image files"),
    ):
        status, output, errors = run("export", *arguments)
        assert (status, output) == (1, "")
        assert message in errors
        assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "out", "written", "said"),
    [
        (("tensorrt",), "x.engine", "x.onnx", "trtexec --onnx={written} --saveEngine={out} "),
        (("tensorrt",), "x", "x/model.onnx", "--saveEngine={tmp}/x/model.engine "),
        (("coreml",), "x.mlpackage", "x.torchscript", "coremltools as ct"),
        (("torchscript", "--input", "unit"), "x.torchscript", "x.torchscript", "float32"),
    ],
)
def test_what_toolkits_read_is_written_and_their_command_printed(
    options, out, written, said, run, tiny, tmp_path
):
    if "tensorrt" in options:
        pytest.importorskip("onnxruntime")
    status, output, _ = run("export", tiny, tmp_path / out, "--format", *options)
    assert status == 0
    assert (tmp_path / written).is_file()
    said = said.format(written=tmp_path / written, out=tmp_path / out, tmp=tmp_path)
    assert said in output
