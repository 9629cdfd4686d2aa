"""An exported file is the encoder: the same embeddings, fingerprint and interface."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from sanreid import SANEncoder
from sanreid.backends import export
from sanreid.backends import onnx_runtime as onnx_module
from sanreid.backends.exported import exported_path
from sanreid.backends.exports import exporting, formats
from sanreid.backends.exports.description import KEY, Description
from sanreid.config import EncoderConfig
from sanreid.errors import ChecksumError, InputError, MissingExtraError, WeightsError
from sanreid.weights import read_manifest
from tests.conftest import build_tiny
from tests.people import write_people


def load(exported, **options):
    backend, path = exported
    return SANEncoder.from_pretrained(path, backend=backend, **options)


def test_embeddings_and_what_it_says_of_itself(exported, tiny_encoder, crops):
    encoder = load(exported, dtype="float32")
    np.testing.assert_allclose(encoder.encode(crops), tiny_encoder.encode(crops), atol=1e-5)
    np.testing.assert_allclose(
        encoder.encode(crops, flip=True, normalize=False, batch_size=3),
        tiny_encoder.encode(crops, flip=True, normalize=False),
        rtol=1e-4,
        atol=1e-4,
    )
    assert encoder.encode([]).shape == (0, 16)
    assert encoder.fingerprint == tiny_encoder.fingerprint
    assert encoder.config == tiny_encoder.config
    assert (encoder.embedding_dim, encoder.input_size) == (16, (64, 32))
    assert (encoder.backend, encoder.device, encoder.dtype) == (
        exported[0],
        torch.device("cpu"),
        torch.float32,
    )
    assert f"backend='{exported[0]}'" in repr(encoder)


def test_files_and_streams(exported, tiny_encoder, tmp_path, crops):
    paths = write_people(tmp_path, identities=2, cameras=2, size=(64, 32))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    encoder = load(exported, dtype="float32")
    result = encoder.encode_files([*paths, broken], on_error="collect")
    np.testing.assert_allclose(
        result.embeddings, tiny_encoder.encode_files(paths).embeddings, atol=1e-5
    )
    assert [path for path, _ in result.failures] == [broken]
    streamed = list(encoder.encode_stream(iter(crops), batch_size=2))
    assert [index for index, _ in streamed] == list(range(len(crops)))
    np.testing.assert_allclose(
        np.stack([row for _, row in streamed]), tiny_encoder.encode(crops), atol=1e-5
    )


def test_a_pickled_encoder_works(exported, crops):
    encoder = load(exported, dtype="float32")
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.encode(crops), encoder.encode(crops))
    assert again.fingerprint == encoder.fingerprint


def test_several_threads(exported, crops):
    encoder = load(exported, dtype="float32")
    wanted = encoder.encode(crops)
    results = [None] * 4

    def work(place):
        results[place] = [encoder.encode(crops[place:], batch_size=2) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, several in enumerate(results):
        for rows in several:
            np.testing.assert_allclose(rows, wanted[place:], atol=1e-5)


def test_metadata_tell_a_stranger_everything(onnx_file, tiny_encoder, crops):
    """Whoever has the file and ONNX Runtime alone finds out how to use it."""
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    told = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    assert told["fingerprint"] == tiny_encoder.fingerprint
    assert told["input"] == "crops: (N, 64, 32, 3) uint8, RGB, any N"
    assert any("BILINEAR" in step for step in told["preprocessing"])
    assert told["config"] == tiny_encoder.config.to_dict()
    (given,) = session.get_inputs()
    assert (given.name, given.shape, given.type) == ("crops", ["N", 64, 32, 3], "tensor(uint8)")
    for count in (1, 7):
        (rows,) = session.run(None, {"crops": crops[:count]})
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(rows, tiny_encoder.encode(crops[:count]), atol=1e-5)


def test_openvino_in_bfloat16(openvino_file, tiny_encoder, crops):
    encoder = SANEncoder.from_pretrained(openvino_file, backend="openvino", dtype="bfloat16")
    assert encoder.dtype == torch.bfloat16
    assert (encoder.encode(crops) * tiny_encoder.encode(crops)).sum(axis=1).min() > 0.999
    assert encoder.to(dtype="float32").dtype == torch.float32
    np.testing.assert_allclose(encoder.encode(crops), tiny_encoder.encode(crops), atol=1e-5)


@pytest.mark.slow
def test_weights_are_exported_in_memory(tiny_weights, tiny_encoder, crops):
    pytest.importorskip("onnxruntime")
    encoder = SANEncoder.from_pretrained(tiny_weights, backend="onnx")
    np.testing.assert_allclose(encoder.encode(crops), tiny_encoder.encode(crops), atol=1e-5)
    assert encoder.fingerprint == tiny_encoder.fingerprint
    assert encoder.dtype == torch.float32
    with torch.no_grad():
        encoder.module.head.bn.bias.add_(1.0)
    changed = SANEncoder(encoder.module, encoder.config, device="cpu", dtype="float32")
    np.testing.assert_allclose(encoder.encode(crops), changed.encode(crops), atol=1e-5)
    assert np.abs(changed.encode(crops) - tiny_encoder.encode(crops)).max() > 0.01


# ------------------------------------------------------------------- int8


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_int8(backend, resnet18_encoder, crops, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip(backend if backend == "openvino" else "onnxscript")
    report = export(resnet18_encoder, tmp_path / "int8", backend=backend, calibration=list(crops))
    assert report.precision == "int8"
    assert 0.95 < report.lowest_cosine < 0.99999  # quantised, and near
    whole = sum(p.numel() for p in resnet18_encoder.module.parameters()) * 4
    assert report.size_bytes < 0.3 * whole
    assert report.size_bytes == sum(path.stat().st_size for path in report.path.parent.iterdir())
    encoder = SANEncoder.from_pretrained(tmp_path / "int8", backend=backend)
    assert encoder.dtype == torch.int8
    assert encoder.fingerprint == resnet18_encoder.fingerprint
    cosines = (encoder.encode(crops) * resnet18_encoder.encode(crops)).sum(axis=1)
    assert cosines.min() > 0.95


# ------------------------------------------------------------------- wrong input


def test_an_exported_file_has_no_module(exported, tmp_path):
    encoder = load(exported)
    for use in (lambda: encoder.module, lambda: encoder.save_pretrained(tmp_path / "x")):
        with pytest.raises(WeightsError, match="no module to train, move or save"):
            use()
    with pytest.raises(WeightsError, match="no module"):
        export(encoder, tmp_path / "again.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_precision_that_onnx_runtime_cannot_have(onnx_file, dtype):
    with pytest.raises(InputError, match=f"ONNX Runtime computes in float32 here; got '{dtype}'"):
        SANEncoder.from_pretrained(onnx_file, backend="onnx", dtype=dtype)
    encoder = SANEncoder.from_pretrained(onnx_file, backend="onnx")
    with pytest.raises(InputError, match="computes in float32"):
        encoder.to(dtype=dtype)
    assert encoder.dtype == torch.float32


def test_a_device_that_is_no_cpu(onnx_file, monkeypatch):
    monkeypatch.setattr("sanreid.backends.runtimes.resolve_device", torch.device)
    with pytest.raises(InputError, match="runs on the CPU; got the device 'cuda'"):
        SANEncoder.from_pretrained(onnx_file, backend="onnx", device="cuda")


def test_an_unknown_backend(tiny_weights):
    with pytest.raises(InputError, match="one of 'torch', 'onnx', 'openvino'; got 'tensorrt'"):
        SANEncoder.from_pretrained(tiny_weights, backend="tensorrt")


def test_a_file_of_the_other_backend(onnx_file, openvino_file):
    with pytest.raises(InputError, match="is for backend='onnx'; got backend='openvino'"):
        SANEncoder.from_pretrained(onnx_file, backend="openvino")
    with pytest.raises(InputError, match="is for backend='openvino'; got backend='torch'"):
        SANEncoder.from_pretrained(openvino_file.parent)


def test_a_damaged_file(exported, tmp_path):
    backend, path = exported
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="is not a whole"):
        SANEncoder.from_pretrained(copy, backend=backend)


def test_weights_that_are_cut_short(openvino_file, tmp_path):
    for path in openvino_file.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="is not a whole OpenVINO model"):
        SANEncoder.from_pretrained(tmp_path, backend="openvino")
    weights.unlink()
    with pytest.raises(WeightsError, match="is not a whole OpenVINO model"):
        SANEncoder.from_pretrained(tmp_path, backend="openvino")


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    tiny_encoder, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(formats, "to_onnx", lambda *args: pytest.fail("the work was begun"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WeightsError, match="cannot be written to"):
        export(tiny_encoder, tmp_path / "file" / "x.onnx")


def test_a_failure_leaves_no_folder(tiny_encoder, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats, "to_onnx", fail)
    with pytest.raises(WeightsError, match="No space left on device"):
        export(tiny_encoder, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize(
    "kind",
    [
        {"backbone": "resnet50", "head": "fc", "pooling": "gem", "last_stride": 2},
        {"backbone": "resnet34", "head": "pool", "embedding_dim": 512},
        {"backbone": "resnet50-c4"},
    ],
    ids=lambda kind: kind["backbone"],
)
def test_every_kind_of_network(kind, backend, crops, tmp_path):
    pytest.importorskip("onnxruntime" if backend == "onnx" else backend)
    config = EncoderConfig(**{"embedding_dim": 16, "input_size": (64, 32)} | kind)
    encoder = SANEncoder(build_tiny(config), config, device="cpu", dtype="float32")
    report = export(encoder, tmp_path, backend=backend)
    again = SANEncoder.from_pretrained(tmp_path, backend=backend, dtype="float32")
    assert report.lowest_cosine > 0.9999
    assert again.config == config
    np.testing.assert_allclose(again.encode(crops), encoder.encode(crops), atol=1e-5)


def test_a_file_of_somebody_else(onnx_file, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(onnx_file))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(WeightsError, match="was not written by 'sanreid export'"):
        SANEncoder.from_pretrained(tmp_path / "other.onnx", backend="onnx")


def with_other_description(path, folder, **changes):
    """Copy an ONNX export, something else in what it says of itself."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(path))
    (told,) = [json.loads(one.value) for one in model.metadata_props if one.key == KEY]
    onnx.helper.set_model_props(model, {KEY: json.dumps(told | changes)})
    onnx.save(model, str(folder / path.name))
    return folder / path.name


def test_a_network_of_another_size_than_it_says(onnx_file, tiny_config, tmp_path):
    config = tiny_config.to_dict() | {"input_size": [32, 32]}
    path = with_other_description(onnx_file, tmp_path, config=config)
    with pytest.raises(WeightsError, match="is damaged: it takes .*64, 32, 3.* say others"):
        SANEncoder.from_pretrained(path, backend="onnx")


def test_an_openvino_network_of_another_size_than_it_says(openvino_file, tiny_config, tmp_path):
    openvino = pytest.importorskip("openvino")
    config = EncoderConfig.from_dict(tiny_config.to_dict() | {"input_size": [32, 32]})
    model = openvino.Core().read_model(openvino_file)
    model.set_rt_info(Description("f" * 64, config).to_json(), [KEY])
    openvino.save_model(model, tmp_path / "other.xml", compress_to_fp16=False)
    with pytest.raises(WeightsError, match=r"it takes \['u8\[\?,64,32,3\]'\], its metadata"):
        SANEncoder.from_pretrained(tmp_path / "other.xml", backend="openvino")


def test_weights_of_another_export_beside_the_graph(openvino_file, tmp_path):
    """An interrupt between the two moves, or a copy of one file, would leave such a pair."""
    for path in (openvino_file, openvino_file.with_suffix(".bin")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    beside = tmp_path / openvino_file.with_suffix(".bin").name
    raw = bytearray(beside.read_bytes())
    raw[len(raw) // 2] ^= 1
    beside.write_bytes(raw)
    with pytest.raises(ChecksumError, match="not of the same export as the .xml beside it"):
        SANEncoder.from_pretrained(tmp_path, backend="openvino")


def test_another_export_in_its_place(onnx_file, tmp_path, monkeypatch, crops):
    (tmp_path / onnx_file.name).write_bytes(onnx_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    encoder = SANEncoder.from_pretrained(onnx_file.name, backend="onnx")
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.encode(crops), encoder.encode(crops))
    with_other_description(onnx_file, tmp_path, fingerprint="f" * 64)
    with pytest.raises(WeightsError, match="was replaced by another export; load it again"):
        pickle.loads(pickle.dumps(encoder)).encode(crops)


def test_which_path_is_an_export(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = read_manifest().default
    file = Path(name, "model.onnx")
    file.parent.mkdir()
    file.touch()
    assert exported_path(name, "onnx") is None  # the released weights, as without an export
    assert exported_path(name, "torch") is None
    for folder in (f"./{name}", Path(name), file):
        assert exported_path(folder, "onnx") == file
    assert exported_path(tmp_path, "onnx") is None
    assert exported_path("owner/name", "onnx") is None
    with pytest.raises(WeightsError, match=r"There is no file owner.other\.onnx"):
        exported_path("owner/other.onnx", "onnx")  # which is no Hub repository


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2; this sanreid reads 1"),
        ({"config": {"backbone": "vgg"}}, "damaged metadata"),
        ({"precision": "int4"}, "damaged metadata"),
        ({"fingerprint": 7}, "damaged metadata"),
    ],
)
def test_metadata_that_are_wrong(change, message, tiny_config):
    text = Description("f" * 64, tiny_config).to_json()
    assert Description.from_json(text, origin="x") == Description("f" * 64, tiny_config)
    with pytest.raises(WeightsError, match=message):
        Description.from_json(json.dumps(json.loads(text) | change), origin="x.onnx")
    with pytest.raises(WeightsError, match="damaged metadata"):
        Description.from_json(text[:-5], origin="x.onnx")


@pytest.mark.parametrize(
    ("path", "backend", "message"),
    [
        ("", "onnx", "path of the export is empty"),
        ("a\0b", "onnx", r"has a null character: 'a\\x00b'"),
        ("model.xml", "onnx", "a file .onnx or a directory"),
        ("model.onnx", "openvino", "a file .xml or a directory"),
        ("model.onnx", "torch", "one of 'onnx', 'openvino', 'torchscript', .*; got 'torch'"),
    ],
)
def test_a_wrong_path(path, backend, message, tiny_encoder):
    with pytest.raises(InputError, match=message):
        export(tiny_encoder, path, backend=backend)


def test_no_calibration_crops(tiny_encoder, tmp_path):
    with pytest.raises(InputError, match="calibration is empty"):
        export(tiny_encoder, tmp_path / "x.onnx", calibration=[])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_disagrees_is_not_left(tiny_encoder, onnx_file, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "to_onnx", lambda module, description: onnx_file.read_bytes())
    changed = SANEncoder(tiny_encoder.module, tiny_encoder.config, device="cpu", dtype="float32")
    monkeypatch.setattr(exporting, "TorchBackend", lambda *args, **kwargs: backwards)

    def backwards(crops):
        return np.random.default_rng(0).standard_normal((len(crops), 16)).astype(np.float32)

    target = tmp_path / "x.onnx"
    target.write_bytes(b"what was there")
    with pytest.raises(WeightsError, match="computes other embeddings than the encoder"):
        export(changed, target)
    assert target.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_is_not_accepted_is_not_left(tiny_encoder, onnx_file, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "to_onnx", lambda module, description: onnx_file.read_bytes())
    seen = []

    def accept(file):
        seen.append(SANEncoder.from_pretrained(file, backend="onnx").fingerprint)
        raise WeightsError("too much is lost")

    with pytest.raises(WeightsError, match="too much is lost"):
        export(tiny_encoder, tmp_path / "x.onnx", accept=accept)
    assert seen == [tiny_encoder.fingerprint]
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra(tiny_encoder, onnx_file, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    wanted = r"needs the package 'onnxruntime'.*pip install 'sanreid\[export\]'"
    with pytest.raises(MissingExtraError, match=wanted):
        onnx_module.OnnxBackend(onnx_file)
    with pytest.raises(MissingExtraError, match=wanted):
        SANEncoder.from_pretrained(onnx_file, backend="onnx")
    with pytest.raises(MissingExtraError, match=wanted):
        export(tiny_encoder, tmp_path / "x.onnx")


@pytest.mark.parametrize("link", ["hard", "symbolic", "copy", "missing", "outside"])
def test_tensors_in_other_files_are_not_read(link, onnx_file, tmp_path):
    import onnx

    model = onnx.load(onnx_file)
    path, data = tmp_path / "m.onnx", tmp_path / "data.bin"
    onnx.save_model(model, path, save_as_external_data=True, location="data.bin")
    secret = tmp_path / "elsewhere" / "secret.bin"
    secret.parent.mkdir()
    data.rename(secret)
    if link == "hard":
        data.hardlink_to(secret)
    elif link == "symbolic":
        data.symlink_to(secret)
    elif link == "copy":
        data.write_bytes(secret.read_bytes())
    elif link == "outside":
        path.write_bytes(path.read_bytes().replace(b"data.bin", b"../secre"))
    with pytest.raises(WeightsError, match="keeps tensors in other files"):
        SANEncoder.from_pretrained(path, backend="onnx")
    longer = path.read_bytes().replace(b"\x08location", b"\x88\x80\x00location")
    path.write_bytes(longer)  # another way to write the length
    with pytest.raises(WeightsError, match="keeps tensors in other files"):
        SANEncoder.from_pretrained(path, backend="onnx")


def test_the_word_location_in_a_model_is_no_other_file(onnx_file, tiny_encoder, tmp_path):
    import onnx

    model = onnx.load(onnx_file)
    model.graph.node[0].doc_string = "/srv/location/crops.py, a location"
    onnx.save_model(model, tmp_path / "m.onnx")
    encoder = SANEncoder.from_pretrained(tmp_path / "m.onnx", backend="onnx")
    assert encoder.fingerprint == tiny_encoder.fingerprint


def test_a_model_does_not_tell_where_it_was_made(onnx_file):
    contents = onnx_file.read_bytes()
    for path in (onnx_module.__file__, torch.__file__):
        assert str(Path(path).parent).encode() not in contents
    assert b".py" not in contents


@pytest.mark.parametrize("text", ["version https://git-lfs.github.com/spec/v1\n", "<html>"])
@pytest.mark.parametrize(("suffix", "backend"), [(".onnx", "onnx"), (".xml", "openvino")])
def test_text_in_place_of_an_export_is_named(text, suffix, backend, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[backend])
    path = tmp_path / f"m{suffix}"
    path.write_text(text)
    with pytest.raises(WeightsError, match="Git LFS pointer|HTML page"):
        SANEncoder.from_pretrained(path, backend=backend)
